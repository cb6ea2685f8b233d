"""doce's HTTP door over a real socket: real database, feed, writer and projects; only the agent is played."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from doce.actions.services import Services
from doce.auth.attempts import Attempts
from doce.auth.identities import Identities
from doce.auth.secrets import SecretKey
from doce.auth.sessions import Sessions
from doce.auth.users import ApiTokens, Person, Users
from doce.chats.chats import Chats
from doce.clock import ManualClock
from doce.db.connection import database
from doce.events.feed import Feed
from doce.events.vocabulary import MessagePartAdded
from doce.events.writer import EventWriter, Pending
from doce.llm.catalog import Catalog
from doce.llm.providers import Providers
from doce.opencode.values import Message
from doce.presence.presence import Presence
from doce.productions.deployments import Productions
from doce.productions.releases import Releases
from doce.projects.arrivals import Arrivals
from doce.projects.incoming import Incoming
from doce.projects.lifecycle import Projects
from doce.projects.members import Members
from doce.projects.prompts import PromptStore
from doce.projects.requests import Requests
from doce.projects.store import ProjectStore
from doce.settings import Settings, machine_path
from doce.transport import Listener, listen
from doce.upkeep.monitor import Monitor
from doce.web.routes import application
from tests.upkeep.scene import PlayedRuntime

PATIENCE_S = 20
#: How long a house may take to begin and to end: on a machine with work for twenty, importing and writing alone take that.
BEGINS_S = 100


@dataclass
class PlayedAgent:
    """An agent that remembers what it was told; `refuses` is raised instead."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    refuses: Exception | None = None
    #: ids of the prompts' messages that it works on
    answers: list[str] = field(default_factory=list)
    #: called in the middle of every call
    meanwhile: Callable[[], None] = lambda: None

    def _hear(self, *what: Any) -> bool:
        self.meanwhile()
        if self.refuses:
            raise self.refuses
        self.told.append(what)
        return True

    def messages(self, session_id: str, limit: int | None = None) -> list[Message]:
        """An answer to each prompt that it works on."""
        self._hear("messages", session_id)
        self.told.pop()
        about = {"sessionID": session_id, "role": "assistant"}
        return [Message.model_validate({"info": {"id": f"{asked}a", "parentID": asked, **about}}) for asked in self.answers]

    def abort(self, session_id: str) -> bool:
        return self._hear("abort", session_id)

    def reply_permission(self, request_id: str, reply: str, message: str | None = None) -> None:
        self._hear("permission", request_id, reply, message)

    def reply_question(self, request_id: str, answers: list[list[str]]) -> None:
        self._hear("question", request_id, answers)

    def reject_question(self, request_id: str) -> None:
        self._hear("reject", request_id)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any], seconds: float = PATIENCE_S) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor(), BEGINS_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


def make_services(settings: Settings, clock: ManualClock, agent: PlayedAgent) -> Services:
    store, prompts, catalog = ProjectStore(settings, clock), PromptStore(clock), Catalog(settings, clock)
    projects = Projects(settings, clock, store=store, prompts=prompts, models=catalog, isolates=lambda: False)
    incoming = Incoming(settings)
    return Services(
        settings=settings,
        clock=clock,
        users=Users(clock),
        tokens=ApiTokens(clock),
        sessions=Sessions(clock),
        identities=Identities(clock),
        members=Members(clock),
        attempts=Attempts(clock),
        projects=projects,
        prompts=prompts,
        requests=Requests(clock, store=store, agent=lambda project_id: agent),  # type: ignore[arg-type,return-value]
        catalog=catalog,
        chats=Chats.of(SecretKey.load(settings.data / "secret.key"), clock),
        providers=Providers(SecretKey.load(settings.data / "secret.key"), clock, catalog),
        feed=Feed(),
        incoming=incoming,
        arrivals=Arrivals(settings, clock, store=store, prompts=prompts, projects=projects, incoming=incoming),
        presence=Presence(clock, store=store, stale_s=settings.viewer_stale_s, ready=lambda project: {}),
        monitor=Monitor(settings, clock, runtime=PlayedRuntime()),
        agent=lambda project: agent,  # type: ignore[arg-type,return-value]
        productions=Productions(settings, clock, Releases(clock), path=machine_path()),
    )


