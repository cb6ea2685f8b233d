"""A project's services as values. Described by doce; nothing here is read from files that an agent can write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

#: What is stopped and taken down together when nobody names the services.
Group = Literal["preview", "build", "production"]


def group_of(service: str) -> Group:
    """``preview`` and ``opencode`` are the preview's; ``web`` and ``release-<hash>`` what was deployed."""
    if service == "build":
        return "build"
    return "production" if service == "web" or service.startswith("release-") else "preview"


@dataclass(frozen=True)
class Probe:
    """How to tell over HTTP that a service is ready."""

    path: str = "/"
    #: Any answer will do; else it must be 200.
    any_status: bool = False
    #: Any good answer will do: 2xx and 3xx.
    good: bool = False
    user: str | None = None
    password: SecretStr | None = None


@dataclass(frozen=True)
class Mount:
    """A folder of this machine that a service sees, beside the workspace and its home."""

    source: Path
    #: Where it lies in a container; on the process runtime it stays where it is.
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Service:
    """One program of a project."""

    #: ``preview`` or ``opencode``; ``build``, ``web`` or ``release-<hash>``
    name: str
    image: str
    command: tuple[str, ...]
    #: Port it listens on where it runs; told to it as PORT.
    port: int
    #: Port on this machine.
    host_port: int
    env: Mapping[str, str] = field(default_factory=dict)
    #: Environment that is never shown.
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    #: Environment that may change without a restart being worth it.
    volatile: Mapping[str, str] = field(default_factory=dict)
    probe: Probe = Probe()
    stop_signal: str = "SIGTERM"
    #: Run before the command while its dependencies are missing.
    install: tuple[str, ...] = ()
    #: What it sees of this machine; None: the workspace, its home and its store.
    mounts: tuple[Mount, ...] | None = None
    #: Folder it runs in; None: the workspace.
    folder: Path | None = None
    #: For doce alone, so only this machine may reach it, wherever doce listens.
    private: bool = False
    #: A second port, for doce alone: (where it runs, on this machine).
    second: tuple[int, int] | None = None
    #: Meant to end, as a build does: its end is no death, and its exit code stays readable.
    once: bool = False
    #: Takes requests on to another service, on a connection of its own for each.
    proxies: bool = False
    #: Goes on while doce is stopped, and comes back with the engine.
    lasting: bool = False

    @property
    def group(self) -> Group:
        return group_of(self.name)

    def fingerprint(self) -> str:
        """Changes with everything that must restart the service. 12 hexadecimal characters; tells nothing of the secrets."""
        secret = {name: hashlib.sha256(value.get_secret_value().encode()).hexdigest() for name, value in self.secrets.items()}
        told = [
            self.name,
            self.image,
            self.command,
            self.port,
            self.host_port,
            sorted(self.env.items()),
            sorted(secret.items()),
            self.install,
        ]
        if self.second is not None:
            told.append(self.second)
        if self.mounts is not None:
            told.append([(str(mount.source), mount.target, mount.read_only) for mount in self.mounts])
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Stack:
    """Everything that runs for one project."""

    project_id: str
    slug: str
    workspace: Path
    #: The agent's home.
    home: Path
    logs: Path
    services: tuple[Service, ...]
    #: Dependencies of the project, shared by its services.
    store: Path | None = None
