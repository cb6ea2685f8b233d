"""OpenCode's event stream: read, reconnect, never end by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import SSEError, aconnect_sse

from doce.opencode.client import USER, OpenCode

log = logging.getLogger(__name__)

#: OpenCode sends a heartbeat every 10 s.
SILENCE_S = 30.0
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Connected:
    """The stream is up, for the `count`-th time: from here on nothing is missed, what was before may be. Resync now."""

    count: int


@dataclass(slots=True)
class Health:
    """How the stream has fared: connections made, tries that failed, lines that could not be read, by kind."""

    connections: int = 0
    failures: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    last_error: str | None = None


async def follow(
    client: OpenCode,
    *,
    silence_s: float = SILENCE_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    rng: random.Random | None = None,
    health: Health | None = None,
) -> AsyncIterator[Raw | Connected]:
    """Events as OpenCode sends them, for ever, with a `Connected` at each (re)connect before the events that follow it.

    Reconnects after an end, an error, `silence_s` without a line, or `server.instance.disposed`, waiting 0.1 s at first,
    twice as long after each failure, 5 s at most. Lines that cannot be read are counted and skipped. Close the iterator
    to stop.
    """
    health = health if health is not None else Health()
    rng = rng or random.Random()
    wait = FIRST_WAIT_S
    timeout = httpx.Timeout(10.0, read=silence_s)
    auth = httpx.BasicAuth(USER, client.password.get_secret_value())
    async with httpx.AsyncClient(base_url=client.base_url, auth=auth, timeout=timeout, trust_env=False) as http:
        while True:
            try:
                async for event in _connection(http, health):
                    wait = FIRST_WAIT_S
                    yield event
            except (httpx.HTTPError, SSEError, UnicodeDecodeError) as error:
                health.failures += 1
                health.last_error = f"{type(error).__name__}: {error}"[:300]
                log.info("The stream of the coding agent broke; it is taken up again.", extra={"reason": health.last_error})
            await sleep(wait * (0.75 + rng.random() / 2))
            wait = min(wait * 2, LONGEST_WAIT_S)


async def _connection(http: httpx.AsyncClient, health: Health) -> AsyncIterator[Raw | Connected]:
    """One connection, from `server.connected` to its end."""
    async with aconnect_sse(http, "GET", "/event") as source:
        source.response.raise_for_status()
        async for item in source.aiter_sse():
            event = _read(item.data, health) if item.data else None
            if event is None:
                continue
            if event["type"] == "server.connected":
                health.connections += 1
                yield Connected(health.connections)
            elif event["type"] == "server.instance.disposed":
                return
            else:
                yield event


def _read(data: str, health: Health) -> Raw | None:
    try:
        event = json.loads(data)
    except ValueError:
        health.malformed["not JSON"] += 1
        return None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        health.malformed["not an event"] += 1
        return None
    return event
