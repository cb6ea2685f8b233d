from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from doce.events import log
from doce.events.feed import RING, Feed
from doce.events.vocabulary import PAYLOADS, MessagePartAdded, ReasoningPart, SessionStatus, parse
from doce.events.writer import EventWriter, Pending, joined


def piece(text: str, offset: int, part: str = "p1") -> MessagePartAdded:
    return MessagePartAdded(message_id="m1", part_id=part, offset=offset, delta_text=text)


@pytest.fixture
def writer(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[EventWriter]:
    writer = EventWriter(tmp_path / "data" / "db.sqlite")
    writer.start()
    yield writer
    writer.close()


def test_every_event_has_a_name_and_a_docstring() -> None:
    for name, payload in PAYLOADS.items():
        assert name.startswith(("chat.", "project.", "job.", "production.", "viewer."))
        assert payload.__doc__


def test_append_is_part_of_the_callers_transaction(db: peewee.SqliteDatabase) -> None:
    rung: list[int] = []
    end = log.bell.listen(lambda: rung.append(1))
    with pytest.raises(ZeroDivisionError), db.atomic():
        log.append(SessionStatus(status="busy"), project_id="a")
        _ = 1 / 0
    assert log.after("a", 0) == []
    assert rung == []
    with db.atomic():
        log.append(SessionStatus(status="busy"), project_id="a")
        assert rung == []
    assert rung == [1]
    end()


def test_the_same_fact_is_logged_once_a_project(db: peewee.SqliteDatabase) -> None:
    first = log.append(SessionStatus(status="busy"), project_id="a", source_key="k")
    assert log.append(SessionStatus(status="idle"), project_id="a", source_key="k") == first
    assert log.append(SessionStatus(status="idle"), project_id="b", source_key="k") != first
    assert [event.payload for event in log.after("a", 0)] == [{"status": "busy"}]


def test_a_frame_is_one_line_whatever_the_text(db: peewee.SqliteDatabase) -> None:
    text = "a\r\nb\u2028c\n\nid: 7 🎈"
    log.append(piece(text, 0), project_id="a", session_id="s", prompt_id="p")
    (event,) = log.after("a", 0)
    lines = event.frame().decode().split("\n")
    assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", "", ""]
    envelope = json.loads(lines[2].removeprefix("data: "))
    assert envelope == event.envelope()
    assert parse(envelope["type"], envelope["payload"]) == piece(text, 0)


def test_neighbouring_pieces_are_joined_and_others_are_not() -> None:
    batch = [
        Pending(piece("a", 0), "x", source_key="p1:0"),
        Pending(piece("b", 1), "x", source_key="p1:1"),
        Pending(piece("d", 3), "x", source_key="p1:3"),
        Pending(ReasoningPart(message_id="m1", part_id="p1", offset=4, delta_text="e"), "x"),
        Pending(piece("f", 4), "y"),
    ]
    made = list(joined(batch))
    assert [(event.project_id, event.payload.delta_text, event.source_key) for event in made] == [  # type: ignore[attr-defined]
        ("x", "ab", "p1:0"),
        ("x", "d", "p1:3"),
        ("x", "e", None),
        ("y", "f", None),
    ]


def test_the_writer_keeps_order_and_loses_nothing(writer: EventWriter) -> None:
    for number in range(2000):
        writer.put([Pending(piece(f"{number},", offset=number * 10, part=f"p{number % 3}"), "a")])
    writer.wait()
    texts = "".join(event.payload["deltaText"] for event in log.after("a", 0, 5000))
    assert texts == "".join(f"{number}," for number in range(2000))


def test_the_writer_waits_for_a_database_that_refuses(
    writer: EventWriter, db: peewee.SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = writer._commit, []

    def refuse(batch: list[Pending]) -> None:
        tries.append(len(batch))
        if len(tries) == 1:
            raise peewee.OperationalError("database or disk is full")
        real(batch)

    monkeypatch.setattr(writer, "_commit", refuse)
    writer.wait(writer.put([Pending(SessionStatus(status="busy"), "a")]))
    assert len(tries) == 2
    assert len(log.after("a", 0)) == 1


def test_pruning_keeps_what_a_reader_needs(db: peewee.SqliteDatabase) -> None:
    from doce.events.vocabulary import MessageFinal

    log.append(piece("abc", 0), project_id="a", at=100)
    log.append(MessageFinal(message_id="m1", text="abc"), project_id="a", source_key="m1:final", at=200)
    log.append(MessagePartAdded(message_id="m2", part_id="p2", offset=0, delta_text="open"), project_id="a", at=100)
    assert log.prune_deltas(before_ms=150) == 0
    assert log.prune_deltas(before_ms=300) == 1
    assert [event.type for event in log.after("a", 0)] == ["chat.message.final", "chat.message.part.added"]


async def _take(feed: Feed, project: str | None, after: int, count: int) -> list[int]:
    reader = feed.subscribe(project, after)
    seqs: list[int] = []
    async for chunk in reader:
        seqs += [int(line.removeprefix(b"id: ")) for line in chunk.split(b"\n") if line.startswith(b"id: ")]
        if len(seqs) >= count:
            break
    reader.close()
    return seqs


def test_readers_at_any_cursor_get_everything_once(db: peewee.SqliteDatabase, writer: EventWriter) -> None:
    """Backlog in the log, backlog in the ring and live events join without a seam, for slow and quick readers."""

    async def scenario() -> None:
        total = RING * 2
        writer.wait(writer.put(Pending(SessionStatus(status="busy", attempt=n), "a") for n in range(total // 2)))
        async with Feed() as feed:
            readers = [asyncio.create_task(_take(feed, "a", after, total - after)) for after in (0, 1, 700, total // 2)]
            for start in range(total // 2, total, 500):
                end = min(start + 500, total)
                writer.put(Pending(SessionStatus(status="busy", attempt=n), "a") for n in range(start, end))
                await asyncio.to_thread(writer.wait)
            late = asyncio.create_task(_take(feed, None, 10**9, total))
            results = await asyncio.wait_for(asyncio.gather(*readers, late), 20)
            for after, seqs in zip((0, 1, 700, total // 2, 0), results, strict=True):
                assert seqs == list(range(after + 1, total + 1))
            assert feed.readers == 0

    asyncio.run(scenario())


def test_closing_the_feed_ends_every_reader(db: peewee.SqliteDatabase) -> None:
    async def scenario() -> None:
        async with Feed() as feed:
            readers = [asyncio.create_task(_take(feed, "a", 0, 1)) for _ in range(3)]
            await asyncio.sleep(0)
            feed.close()
            assert await asyncio.wait_for(asyncio.gather(*readers), 5) == [[], [], []]

    asyncio.run(scenario())


def test_what_another_process_wrote_is_seen(db: peewee.SqliteDatabase) -> None:
    async def scenario() -> None:
        async with Feed() as feed:
            reader = asyncio.create_task(_take(feed, "a", 0, 1))
            await asyncio.sleep(0)
            # A connection that does not ring this process's bell, as another process would not.
            db.execute_sql(log.INSERT, ("a", "chat.session.status", None, None, "{}", None, 1))
            assert await asyncio.wait_for(reader, 5) == [1]

    asyncio.run(scenario())


def test_looking_by_type_uses_the_index_that_leaves_out_the_floods(db: peewee.SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = db.execute_sql

    def execute(sql: str, *values: Any) -> Any:
        asked.extend(str(row[3]) for row in real(f"EXPLAIN QUERY PLAN {sql}", *values).fetchall())
        return real(sql, *values)

    monkeypatch.setattr(db, "execute_sql", execute)
    log.of_types("prj_1", ("chat.permission.requested", "chat.permission.resolved"))
    assert any("event_type" in line for line in asked)
    asked.clear()
    log.of_types("prj_1", ("job.state",))
    assert asked
    assert not any("event_type" in line for line in asked)
