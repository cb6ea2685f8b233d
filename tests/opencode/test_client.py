"""Client, stream and snapshot over a real socket, and what they make of a server that misbehaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from copy import deepcopy

import httpx
import pytest
from pydantic import SecretStr

from doce.errors import BadRequest, Conflict, DoceError, NotFound, Unavailable
from doce.opencode.client import OpenCode, mint_message_id
from doce.opencode.ids import id_moment
from doce.opencode.normalize import normalize
from doce.opencode.resync import resync
from doce.opencode.snapshot import take
from doce.opencode.stream import Connected, Health, follow
from doce.opencode.transcript import transcript
from doce.opencode.turns import turn_end
from doce.testing.opencode import Faults, ReplayServer
from tests.opencode.harness import RECORDINGS, Normalized, State, whole

pytestmark = pytest.mark.slow

SESSION = "ses_1"


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> OpenCode:
    return OpenCode("http://agent", SecretStr("secret"), transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (httpx.Response(200, text="<html>"), Unavailable, "cannot be read"),
        (httpx.Response(200, json=[1]), Unavailable, "cannot be read"),
        (httpx.Response(200, json={"no": "id"}), Unavailable, "cannot be read"),
        (httpx.Response(500, text=""), Unavailable, "status 500"),
        (httpx.Response(500, json={"name": "UnknownError", "data": {"message": "boom"}}), Unavailable, "boom"),
        (httpx.Response(404, json={"name": "NotFoundError", "data": {"message": "Session not found: x"}}), NotFound, "Session not found"),
        (httpx.Response(404, text="nginx"), Unavailable, "status 404"),
        (httpx.Response(409, json={"_tag": "SessionBusyError"}), Conflict, "busy"),
        (httpx.Response(400, json={"name": "BadRequest", "data": {"message": "Missing key"}}), BadRequest, "Missing key"),
        (httpx.Response(401), Unavailable, "password"),
        (httpx.Response(302, headers={"location": "/"}), Unavailable, "status 302"),
    ],
)
def test_every_bad_answer_is_one_clear_error(answer: httpx.Response, error: type[DoceError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        _client(lambda request: answer).session(SESSION)
    assert type(caught.value) is error


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")])
def test_a_server_that_is_not_there_is_unavailable(fault: httpx.HTTPError) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(Unavailable) as caught:
        _client(fail).statuses()
    assert caught.value.hint


@pytest.mark.parametrize("identifier", ["../x", "a/b", "", "ses_1?x=1"])
def test_an_id_cannot_lead_elsewhere(identifier: str) -> None:
    with pytest.raises(BadRequest):
        _client(lambda request: httpx.Response(200, json=True)).abort(identifier)


def test_a_prompt_carries_id_and_model() -> None:
    with ReplayServer(RECORDINGS["a-plain"]) as server, OpenCode(server.url, server.password) as client:
        client.prompt(SESSION, message_id="msg_1", text="hi", model=("doce", "rehearsal/site-builder"))
        assert server.prompts == [
            {
                "messageID": "msg_1",
                "model": {"providerID": "doce", "modelID": "rehearsal/site-builder"},
                "parts": [{"type": "text", "text": "hi"}],
            }
        ]
        assert client.health().healthy
        with pytest.raises(Unavailable, match="password"), OpenCode(server.url, SecretStr("wrong")) as stranger:
            stranger.health()


def test_pages_are_read_back_to_what_is_known() -> None:
    pages = {None: (["c", "d"], "2"), "2": (["a", "b"], "1"), "1": (["z"], None)}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/message"):
            ids, cursor = pages[request.url.params.get("before")]
            return httpx.Response(
                200, json=[{"info": {"id": f"msg_{i}"}, "parts": []} for i in ids], headers={"x-next-cursor": cursor} if cursor else {}
            )
        found = {"/session/ses_1": {"id": "ses_1"}, "/session/status": {}}.get(path, [])
        return httpx.Response(200, json=found)

    def ids(known: str) -> list[str]:
        snapshot = take(_client(answer), ["ses_1"], known=lambda message_id: message_id == known)
        return [item["info"]["id"] for item in snapshot.messages["ses_1"]]

    assert ids("msg_a") == ["msg_a", "msg_b", "msg_c", "msg_d"]
    assert ids("nothing") == ["msg_z", "msg_a", "msg_b", "msg_c", "msg_d"]


def test_a_snapshot_is_read_again_while_statuses_change() -> None:
    statuses = [{"ses_1": {"type": "busy"}}, {}, {}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/session/status":
            return httpx.Response(200, json=statuses.pop(0))
        return httpx.Response(200, json={"id": "ses_1"} if request.url.path == "/session/ses_1" else [])

    assert take(_client(answer), ["ses_1"]).statuses == {}
    assert statuses == []


# Ids


def test_minted_ids_sort_between_what_is_there_and_what_comes() -> None:
    rng = random.Random(1)
    now = 1_795_432_607_613
    minted = mint_message_id(now, rng=rng)
    # msg_2081f6f7d001… was made by OpenCode in this very millisecond.
    assert minted.startswith("msg_2081f6f7d000")
    assert minted < "msg_2081f6f7d001pGI39FMiLQ3yQ7"
    last = minted
    for _ in range(100):
        following = mint_message_id(now, last, rng)
        assert following > last
        last = following
    assert mint_message_id(now, "msg_2081f6f7d001pGI39FMiLQ3yQ7", rng) > "msg_2081f6f7d001pGI39FMiLQ3yQ7"
    assert len(minted) == len("msg_2081f6f7d001pGI39FMiLQ3yQ7")


def test_minted_ids_survive_the_wrap_of_the_clock() -> None:
    wrap = 27 << 36
    before = mint_message_id(wrap - 1)
    assert id_moment(mint_message_id(wrap + 5, before)) == 5 * 4096
    assert id_moment("nonsense") is None
    assert id_moment("msg_zzzzzzzzzzzzzzzz") is None


# The stream


async def _nothing(seconds: float) -> None:
    await asyncio.sleep(0)


async def _relay(server: ReplayServer, client: OpenCode, health: Health, *, silence_s: float = 5.0) -> list[Normalized]:
    """What the relay does, until the first turn has ended. The server waits for the first resync."""
    state, log = State(), []
    events = follow(client, sleep=_nothing, health=health, silence_s=silence_s)
    async for event in events:
        if isinstance(event, Connected):
            found = await asyncio.to_thread(client.sessions)
            snapshot = await asyncio.to_thread(take, client, [each.id for each in found], known=state.final)
            log += resync(state, snapshot)
            server.release()
        else:
            log += normalize(state, event)
        if state.turns and all(turn_end(state, turn) for turn in state.turns):
            break
    await events.aclose()
    return log


FAULTS = {
    "whole": {},
    "cut often": {"cut_after": [1, 5, 9, 3]},
    "cut and lost": {"cut_after": [20], "lost": 9},
    "malformed lines": {"lines": ["data: {broken", "data: [1]", ": comment", "event: odd\ndata: null", "id: 7"]},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["a-plain", "c-write", "f6-errchunk-recover", "z2-parallel"])
def test_a_relay_over_a_real_socket_has_the_same_log(name: str, fault: str) -> None:
    faults = Faults(**deepcopy(FAULTS[fault]))
    health = Health()
    with ReplayServer(RECORDINGS[name], faults=faults) as server, OpenCode(server.url, server.password) as client:
        server.hold(3)
        log = asyncio.run(asyncio.wait_for(_relay(server, client, health), 20))
        connections = server.connections
    wanted = whole(RECORDINGS[name]).view
    view = transcript((told.payload, told.session_id) for told in log)
    assert view.text == wanted.text
    assert {tool.id: tool.state for tool in view.tools.values()} == {tool.id: tool.state for tool in wanted.tools.values()}
    assert view.files == wanted.files
    keys = [told.source_key for told in log if told.source_key]
    assert len(keys) == len(set(keys))
    assert health.connections == connections
    assert health.malformed.total() == (3 if faults.lines else 0)


def test_silence_is_death() -> None:
    health = Health()
    faults = Faults(silent_after=6)
    with ReplayServer(RECORDINGS["a-plain"], faults=faults) as server, OpenCode(server.url, server.password) as client:
        server.hold(3)
        log = asyncio.run(asyncio.wait_for(_relay(server, client, health, silence_s=0.3), 20))
    assert health.connections == 2
    assert "ReadTimeout" in (health.last_error or "")
    assert transcript((told.payload, told.session_id) for told in log).text == whole(RECORDINGS["a-plain"]).view.text


@pytest.mark.parametrize("answer", [(500, ""), (200, "<html>busy</html>"), (200, "data: nonsense")], ids=["500", "html", "not a stream"])
def test_a_server_that_answers_nonsense_is_asked_again_with_growing_waits(answer: tuple[int, str]) -> None:
    health, waits = Health(), []

    async def run(server: ReplayServer, client: OpenCode) -> None:
        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 8:
                server.faults.answer = None

        events = follow(client, sleep=sleep, health=health, rng=random.Random(0))
        assert isinstance(await anext(events), Connected)
        await events.aclose()

    with ReplayServer(RECORDINGS["a-plain"], faults=Faults(answer=answer)) as server, OpenCode(server.url, server.password) as client:
        asyncio.run(asyncio.wait_for(run(server, client), 20))
    assert len(waits) == 8
    assert waits[0] < 0.2 < 2 < waits[-1] < 6.5
    assert health.failures == 8


def test_a_disposed_instance_is_connected_to_again() -> None:
    frame = 'data: {"id":"e","type":"server.instance.disposed","properties":{"directory":"/workspace"}}'

    async def run(server: ReplayServer, client: OpenCode) -> None:
        events = follow(client, sleep=_nothing)
        assert await anext(events) == Connected(1)
        server.faults.lines = []
        assert await anext(events) == Connected(2)
        await events.aclose()

    with ReplayServer(RECORDINGS["a-plain"], faults=Faults(lines=[frame])) as server, OpenCode(server.url, server.password) as client:
        asyncio.run(asyncio.wait_for(run(server, client), 20))
