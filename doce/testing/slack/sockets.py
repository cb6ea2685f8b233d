"""Socket Mode: the app's connections, what is sent on them and what they acknowledge."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from doce.testing.slack.courier import Delivery, Undelivered

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
MOST = 10


@dataclass(eq=False)
class Connection:
    """A websocket of the app. `waiting`: envelopes that it has not acknowledged."""

    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None = None
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    def answered(self, said: Raw) -> None:
        future = self.waiting.pop(str(said.get("envelope_id")), None)
        if future and not future.done():
            future.set_result(said.get("payload"))

    def gone(self) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(Undelivered("connection_closed"))
        self.waiting.clear()


class Sockets:
    """All connections; each delivery goes out on one of them, in turns."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.connections: list[Connection] = []
        self.opened = 0
        self._tickets: set[str] = set()
        self._turn = 0
        self._somebody = asyncio.Event()

    def address(self) -> str:
        """An address that opens one connection."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return f"{self.slack.url.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={self.slack.app.id}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The websocket's end of a connection, until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets or len(self.connections) >= MOST:
            return web.Response(status=408 if ticket not in self._tickets else 429)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(heartbeat=None, autoping=True)
        await socket.prepare(request)
        connection = Connection(socket, request.transport)
        info = {"host": "twin", "started": "", "build_number": 1, "approximate_connection_time": 18060}
        hello = {
            "type": "hello",
            "num_connections": len(self.connections) + 1,
            "debug_info": info,
            "connection_info": {"app_id": self.slack.app.id},
        }
        await socket.send_json(hello)
        self.connections.append(connection)
        self.opened += 1
        self._somebody.set()
        self.slack.world.changed()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._heard(connection, message.data)
        finally:
            self._forget(connection)
        return socket

    def _heard(self, connection: Connection, data: str) -> None:
        try:
            said = json.loads(data)
        except ValueError:
            return
        if isinstance(said, dict):
            connection.answered(said)

    def _forget(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._somebody.clear()
        connection.gone()
        self.slack.world.changed()

    # As a transport

    async def ready(self) -> None:
        await self._somebody.wait()

    async def carry(self, delivery: Delivery, attempt: int, reason: str) -> Any:
        if not self.connections:
            raise Undelivered("no_connection")
        self._turn += 1
        connection = self.connections[self._turn % len(self.connections)]
        envelope = secrets.token_hex(16)
        said: Raw = {"envelope_id": envelope, "type": delivery.kind, "payload": delivery.payload}
        said["accepts_response_payload"] = delivery.kind != "events_api"
        if delivery.kind == "events_api":
            said |= {"retry_attempt": attempt, "retry_reason": reason.removeprefix("http_")}
        future = connection.waiting[envelope] = asyncio.get_running_loop().create_future()
        try:
            await connection.socket.send_json(said)
            return await asyncio.wait_for(future, self.slack.ack_timeout)
        except TimeoutError:
            raise Undelivered("http_timeout") from None
        except (ConnectionError, RuntimeError):
            raise Undelivered("connection_closed") from None
        finally:
            connection.waiting.pop(envelope, None)

    # What happens to connections

    async def refresh(self, reason: str = "refresh_requested") -> None:
        """Ask every connection to go and come back, as Slack does from time to time."""
        for connection in list(self.connections):
            await connection.socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "twin"}})

    def drop(self) -> None:
        """Tear every connection down without a word."""
        for connection in list(self.connections):
            self._forget(connection)
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()

    async def close(self) -> None:
        for connection in list(self.connections):
            self._forget(connection)
            await connection.socket.close()