@dataclass
class House:
    settings: Settings
    clock: ManualClock
    services: Services
    agent: PlayedAgent
    store: ProjectStore
    writer: EventWriter
    loop: Loop
    listener: Listener
    http: httpx.Client
    connections: list[Raw] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    def person(self, name: str, role: str = "member") -> tuple[Person, dict[str, str]]:
        """A user, and the headers that show their token."""
        users = self.services.users
        made = users.first_admin(name) if role == "admin" and not users.any() else users.add(name, role)  # type: ignore[arg-type]
        _, secret = self.services.tokens.create(made.id, "test")
        return made, {"authorization": f"Bearer {secret.get_secret_value()}"}

    def connect(self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET", buffer: int | None = None) -> Raw:
        """A raw connection that has sent its request and read nothing."""
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", self.port))
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: localhost",
            "connection: close",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
            "",
            "",
        ]
        sock.sendall("\r\n".join(lines).encode())
        self.connections.append(Raw(sock))
        return self.connections[-1]

    def call(self, work: Callable[[], Any]) -> Any:
        """`work` in the loop."""

        async def inside() -> Any:
            return work()

        return self.loop.run(inside())

    def until(self, true: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
        """Let the loop turn until `true()`; fails after `seconds`."""

        async def look() -> None:
            async with asyncio.timeout(seconds):
                while not true():
                    await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})

        self.loop.run(look())


class Raw:
    """A connection that reads what it is asked to read."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self.data:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(self.data[-2000:])
            self.data += more
        found, _, self.data = self.data.partition(mark)
        return found + mark

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        with contextlib.suppress(ConnectionResetError):
            while more := self.sock.recv(65536):
                self.data += more
        return self.data

    def close(self) -> None:
        self.sock.close()


def piece(number: int, project_id: str, text: str = "word ") -> Pending:
    """One event; parts differ, so that pieces are not joined."""
    return Pending(MessagePartAdded(message_id="msg", part_id=f"prt_{number}", offset=0, delta_text=text), project_id)


def frames(text: bytes) -> list[dict[str, Any]]:
    """The envelopes of a stream's bytes (chunked encoding removed or not)."""
    found = []
    for line in text.split(b"\n"):
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
    return found


@contextlib.contextmanager
def served(folder: Path, **settings: Any) -> Iterator[House]:
    """A house whose database is open; closed in order."""
    made = Settings(data=folder / "data", min_free_mb=0, cache=folder / "cache", **settings)
    clock, agent, loop = ManualClock(), PlayedAgent(), Loop()
    services = make_services(made, clock, agent)
    writer = EventWriter(made.database)
    writer.start()
    app = application(services)
    listener = Listener(app, listen("127.0.0.1", 0), drain_s=1)
    loop.run(services.feed.__aenter__(), BEGINS_S)

    async def begin() -> None:
        listener.begin()

    async def end() -> None:
        services.feed.close()
        await listener.end()
        await services.feed.__aexit__(None, None, None)

    loop.run(begin(), BEGINS_S)
    # By doce's own name: at that of the sites nobody can sign in.
    own = {"host": f"localhost:{listener.port}"}
    # There is no TLS: reading the machine's certificates would be a third of a house's beginning.
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.port}", timeout=PATIENCE_S, headers=own, verify=False) as http:
        store = ProjectStore(made, clock)
        house = House(made, clock, services, agent, store, writer, loop, listener, http)
        try:
            yield house
        finally:
            for raw in house.connections:
                raw.close()
    loop.run(end(), BEGINS_S)
    app.state.office.close()
    loop.run(_closed_in_loop(), BEGINS_S)
    writer.close()
    loop.close()


async def _closed_in_loop() -> None:
    if not database.is_closed():
        database.close()
