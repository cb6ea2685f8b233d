from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import peewee
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from doce.auth.secrets import SecretKey
from doce.clock import ManualClock
from doce.db.models import Prompt, Usage, User
from doce.errors import Unavailable
from doce.events import log
from doce.llm import gateway as gateway_module
from doce.llm.catalog import Catalog
from doce.llm.gateway import Gateway
from doce.llm.server import GatewayServer
from doce.llm.tokens import GatewayTokens
from doce.llm.usage import UsageCounter
from doce.logger import JsonFormatter
from doce.projects.store import ProjectStore
from doce.settings import Settings
from doce.transport import Listener, listen
from tests.web.house import PATIENCE_S, Loop

pytestmark = pytest.mark.slow

KEY = "sk-upstream-0123456789abcdef"
ASK = {"model": "openai/gpt-x", "messages": [{"role": "user", "content": "x" * 400}], "stream": True}
#: A turn of an agent, not a question for a name.
TOOLS = {"tools": [{"type": "function", "function": {"name": "bash", "parameters": {}}}]}
STREAM = [
    b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n',
    b': keep-alive\r\n\r\ndata: {"choices":[{"delta":{"content":"lo \xf0\x9f',
    b'\x8e\x88"}}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":7}}}\n\n'
    b"data: [DONE]\n\n",
]


class Upstream:
    """A provider that does what a test says, on a socket of its own."""

    def __init__(self, loop: Loop) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer: Callable[[Request], Response] = lambda request: JSONResponse({"choices": []})
        self.closed = threading.Event()
        self.arrived = threading.Event()
        self._loop = loop
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"]), Route("/v1/models", self._models)])
        self._listener = Listener(app, listen("127.0.0.1", 0), drain_s=1)
        self.url = f"http://127.0.0.1:{self._listener.port}/v1"

        async def begin() -> None:
            self._listener.begin()

        loop.run(begin())

    async def _models(self, request: Request) -> Response:
        return JSONResponse(
            {"data": [{"id": "gpt-x", "pricing": {"prompt": "0.000001", "completion": "0.000002"}, "context_length": 1000}]}
        )

    async def _complete(self, request: Request) -> Response:
        self.asked.append((dict(request.headers), await request.json()))
        self.arrived.set()
        return self.answer(request)

    def streams(self, pieces: list[bytes], *, then: str = "end") -> tuple[threading.Event, threading.Event]:
        """Answer with these pieces; before each but the first wait for `go`. `then`: end, break, or wait for the client to go."""
        go, sent = threading.Event(), threading.Event()

        async def play() -> AsyncIterator[bytes]:
            try:
                for number, piece in enumerate(pieces):
                    if number:
                        await asyncio.to_thread(go.wait, PATIENCE_S)
                    yield piece
                    sent.set()
                if then == "break":
                    raise ConnectionError("the provider dies")
                if then == "wait":
                    await asyncio.Event().wait()
            finally:
                self.closed.set()

        self.answer = lambda request: StreamingResponse(play(), media_type="text/event-stream")
        return go, sent

    def close(self) -> None:
        self._loop.run(self._listener.end())


@dataclass
class Place:
    settings: Settings
    tokens: GatewayTokens
    server: GatewayServer
    gateway: Gateway
    upstream: Upstream
    loop: Loop
    http: httpx.Client
    headers: dict[str, str]
    lines: list[str] = field(default_factory=list)

    def used(self) -> list[dict[str, Any]]:
        """What was written down, once every write has ended."""

        async def written() -> None:
            while self.gateway._writing:
                await asyncio.gather(*self.gateway._writing, return_exceptions=True)

        self.loop.run(written())
        return list(Usage.select().order_by(Usage.id).dicts())


class Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def make(settings: Settings, key: SecretKey) -> tuple[GatewayTokens, Gateway, GatewayServer]:
    clock = ManualClock()
    tokens, catalog = GatewayTokens(key, clock), Catalog(settings, clock)
    gateway = Gateway(tokens=tokens, catalog=catalog, usage=UsageCounter(catalog, clock))
    return tokens, gateway, GatewayServer(settings, gateway)


