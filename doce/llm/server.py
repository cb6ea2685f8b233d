"""Where the gateway listens: an address of its own that stays the same, since agents outlive a restart of doce."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from doce.db import setting
from doce.errors import Unavailable
from doce.llm.gateway import Gateway
from doce.settings import Settings
from doce.transport import Listener, listen

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
KEY = "gateway.port"
#: How often it is tried again while it cannot listen, seconds.
AGAIN_S = 2.0


class GatewayServer:
    """The gateway on a socket, in doce's loop."""

    def __init__(self, settings: Settings, gateway: Gateway, *, listens: Callable[[], str] = lambda: HOST, called: str = HOST) -> None:
        """`listens` says the address agents reach this machine by, `called` the name they have for it.

        With containers that is the address of their bridge, which is there only once the engine is.
        """
        self._listens = listens
        self._called = called
        self._settings = settings
        self._gateway = gateway
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """What agents are told. Raises Unavailable before it listens for the first time."""
        port = self._settings.gateway_port or setting.get(KEY)
        if not port:
            raise Unavailable("The model gateway does not listen yet.", hint="doce is starting; it goes on by itself.")
        return f"http://{self._called}:{port}/v1"

    def recover(self) -> None:
        """Before it listens: count what a doce that was killed had under way."""
        self._gateway.recover()

    async def keep_starting(self) -> None:
        """Listen as soon as that is possible. What keeps it from it is told once."""
        told = ""
        while True:
            try:
                await self.start()
            except Unavailable as error:
                if str(error) != told:
                    logger.error("the model gateway does not listen yet: %s", error)
                told = str(error)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def start(self) -> None:
        """Listen where it listened before. Raises Unavailable naming a port that somebody else has, or when there is no bridge."""
        host = await asyncio.to_thread(self._listens)
        kept = self._settings.gateway_port or setting.get(KEY) or 0
        try:
            sock = listen(host, kept)
        except Unavailable as error:
            raise Unavailable(
                f"The model gateway's port {kept} is taken.", hint="End what listens there, or set DOCE_GATEWAY_PORT to another one."
            ) from error
        self._listener = Listener(self._gateway.app(), sock)
        if not kept:
            setting.put(KEY, self._listener.port)
        self._listener.begin()
        logger.info("the model gateway listens", extra={"url": self.url})

    async def stop(self) -> None:
        if self._listener:
            await self._listener.end()
        await self._gateway.close()
