"""Services of a running project that ended by themselves: each is started again after a pause of its own, or given up."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from doce.health import deaths
from doce.projects.stack import OPENCODE, PREVIEW
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.handlers.docker import SHOWN, last_line
from doce.queue.handlers.work import Work
from doce.queue.types import DockerEnsureRunning
from doce.stacks.runtime import ServiceState
from doce.upkeep.relay import RESUME_HINT

logger = logging.getLogger(__name__)

SERVICES = (PREVIEW, OPENCODE)
#: First and longest pause before a dead service is started again.
FIRST_PAUSE_MS, LAST_PAUSE_MS = 1_000, 60_000


@dataclass
class Dead:
    """A service that is down."""

    #: Which of its lives ended: what the runtime calls it, and when it began.
    life: tuple[str, int | None]
    #: Times it was begun since, without ever being seen alive.
    tries: int
    #: Epoch ms before which it is not started again.
    heal_at: int


class Tending:
    """What is remembered between looks; how often each died is in the database."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._dead: dict[tuple[str, str], Dead] = {}

    def look(self, project: ProjectView) -> None:
        """One look at a project that should run."""
        states = {state.service: state for state in self._work.runtime.ps(project.id)}
        down = []
        for service in SERVICES:
            state = states.get(service)
            if state and state.state == "running":
                self._dead.pop((project.id, service), None)
            elif self._note(project, service, state):
                down.append(service)
            else:
                return
        self._tell(project, down)
        self._start(project, down)

    def forget(self, project_id: str) -> None:
        for key in [key for key in self._dead if key[0] == project_id]:
            del self._dead[key]

    def due(self) -> set[str]:
        """Projects with a pause that is over."""
        now = self._work.clock.now_ms()
        return {project_id for (project_id, _), dead in self._dead.items() if dead.heal_at <= now}

    def next_s(self) -> float:
        """Until the next pause is over, seconds."""
        now = self._work.clock.now_ms()
        return min((max(0, dead.heal_at - now) / 1000 for dead in self._dead.values()), default=float("inf"))

    def _note(self, project: ProjectView, service: str, state: ServiceState | None) -> bool:
        """Take down a death that is news. False when it was one too many and the project is given up."""
        life = (state.id, state.started_at) if state else ("", None)
        known = self._dead.get((project.id, service))
        if known and known.life == life:
            return True
        now = self._work.clock.now_ms()
        count = deaths.note(project.id, service, now_ms=now, window_ms=deaths.WINDOW_MS)
        logger.warning("a service ended by itself", extra={"project_id": project.id, "service": service, "deaths": count})
        if service == OPENCODE:
            interrupt(self._work, project.id)
        if count >= deaths.MOST:
            self._give_up(project, service)
            return False
        self._dead[project.id, service] = Dead(life, 0, now + pause_ms(count))
        return True

    def _start(self, project: ProjectView, down: list[str]) -> None:
        now = self._work.clock.now_ms()
        due = [service for service in down if self._dead[project.id, service].heal_at <= now]
        if not due or any(job.type.startswith(("docker.", "project.")) for job in jobs.active(project.id)):
            return
        for service in due:
            dead = self._dead[project.id, service]
            dead.tries += 1
            # Not sooner again, whatever becomes of it: a start that fails is no reason to hammer.
            dead.heal_at = now + pause_ms(deaths.count(project.id, service, after_ms=now - deaths.WINDOW_MS) + dead.tries)
        enqueue(DockerEnsureRunning(project_id=project.id, reason="presence", services=tuple(due)), clock=self._work.clock)

    def _tell(self, project: ProjectView, down: list[str]) -> None:
        names = " and ".join(SHOWN[service] for service in down)
        self._work.store.set_status(project.id, ProjectStatus.RUNNING, step=f"starting {names} again" if down else None)

    def _give_up(self, project: ProjectView, service: str) -> None:
        self.forget(project.id)
        deaths.forget(project.id)
        shown = SHOWN[service]
        reason = last_line(self._work, project, service)
        self._work.store.set_status(
            project.id,
            ProjectStatus.ERROR,
            error=f"{shown[0].upper()}{shown[1:]} ended {deaths.MOST} times within ten minutes. {reason}".strip(),
            hint=f"`doce logs {project.slug}` says why; `doce start {project.slug}` tries again.",
        )


def interrupt(work: Work, project_id: str) -> None:
    """The agent is gone: the turn it was in ends, what it did so far stays."""
    active = work.prompts.active(project_id)
    if active and active.state is PromptState.SENT:
        work.prompts.end(active.id, PromptState.INTERRUPTED, reason="The agent ended in the middle of the turn.", hint=RESUME_HINT)


def pause_ms(count: int) -> int:
    """Before the next start of what died `count` times."""
    return int(min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 1)))
