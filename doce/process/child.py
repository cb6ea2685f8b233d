"""A service that was started, by this doce or another one, and the environment that tells it apart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from doce.process.tags import SECRETS, STOP_SIGNAL, VARIABLE, Found, Tag
from doce.stacks.runtime import ServiceState
from doce.stacks.stack import Service, Stack

#: Variable that says where a service that is meant to end leaves its exit code.
EXIT = "DOCE_EXIT"


@dataclass
class Child:
    """A service's own process."""

    tag: Tag
    process: psutil.Process
    #: epoch ms
    started_at: int
    host_port: int | None
    stop_signal: signal.Signals = signal.SIGTERM
    #: Values that must not reach the log.
    secrets: tuple[str, ...] = ()
    #: It and all it left behind are gone.
    ended: threading.Event = field(default_factory=threading.Event)
    exit_code: int | None = None
    #: doce ends it, so its end is no news.
    expected: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.tag.project_id, self.tag.service

    def state(self) -> ServiceState:
        running = not self.ended.is_set()
        return ServiceState(
            service=self.tag.service,
            state="running" if running else "exited",
            id=str(self.process.pid),
            exit_code=None if running else self.exit_code,
            host_port=self.host_port,
            started_at=self.started_at,
            fingerprint=self.tag.fingerprint,
        )


def adopted(found: Found) -> Child:
    """What another doce started, as far as its environment tells. Raises psutil.Error when it is gone."""
    environment = found.environment
    port = environment.get("PORT", "")
    names = filter(None, environment.get(SECRETS, "").split(","))
    return Child(
        found.tag,
        found.process,
        round(found.process.create_time() * 1000),
        int(port) if port.isdigit() else None,
        stop_signal(environment.get(STOP_SIGNAL, "")),
        tuple(environment[name] for name in names if name in environment),
    )


def exit_file(stack: Stack, service: Service) -> Path:
    """Where the exit code of a service that is meant to end is written, for a doce that did not see the end."""
    return stack.logs / f"{service.name}.exit"


def exit_code_of(environment: Mapping[str, str]) -> int | None:
    """The exit code that a service of another doce left behind."""
    try:
        return int(Path(environment[EXIT]).read_text("ascii"))
    except (KeyError, OSError, ValueError):
        return None


def stop_signal(name: str) -> signal.Signals:
    """SIGTERM when there is no such signal."""
    return signal.Signals.__members__.get(name, signal.SIGTERM)


def environment(stack: Stack, service: Service, tag: Tag, path: str) -> dict[str, str]:
    """What a service gets: nothing of doce's own environment, which may hold keys."""
    return {
        "PATH": path,
        "HOME": str(stack.home),
        "TMPDIR": str(stack.home / "tmp"),
        "LANG": "C.UTF-8",
        "HOST": "127.0.0.1",
        "PORT": str(service.port),
        **service.volatile,
        **service.env,
        **{name: value.get_secret_value() for name, value in service.secrets.items()},
        **({EXIT: str(exit_file(stack, service))} if service.once else {}),
        STOP_SIGNAL: service.stop_signal,
        SECRETS: ",".join(service.secrets),
        VARIABLE: str(tag),
    }
