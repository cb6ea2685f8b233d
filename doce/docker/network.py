"""A network for each project, so that one project's containers never reach another's."""

from __future__ import annotations

import contextlib
import ipaddress
import random
from collections.abc import Iterator
from typing import Any

from doce.docker.compose import INSTANCE, network_labels, project_name
from doce.docker.engine import Engine
from doce.errors import Conflict, Unavailable

#: Host bits of a project's network: 14 containers.
PREFIX = 28
#: Addresses tried before the range is taken for full.
TRIES = 64


class Networks:
    """Finds, makes and removes them."""

    def __init__(self, engine: Engine, instance: str, span: str) -> None:
        """`span`: the range they are cut from. The engine's own default would be used up by thirty projects."""
        self._engine = engine
        self._instance = instance
        self._span = ipaddress.ip_network(span)

    def ensure(self, project_id: str) -> str:
        """Its name. Raises Unavailable when no range is free."""
        name = project_name(project_id)
        if not self._of(project_id):
            self._make(name, project_id)
        return name

    def remove(self, project_id: str) -> None:
        from docker import errors

        for network in self._of(project_id):
            with contextlib.suppress(errors.NotFound):
                network.remove()

    def projects(self) -> set[str]:
        found = self._engine.client.networks.list(filters={"label": f"{INSTANCE}={self._instance}"})
        return {network.attrs["Labels"].get("dev.doce.project", "") for network in found} - {""}

    def _of(self, project_id: str) -> list[Any]:
        labels = [f"{INSTANCE}={self._instance}", f"dev.doce.project={project_id}"]
        return list(self._engine.client.networks.list(filters={"label": labels}))

    def _make(self, name: str, project_id: str) -> None:
        from docker import errors, types

        for subnet in self._candidates():
            pool = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(subnet))])
            try:
                self._engine.client.networks.create(
                    name, driver="bridge", ipam=pool, check_duplicate=True, labels=network_labels(self._instance, project_id)
                )
            except errors.APIError as error:
                if self._of(project_id):
                    return  # somebody else was quicker
                if error.status_code == 409:
                    raise Conflict(
                        f"A network called {name} is there already, and this doce did not make it.",
                        hint=f"`docker network rm {name}` removes it; then start again.",
                    ) from error
                if "overlap" not in str(error).lower():
                    raise
            else:
                return
        raise Unavailable(
            f"No range of addresses is free in {self._span}.", hint="Delete projects, or set DOCE_CONTAINER_NETWORK to another range."
        )

    def _candidates(self) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        count = 1 << (PREFIX - self._span.prefixlen)
        first = int(self._span.network_address)
        for place in random.sample(range(count), min(TRIES, count)):
            yield ipaddress.ip_network((first + place * (1 << (32 - PREFIX)), PREFIX))