@pytest.fixture
def place(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[Place]:
    loop, far = Loop(), Loop()
    upstream = Upstream(far)
    settings = Settings(data=tmp_path / "data", openai_base_url=upstream.url, openai_key=SecretStr(KEY))
    tokens, gateway, server = make(settings, SecretKey(b"k" * 32))
    User.create(id="usr_1", name="ada", role="admin", created_at=0)
    store = ProjectStore(settings, ManualClock())
    store.insert(
        slug="tea", id="prj_1", owner_user_id="usr_1", name="Tea", prompt="p", template="static", model="openai/gpt-x", path=str(tmp_path)
    )
    Prompt.create(id="prm_1", project_id="prj_1", user_id="usr_1", session_id="ses_1", text="t", state="sent", position=1, created_at=0)
    tokens.grant("prj_1")
    loop.run(server.start())
    lines: list[str] = []
    handler = Lines(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    headers = {"authorization": f"Bearer {tokens.current('prj_1').get_secret_value()}"}
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
        yield Place(settings, tokens, server, gateway, upstream, loop, http, headers, lines)
    loop.run(server.stop())
    upstream.close()
    root.removeHandler(handler)
    loop.close()
    far.close()


def test_bytes_pass_through_as_they_come_and_are_counted(place: Place) -> None:
    go, _ = place.upstream.streams(STREAM)
    with place.http.stream("POST", "/chat/completions", json=ASK, headers=place.headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = answer.iter_raw()
        # The first piece is here while the provider still holds the second one back.
        assert next(pieces) == STREAM[0]
        go.set()
        rest = b"".join(pieces)
    assert STREAM[0] + rest == b"".join(STREAM)
    (used,) = place.used()
    assert (used["input_tokens"], used["output_tokens"], used["cached_tokens"], used["estimated"]) == (120, 30, 7, 0)
    assert used["cost"] == pytest.approx(120e-6 + 60e-6)
    assert (used["project_id"], used["prompt_id"], used["user_id"], used["provider"], used["model"], used["purpose"]) == (
        "prj_1", "prm_1", "usr_1", "openai", "gpt-x", "turn",
    )  # fmt: skip
    (told,) = log.of_types("prj_1", ("chat.usage",))
    assert (told.prompt_id, told.session_id) == ("prm_1", "ses_1")
    assert told.payload["tokens"]["input"] == 120
    headers, body = place.upstream.asked[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "gpt-x"
    assert body["stream_options"] == {"include_usage": True}


def test_a_provider_that_says_no_usage_is_estimated(place: Place) -> None:
    go, _ = place.upstream.streams(STREAM[:3])
    go.set()
    assert place.http.post("/chat/completions", json=ASK, headers=place.headers).status_code == 200
    (used,) = place.used()
    assert used["estimated"] == 1
    assert used["input_tokens"] == len(json.dumps(ASK["messages"])) // 4
    assert used["output_tokens"] == len("Hello 🎈") // 4


def test_a_stream_that_breaks_arrives_broken_and_is_counted(place: Place) -> None:
    go, _ = place.upstream.streams(STREAM[:3], then="break")
    go.set()
    with pytest.raises(httpx.RemoteProtocolError):
        place.http.post("/chat/completions", json=ASK, headers=place.headers)
    (used,) = place.used()
    assert used["estimated"] == 1
    assert any("broke off" in line for line in place.lines)


def test_a_call_that_doce_did_not_live_to_count_is_counted_by_the_next(place: Place) -> None:
    """Killed while the provider speaks: what was asked has been paid for, by the prompt that asked it."""
    go, _ = place.upstream.streams(STREAM)
    with place.http.stream("POST", "/chat/completions", json=ASK, headers=place.headers) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == STREAM[0]
        # Another doce on the same database, as after kill -9; by then another prompt is with the agent.
        Prompt.update(state="interrupted").where(Prompt.id == "prm_1").execute()
        counter = UsageCounter(Catalog(place.settings, ManualClock()), ManualClock())
        assert counter.recover() == 1
        assert counter.recover() == 0
        (used,) = Usage.select().dicts()
        assert (used["prompt_id"], used["user_id"], bool(used["estimated"])) == ("prm_1", "usr_1", True)
        assert used["input_tokens"] > 0
        go.set()
        assert b"".join(pieces)
    assert len(place.used()) == 1, "and not once more by the one that was believed dead"


def test_what_is_over_or_was_refused_is_not_counted_again(place: Place) -> None:
    go, _ = place.upstream.streams(STREAM)
    go.set()
    place.http.post("/chat/completions", json=ASK, headers=place.headers)
    assert len(place.used()) == 1
    place.upstream.answer = lambda request: JSONResponse({"error": {"message": "slow down"}}, 429)
    assert place.http.post("/chat/completions", json=ASK, headers=place.headers).status_code == 429
    assert UsageCounter(Catalog(place.settings, ManualClock()), ManualClock()).recover() == 0
    assert len(place.used()) == 1


def test_a_whole_answer_cut_anywhere_is_counted(place: Place) -> None:
    whole = json.dumps({"choices": [{"message": {"content": "7"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 12, "cost": 0.5}})
    cut = whole.index("12")
    go, _ = place.upstream.streams([whole[:cut].encode(), whole[cut : cut + 2].encode(), whole[cut + 2 :].encode()])
    go.set()
    answer = place.http.post("/chat/completions", json={**ASK, "stream": False}, headers=place.headers)
    assert answer.text == whole
    (used,) = place.used()
    assert (used["input_tokens"], used["output_tokens"], used["cost"], used["estimated"]) == (3, 12, 0.5, 0)
    assert "stream_options" not in place.upstream.asked[0][1]


NONSENSE = [
    b'data: {"choices":[1,null,{"delta":7}]}\n\n',
    b'data: {"choices":7,"usage":{"prompt_tokens":"many","completion_tokens":-4,"prompt_tokens_details":[1]}}\n\n',
    b"data: {\n\ndata: [1,2]\n\ndata: \xff\xfe\n\n",
    b"<html>busy</html>",
    b"",
]


def test_nonsense_passes_and_breaks_nothing(place: Place) -> None:
    for nonsense in NONSENSE:
        go, _ = place.upstream.streams([nonsense])
        go.set()
        assert place.http.post("/chat/completions", json=ASK, headers=place.headers).content == nonsense
    assert [used["output_tokens"] for used in place.used()] == [0] * len(NONSENSE)


def test_an_agent_that_goes_closes_the_provider(place: Place) -> None:
    place.upstream.streams(STREAM[:1], then="wait")
    with place.http.stream("POST", "/chat/completions", json=ASK, headers=place.headers) as answer:
        assert next(answer.iter_raw()) == STREAM[0]
    assert place.upstream.closed.wait(2)
    (used,) = place.used()
    assert used["estimated"] == 1
    assert used["input_tokens"] > 0


def test_an_agent_that_goes_before_the_first_word_closes_the_provider(place: Place) -> None:
    gone = threading.Event()

    class Thinking(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

    place.upstream.answer = lambda request: Thinking()
    body = json.dumps(ASK).encode()
    url = httpx.URL(place.server.url)
    with socket.create_connection((url.host, url.port)) as sock:
        head = f"host: x\r\nauthorization: {place.headers['authorization']}\r\ncontent-length: {len(body)}\r\n\r\n"
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + body)
        assert place.upstream.arrived.wait(PATIENCE_S)
    assert gone.wait(2)

    async def counted() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(lambda: Usage.select().count()):
                pass

    place.loop.run(counted())
    (used,) = place.used()
    assert used["estimated"] == 1


def test_429_arrives_with_when_to_come_back(place: Place) -> None:
    place.upstream.answer = lambda request: JSONResponse({"error": {"message": "slow down"}}, 429, {"retry-after": "7", "x-secret": "no"})
    answer = place.http.post("/chat/completions", json=ASK, headers=place.headers)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert "x-secret" not in answer.headers
    assert answer.json() == {"error": {"message": "slow down"}}
    assert place.used() == []


def test_the_key_is_nowhere(place: Place, tmp_path: Path) -> None:
    place.upstream.answer = lambda request: JSONResponse({"error": f"bad key {request.headers['authorization']}"}, 401)
    answer = place.http.post("/chat/completions", json=ASK, headers=place.headers)
    assert answer.status_code == 401
    assert "***" in answer.text
    place.upstream.answer = lambda request: JSONResponse({"choices": []})
    fine = place.http.post("/chat/completions", json={**ASK, "stream": False}, headers=place.headers)
    models = place.http.get("/models", headers=place.headers)
    place.used()
    said = "".join([answer.text, fine.text, models.text, str(answer.headers), str(fine.headers), *place.lines, repr(place.settings)])
    assert KEY not in said
    for file in (tmp_path / "data").rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes()
            assert place.headers["authorization"].removeprefix("Bearer ").encode() not in file.read_bytes()


def test_a_provider_that_is_not_there_is_502(place: Place) -> None:
    place.upstream.close()
    answer = place.http.post("/chat/completions", json=ASK, headers=place.headers)
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == "upstream_error"
    assert "openai does not answer" in error["message"]
    assert place.used() == []


def test_only_the_token_of_a_running_project_opens(place: Place) -> None:
    good = place.headers["authorization"].removeprefix("Bearer ")
    place.tokens.grant("prj_2")
    for wrong in (
        "",
        "x",
        good[:-1],
        good + "0",
        good.replace("prj_1", "prj_2"),
        good.replace("-1-", "-2-"),
        "dgw-prj_9-0-x",
        "doce_" + "x" * 40,
    ):
        for method, path in (("POST", "/chat/completions"), ("GET", "/models")):
            answer = place.http.request(method, path, json=ASK, headers={"authorization": f"Bearer {wrong}".strip()})
            assert answer.status_code == 401, wrong
            assert answer.json()["error"]["code"] == "invalid_api_key"
    assert place.http.post("/chat/completions", json=ASK, headers={"authorization": f"Basic {good}"}).status_code == 401
    assert place.http.post("/chat/completions", json=ASK).status_code == 401
    place.tokens.revoke("prj_1")
    assert place.http.get("/models", headers=place.headers).status_code == 401
    assert place.upstream.asked == []


def test_three_routes_and_nothing_else(place: Place) -> None:
    assert place.http.get("../health").json() == {"ok": True}
    listed = place.http.get("/models", headers=place.headers).json()
    assert [one["id"] for one in listed["data"]] == ["rehearsal/site-builder", "openai/gpt-x"]
    for method, path in (
        ("GET", "/chat/completions"), ("POST", "/models"), ("GET", "/models/"), ("GET", "/"), ("GET", "../api/health"),
        ("GET", "../api/me"), ("POST", "/embeddings"), ("DELETE", "../health"),
    ):  # fmt: skip
        answer = place.http.request(method, path, headers=place.headers)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "not_found"


def test_bad_requests(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(content: bytes) -> httpx.Response:
        return place.http.post("/chat/completions", content=content, headers=place.headers)

    for content in (b"", b"{", b"[]", b"{}", b'{"messages": 1}', b"\xff"):
        assert ask(content).status_code == 400
    for model in ("nobody/x", "gpt-x", None, "openai/gpt-y", "rehearsal/other"):
        answer = ask(json.dumps({**ASK, "model": model}).encode())
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    monkeypatch.setattr(gateway_module, "MAX_BODY", 1000)
    assert ask(json.dumps({**ASK, "pad": "x" * 1000}).encode()).status_code == 413
    assert place.upstream.asked == []


def test_the_rehearsal_needs_no_provider_and_is_counted(place: Place) -> None:
    ask = {
        "model": "rehearsal/site-builder",
        "messages": [{"role": "user", "content": "[[rehearse only: hello there]]"}],
        "stream": True,
        **TOOLS,
    }
    answer = place.http.post("/chat/completions", json=ask, headers=place.headers)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")
    said = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert "".join(choice["delta"].get("content") or "" for one in said for choice in one["choices"]) == "hello there"
    (used,) = place.used()
    assert (used["provider"], used["cost"], used["estimated"]) == ("rehearsal", 0, 0)
    assert place.upstream.asked == []


def test_the_rehearsal_refuses_once_and_cuts_once(place: Place) -> None:
    def ask(what: str) -> dict[str, Any]:
        return {"model": "rehearsal/site-builder", "messages": [{"role": "user", "content": what}], "stream": True, **TOOLS}

    def post(what: str) -> httpx.Response:
        return place.http.post("/chat/completions", json=ask(what), headers=place.headers)

    refused = post("[[rehearse 429]] [[rehearse only: hi]]")
    assert refused.status_code == 429
    assert post("[[rehearse 429]] [[rehearse only: hi]]").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        post("[[rehearse break]] a site about tea")
    assert post("[[rehearse break]] a site about tea").status_code == 200


# Tokens and the address


def test_tokens_survive_a_restart_and_die_on_revoke(place: Place) -> None:
    token = place.tokens.current("prj_1").get_secret_value()
    after, _, _ = make(place.settings, SecretKey(b"k" * 32))
    assert after.verify(token) == "prj_1"
    after.grant("prj_1")
    assert after.current("prj_1").get_secret_value() == token
    assert after.agent_password("prj_1").get_secret_value() == place.tokens.agent_password("prj_1").get_secret_value()
    elsewhere, _, _ = make(place.settings, SecretKey(b"l" * 32))
    assert elsewhere.verify(token) is None
    after.revoke("prj_1")
    assert place.tokens.verify(token) is None
    after.grant("prj_1")
    assert place.tokens.verify(token) is None, "a new grant is a new token"
    assert place.tokens.verify(after.current("prj_1").get_secret_value()) == "prj_1"


def test_the_port_is_kept_over_restarts(place: Place) -> None:
    url = place.server.url
    place.loop.run(place.server.stop())
    _, _, again = make(place.settings, SecretKey(b"k" * 32))
    assert again.url == url
    place.loop.run(again.start())
    assert again.url == url
    assert httpx.get(url.removesuffix("/v1") + "/health").json() == {"ok": True}
    _, _, third = make(place.settings, SecretKey(b"k" * 32))
    with pytest.raises(Unavailable, match="is taken") as caught:
        place.loop.run(third.start())
    assert "DOCE_GATEWAY_PORT" in (caught.value.hint or "")
    place.loop.run(again.stop())


def test_no_address_before_it_listens(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    _, _, server = make(Settings(data=tmp_path / "data"), SecretKey(b"k" * 32))
    with pytest.raises(Unavailable, match="does not listen yet"):
        _ = server.url
