"""Streams: every event once and in order, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doce.client import Address, AsyncDoce, Doce, Event
from doce.client.reading import Patience
from doce.clock import ManualClock
from doce.errors import DoceError, NotFound, RateLimited, Unavailable
from tests.client.doce_twin import Answer, Asked, DoceTwin, frame

KEEP_ALIVE = b": keep-alive\n\n"
DELETED = frame(99, "project.deleted", {})


def not_found() -> Answer:
    return Answer(404, NotFound("There is no project x.").as_dict())


Reader = Callable[..., "tuple[list[int], list[float]]"]


def read_sync(
    twin: DoceTwin, after: int | None = None, follow: bool = True, clock: ManualClock | None = None
) -> tuple[list[int], list[float]]:
    """The seqs read until the stream ended, and the pauses taken."""
    clock, pauses = clock or ManualClock(), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(s=seconds)

    with Doce(address=Address(twin.url), pause=pause, patience=lambda: Patience(clock=clock)) as doce:
        return [event.seq for event in doce.events("x", after, follow)], pauses


def read_async(
    twin: DoceTwin, after: int | None = None, follow: bool = True, clock: ManualClock | None = None
) -> tuple[list[int], list[float]]:
    clock, pauses = clock or ManualClock(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(s=seconds)

    async def run() -> list[int]:
        async with AsyncDoce(address=Address(twin.url), pause=pause, patience=lambda: Patience(clock=clock)) as doce:
            return [event.seq async for event in doce.events("x", after, follow)]

    return asyncio.run(run()), pauses


both = pytest.mark.parametrize("read", [read_sync, read_async], ids=["sync", "async"])


@both
def test_a_stream_from_its_start_to_its_end(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[KEEP_ALIVE, frame(1), KEEP_ALIVE, frame(2) + frame(3), DELETED])]
    assert read(twin) == ([1, 2, 3, 99], [])
    assert twin.asked[0].query == {"after": "0"}
    assert twin.asked[0].path == "/api/projects/x/opencode/event"


@both
def test_a_cut_in_the_middle_of_a_frame(twin: DoceTwin, read: Reader) -> None:
    torn = frame(3)
    twin.script = [Answer(chunks=[frame(1), frame(2) + torn[: len(torn) // 2]]), Answer(chunks=[frame(3), DELETED])]
    assert read(twin, 0) == ([1, 2, 3, 99], [0.2])
    assert twin.asked[1].headers["last-event-id"] == "2"


@both
def test_waits_longer_each_time_and_shorter_after_news(twin: DoceTwin, read: Reader) -> None:
    cut = Answer(chunks=[])
    twin.script = [cut, cut, cut, cut, cut, cut, cut, Answer(chunks=[frame(1)]), Answer(chunks=[DELETED])]
    assert read(twin)[1] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 0.2]


@both
def test_doce_is_restarted(twin: DoceTwin, read: Reader) -> None:
    busy = Answer(503, Unavailable("doce is stopping.").as_dict())
    twin.script = [Answer(chunks=[frame(1)]), busy, Answer(502, text="proxy"), Answer(chunks=[frame(2), DELETED])]
    assert read(twin)[0] == [1, 2, 99]


@both
def test_gives_up_after_a_minute(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[frame(1)])]
    twin.answer = lambda asked: Answer(503, Unavailable("doce is stopping.").as_dict())
    clock = ManualClock(0)
    with pytest.raises(Unavailable, match="stopping"):
        read(twin, clock=clock)
    assert 60 < clock.monotonic() <= 70


@both
def test_the_first_refusal_is_told_at_once(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(503, Unavailable("No.").as_dict())]
    with pytest.raises(Unavailable, match="No"):
        read(twin)
    assert len(twin.asked) == 1


@both
def test_a_project_that_went_away_meanwhile(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[frame(1)]), not_found()]
    with pytest.raises(NotFound):
        read(twin)
    assert len(twin.asked) == 2


@both
def test_waits_as_long_as_it_is_told(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[frame(1)]), Answer(429, RateLimited(retry_after_s=12).as_dict()), Answer(chunks=[DELETED])]
    assert read(twin)[1] == [0.2, 12]


@both
def test_without_following_it_ends_with_what_is_there(twin: DoceTwin, read: Reader) -> None:
    def serve(asked: Asked) -> Answer:
        assert asked.query["follow"] == "false"
        return Answer(text=frame(4).decode(), headers={"content-type": "text/event-stream"})

    twin.answer = serve
    assert read(twin, 3, False) == ([4], [])


@both
def test_a_page_instead_of_a_stream(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(text="<h1>hello</h1>")]
    with pytest.raises(Unavailable, match="is not doce"):
        read(twin)


@both
def test_what_was_read_already_is_not_read_twice(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[frame(5), frame(5), frame(4), frame(6), DELETED])]
    assert read(twin)[0] == [5, 6, 99]


@both
def test_a_log_that_was_restored_starts_over(twin: DoceTwin, read: Reader) -> None:
    twin.script = [Answer(chunks=[frame(50)]), Answer(chunks=[frame(1), frame(2), DELETED])]
    assert read(twin)[0] == [50, 1, 2, 99]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 2000), max_size=8), seqs=st.lists(st.integers(1, 90), min_size=1, max_size=12, unique=True))
def test_no_gap_and_no_double_under_any_cuts(twin: DoceTwin, cuts: Sequence[int], seqs: list[int]) -> None:
    """doce honours the cursor; the connection breaks after any number of bytes."""
    seqs.sort()
    left = list(cuts)

    def serve(asked: Asked) -> Answer:
        after = int(asked.headers.get("last-event-id", asked.query["after"]))
        data = b"".join(frame(seq) for seq in seqs if seq > after) + DELETED
        return Answer(chunks=[data[: left.pop(0)] if left else data])

    twin.answer = serve
    assert read_sync(twin)[0] == [*seqs, 99]


def test_leaving_the_loop_closes_the_connection(twin: DoceTwin) -> None:
    twin.script = [Answer(chunks=[frame(1), frame(2)], hold=True), Answer(body={"ok": True})]
    with Doce(address=Address(twin.url)) as doce:
        stream = doce.events("x")
        assert next(stream).seq == 1
        stream.close()
        assert doce.health() == {"ok": True}


def test_logs_go_on_from_their_byte(twin: DoceTwin) -> None:
    def chunk(offset: int, text: str) -> bytes:
        said = f'{{"offset": {offset}, "nextOffset": {offset + len(text)}, "text": "{text}", "truncated": false}}'
        return f"event: log.chunk\ndata: {said}\n\n".encode()

    pauses: list[float] = []
    twin.script = [Answer(chunks=[chunk(100, "one"), chunk(103, "two"), b"event: log"]), Answer(chunks=[chunk(106, "three")]), not_found()]
    texts: list[str] = []
    with Doce(address=Address(twin.url), pause=pauses.append) as doce, pytest.raises(DoceError):
        texts.extend(piece.text for piece in doce.logs("x"))
        pytest.fail("it ends with the refusal")
    assert [asked.query for asked in twin.asked] == [{}, {"offset": "106"}, {"offset": "111"}]


def test_an_event_of_a_newer_doce_is_kept_as_it_is() -> None:
    event = Event.of({"seq": 1, "type": "chat.brand.new", "projectId": "p", "time": 5, "payload": {"a": 1}})
    assert event.typed() is None
    assert event.envelope() == {"seq": 1, "type": "chat.brand.new", "projectId": "p", "time": 5, "payload": {"a": 1}}
    known = Event.of({"seq": 1, "type": "viewer.count", "projectId": "p", "time": 5, "payload": {"count": 2, "later": True}})
    typed = known.typed()
    assert typed is not None
    assert typed.wire() == {"count": 2}
