"""The pipeline of a project as steps: which runs, what it does right now, how long each took."""

from __future__ import annotations

from dataclasses import dataclass, field

from doce.cli.printable import duration, one_line
from doce.cli.screen import Screen
from doce.events.vocabulary import JobState, ProjectStatusChanged
from doce.opencode.turn import STEPS

#: Job type → what it is to a person.
NAMES = {**STEPS, "docker.stop": "stop preview and agent", "project.delete": "delete the project"}
SENDING = "opencode.sendUserPrompt"
_ENDS = {"succeeded", "failed", "cancelled"}


@dataclass
class Steps:
    """Told of `job.state` and `project.status`, shows each step once when it ends and what is going on meanwhile."""

    screen: Screen
    #: Job id → epoch ms when it was first seen at work.
    _begun: dict[int, int] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _handed: bool = False
    _now: str = ""
    _detail: str = ""

    def job(self, payload: JobState, at: int) -> None:
        """A job is in another state at `at` (epoch ms)."""
        name = NAMES.get(payload.job_type, payload.job_type)
        if payload.state in _ENDS:
            self._end(payload, name, at)
        elif payload.state == "running" and payload.job_id not in self._begun:
            self._begun[payload.job_id] = at
            self._now, self._detail = name, ""
            self.screen.busy(name)
        elif payload.error:
            self.screen.line(f"  {name}: {one_line(payload.error, 300)} (tries again)", "yellow")

    def status(self, payload: ProjectStatusChanged) -> None:
        """The project says what is being done."""
        if payload.step and payload.step != self._detail:
            self._detail = payload.step
            self.screen.busy(f"{self._now} · {payload.step}" if self._now else payload.step)

    def _end(self, payload: JobState, name: str, at: int) -> None:
        if payload.job_id in self._ended:
            return
        self._ended.add(payload.job_id)
        took = f" ({duration(at - self._begun[payload.job_id])})" if payload.job_id in self._begun else ""
        self.screen.busy(None)
        if payload.state == "succeeded" and self._ordinary(payload.job_type):
            return
        if payload.state == "succeeded":
            self.screen.line(f"✓ {name}{took}", "green")
        elif payload.state == "cancelled":
            self.screen.line(f"– {name}: cancelled{took}", "yellow")
        else:
            self.screen.line(f"✗ {name}: {one_line(payload.error or 'failed', 500)}{took}", "bold red")

    def _ordinary(self, job_type: str) -> bool:
        """After the first prompt, handing one over is no news: the agent's answer is."""
        ordinary = job_type == SENDING and self._handed
        self._handed = self._handed or job_type == SENDING
        return ordinary
