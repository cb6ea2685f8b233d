"""The protocol of what runs projects. `docker` isolates; `process` does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from doce.stacks.logs import LogFile
from doce.stacks.stack import Stack
from doce.stacks.usage import Usage

#: Most that is kept of what a command wrote, bytes.
MAX_OUTPUT = 1_000_000
#: How long a service may take to end after its signal, seconds.
GRACE_S = 5


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is now."""

    service: str
    state: Literal["running", "exited", "missing"]
    #: What the runtime calls it: a pid, a container id.
    id: str = ""
    #: 128 + the signal's number when a signal ended it; None: it runs, or nobody who could know saw the end.
    #: A lasting service that ended and is about to be started again by the engine counts as running, and has one.
    exit_code: int | None = None
    #: Port on this machine.
    host_port: int | None = None
    #: epoch ms
    started_at: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command inside a service came to."""

    exit_code: int
    #: stdout and stderr together
    output: str


class Runtime(Protocol):
    """Runs stacks. Every method is safe to call twice."""

    name: str
    #: What it runs cannot touch this machine.
    isolates: bool

    def available(self) -> None:
        """Raises Unavailable with what to do when it cannot run anything now."""

    def up(self, stack: Stack, *, report: Callable[[str], None], cancelled: Callable[[], None]) -> list[ServiceState]:
        """Start what is missing, exited or changed, and nothing else; does not wait until it is ready.

        `report` is told each step, `cancelled` raises when the caller should end. Raises PortTaken, Unavailable.
        """

    def stop(self, project_id: str, services: Collection[str] | None = None) -> None:
        """End services, so that `up` can start them again. None: those of the preview group, never what was deployed."""

    def down(self, project_id: str, services: Collection[str] | None = None, *, grace_s: int = GRACE_S) -> None:
        """End and forget services, those that do not end by themselves after `grace_s`; what they stored stays. None: as `stop`."""

    def destroy(self, project_id: str) -> None:
        """Leave nothing of the project behind but its files: previews, builds and what was deployed."""

    def ps(self, project_id: str) -> list[ServiceState]:
        """The services that were started and not taken down."""

    def usage(self, project_id: str) -> list[Usage]:
        """What each running service uses now, with all that it started."""

    def logs(self, project_id: str) -> LogFile:
        """What the services wrote and what was done with them."""

    def exec(self, project_id: str, service: str, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        """Run a command where `service` runs; of its output at most the first `MAX_OUTPUT` bytes.

        Raises Conflict when the service does not run, NotFound when there is no such program, Unavailable after the time-out.
        """

    def projects(self) -> set[str]:
        """Projects of this doce that have anything here: running, stopped or half made."""

    def watch(self, on_end: Callable[[str, str], None]) -> Callable[[], None]:
        """Call `on_end(project_id, service)` soon after a service ended by itself; returns what ends the watching."""

    def close(self) -> None:
        """Let go of threads and connections; what runs goes on."""
