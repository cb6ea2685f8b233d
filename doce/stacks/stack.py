"""A project's services as values. Described by doce; nothing here is read from files that an agent can write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True)
class Probe:
    """How to tell over HTTP that a service is ready."""

    path: str = "/"
    #: Any answer will do; else it must be 200.
    any_status: bool = False
    user: str | None = None
    password: SecretStr | None = None


@dataclass(frozen=True)
class Service:
    """One program of a project."""

    #: ``preview`` or ``opencode``
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
