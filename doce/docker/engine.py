"""The way to the engine: one client, and its troubles in our words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from doce.errors import Unavailable

if TYPE_CHECKING:
    import docker

#: How long the engine may take for one answer, seconds. Removing a large container takes some.
TIMEOUT_S = 60
AWAY = "Start it (`systemctl start docker`, or Docker Desktop), or set DOCE_RUNTIME=process. What is running goes on by itself."

FULL = "`docker system df` shows what uses it, `docker system prune` removes what nobody uses. Then try again; what runs goes on."


class Engine:
    """Connects when first asked, so that doce starts without an engine too."""

    def __init__(self, host: str | None = None) -> None:
        """`host`: as DOCKER_HOST, ``unix:///var/run/docker.sock`` or ``tcp://…``; None: this machine's."""
        self._host = host or "unix:///var/run/docker.sock"
        self._client: docker.DockerClient | None = None
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        return self._host

    @property
    def client(self) -> docker.DockerClient:
        """Raises Unavailable when no engine answers."""
        # Here, not above: a doce on the process runtime starts a quarter of a second sooner without it.
        import docker

        with self._lock:
            if self._client is None:
                with answering():
                    self._knock()
                    self._client = docker.DockerClient(base_url=self._host, version="auto", timeout=TIMEOUT_S)
                    self._mount(self._client)
            return self._client

    def ping(self) -> None:
        """Raises Unavailable with what to do."""
        with answering():
            self.client.ping()

    def _knock(self) -> None:
        """Raises OSError when nobody listens; docker-py would leave a socket open with each try, and doce tries for ever."""
        if self._host.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(TIMEOUT_S)
                door.connect(self._host.removeprefix("unix://"))

    def _mount(self, client: docker.DockerClient) -> None:
        if self._host.startswith("unix://"):
            from doce.docker.transport import Adapter

            client.api.mount("http+docker://", Adapter(self._host.replace("unix://", "http+unix://"), TIMEOUT_S))

    def bridge_address(self) -> str:
        """This machine's address on the engine's default bridge: what containers reach as ``host-gateway``."""
        with answering():
            configured = self.client.networks.get("bridge").attrs["IPAM"]["Config"] or [{}]
        return str(configured[0].get("Gateway") or "172.17.0.1")

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


@contextmanager
def answering() -> Iterator[None]:
    """What the engine does not do, as Unavailable; its own "no such thing" and "conflict" pass, they mean something."""
    import requests
    from docker import errors

    try:
        yield
    except (errors.NotFound, errors.ImageNotFound):
        raise
    except errors.APIError as error:
        if error.status_code == 409:
            raise
        if "no space left on device" in str(error).lower():
            raise Unavailable("The disk of the Docker engine is full.", hint=FULL) from error
        raise Unavailable(
            f"The Docker engine refused: {_said(error)}", hint="`doce doctor` looks at the engine; then try again."
        ) from error
    except (errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise Unavailable("The Docker engine does not answer.", hint=AWAY) from error


def _said(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error).strip()
    return text[:300].rstrip(".") + "."
