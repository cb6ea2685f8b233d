"""What upkeep looks at: real rows, and a runtime that a test plays by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from doce.clock import ManualClock
from doce.db.models import Project
from doce.errors import Unavailable
from doce.productions.deployments import Productions
from doce.productions.releases import Releases
from doce.productions.stack import ProductionStacks
from doce.projects.prompts import PromptStore
from doce.projects.requests import Requests
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.handlers.work import Work
from doce.settings import Settings
from doce.stacks.logs import LogFile
from doce.stacks.runtime import ExecResult, ServiceState
from doce.stacks.stack import Stack
from doce.stacks.usage import Usage


class PlayedRuntime:
    """Runs nothing; remembers what it was asked. `away` is why it cannot be reached."""

    name = "played"
    isolates = True

    def __init__(self) -> None:
        self.states: dict[str, dict[str, ServiceState]] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.away: str | None = None

    def available(self) -> None:
        if self.away:
            raise Unavailable(self.away, hint="Start it.")

    def runs(self, project_id: str, *services: str, life: int = 1) -> None:
        for service in services:
            state = ServiceState(service, "running", id=f"{service}-{life}", started_at=life)
            self.states.setdefault(project_id, {})[service] = state

    def dies(self, project_id: str, service: str, exit_code: int = 1) -> None:
        known = self.states[project_id][service]
        self.states[project_id][service] = ServiceState(service, "exited", id=known.id, started_at=known.started_at, exit_code=exit_code)

    def up(self, stack: Stack, *, report: Callable[[str], None], cancelled: Callable[[], None]) -> list[ServiceState]:
        raise NotImplementedError

    def stop(self, project_id: str, services: Collection[str] | None = None) -> None:
        self.asked.append(("stop", project_id, *sorted(services or ())))
        for service in services or list(self.states.get(project_id, {})):
            self.dies(project_id, service, 0)

    def down(self, project_id: str, services: Collection[str] | None = None, *, grace_s: int = 5) -> None:
        self.asked.append(("down", project_id))

    def destroy(self, project_id: str) -> None:
        self.asked.append(("destroy", project_id))
        self.states.pop(project_id, None)

    def ps(self, project_id: str) -> list[ServiceState]:
        self.available()
        return list(self.states.get(project_id, {}).values())

    def usage(self, project_id: str) -> list[Usage]:
        return [Usage(state.service, 12.5, 64 * 1024 * 1024) for state in self.ps(project_id) if state.state == "running"]

    def logs(self, project_id: str) -> LogFile:
        raise NotImplementedError

    def exec(self, project_id: str, service: str, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        raise NotImplementedError

    def projects(self) -> set[str]:
        self.available()
        return set(self.states)

    def watch(self, on_end: Callable[[str, str], None]) -> Callable[[], None]:
        return lambda: None

    def close(self) -> None:
        return


class Scene:
    """One doce's rows and its played runtime."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(data=folder / "data", **{"min_free_mb": 0} | settings)
        self.clock = ManualClock()
        self.runtime = PlayedRuntime()
        self.store = ProjectStore(self.settings, self.clock)
        self.prompts = PromptStore(self.clock)
        self.requests = Requests(self.clock, store=self.store, agent=lambda project_id: None)  # type: ignore[arg-type,return-value]
        self.work = Work(
            settings=self.settings, clock=self.clock, runtime=self.runtime, stacks=None, store=self.store, prompts=self.prompts,
            tokens=None, tools=None, name_project=lambda *a: None, path="",
            productions=Productions(self.settings, self.clock, Releases(self.clock), path=""),
            production_stacks=ProductionStacks(self.settings, isolates=False, path=""),
        )  # type: ignore[arg-type]  # fmt: skip

    def project(self, status: ProjectStatus = ProjectStatus.RUNNING, *, slug: str = "tea", **columns: Any) -> ProjectView:
        made = self.store.insert(
            id=f"prj_{slug}", owner_user_id="usr_a", name=slug, slug=slug, prompt="x", template="static", model="rehearsal/x",
            path="/nowhere", **columns,
        )  # fmt: skip
        ports = {"preview_port": 41000, "opencode_port": 42000, "bootstrap_session_id": "ses_1"}
        Project.update(status=status.value, step=None, **ports).where(Project.id == made.id).execute()
        return self.store.get(made.id)

    def log(self, project: ProjectView) -> LogFile:
        return LogFile(self.work.layout(project.id).log_file)

    def jobs(self, project: ProjectView) -> list[tuple[str, dict[str, Any]]]:
        return [(job.type, {name: value for name, value in job.values().items() if name != "projectId"}) for job in jobs.active(project.id)]

    def done(self, project: ProjectView) -> None:
        """Whatever was queued is over."""
        for job in jobs.active(project.id):
            jobs.cancel(job.id, clock=self.clock)
