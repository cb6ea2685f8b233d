"""What everything uses right now: the services of each project, and doce itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

import psutil

from doce import __version__
from doce.clock import Clock
from doce.errors import DoceError
from doce.health import deaths
from doce.presence import viewers
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView, View
from doce.queue import jobs
from doce.settings import Settings
from doce.stacks.runtime import Runtime
from doce.stacks.stack import group_of
from doce.stacks.usage import Meter

#: A project in one of these has nothing that could run, but for what was deployed.
_AT_REST = (ProjectStatus.CREATED, ProjectStatus.DELETING)


class ServiceUse(View):
    """A service now."""

    service: str
    #: ``preview``, ``build`` or ``production``
    group: str
    #: ``running`` or ``exited``
    state: str
    exit_code: int | None
    #: port on this machine
    port: int | None
    #: epoch ms
    started_at: int | None
    #: percent of one processor; none for what does not run
    cpu: float | None
    #: bytes
    memory: int | None
    #: times it ended by itself within a day
    restarts: int


class ProjectUse(View):
    """A project now."""

    id: str
    slug: str
    name: str
    status: ProjectStatus
    step: str | None
    error: str | None
    viewers: int
    services: list[ServiceUse]


class DoceUse(View):
    """This process of doce now."""

    version: str
    pid: int
    runtime: str
    #: epoch ms
    started_at: int
    #: percent of one processor, since the look before
    cpu: float
    #: bytes
    memory: int
    threads: int
    #: bytes
    database_size: int
    #: MiB on the disk of the data folder
    free_disk: int
    jobs: dict[str, int]


class MonitorView(View):
    """Everything one may see. `problem` says why nothing is known of the services."""

    at: int
    doce: DoceUse
    projects: list[ProjectUse]
    problem: str | None = None


class Monitor:
    """Looks when asked, remembers only the counters of processors."""

    def __init__(self, settings: Settings, clock: Clock, *, runtime: Runtime) -> None:
        self._settings = settings
        self._clock = clock
        self._runtime = runtime
        self._meter = Meter()
        self._process = psutil.Process()

    def look(self, projects: Iterable[ProjectView]) -> MonitorView:
        """These projects, and doce."""
        problem, found = None, []
        for project in projects:
            services: list[ServiceUse] = []
            if problem is None and project.status not in _AT_REST:
                try:
                    services = self._services(project.id)
                except DoceError as error:
                    problem = str(error)
            found.append(self._project(project, services))
        return MonitorView(at=self._clock.now_ms(), doce=self._doce(), projects=found, problem=problem)

    def _services(self, project_id: str) -> list[ServiceUse]:
        used = {one.service: one for one in self._runtime.usage(project_id)}
        died = deaths.of_last_day(project_id, now_ms=self._clock.now_ms())
        return [
            ServiceUse(
                service=state.service,
                group=group_of(state.service),
                state=state.state,
                exit_code=state.exit_code,
                port=state.host_port,
                started_at=state.started_at,
                cpu=used[state.service].cpu if state.state == "running" and state.service in used else None,
                memory=used[state.service].memory if state.state == "running" and state.service in used else None,
                restarts=died.get(state.service, 0),
            )
            for state in sorted(self._runtime.ps(project_id), key=lambda state: state.service)
        ]

    def _project(self, project: ProjectView, services: list[ServiceUse]) -> ProjectUse:
        stale_ms = round(self._settings.viewer_stale_s * 1000)
        return ProjectUse(
            id=project.id,
            slug=project.slug,
            name=project.name,
            status=project.status,
            step=project.step,
            error=project.error,
            viewers=viewers.count(project.id, now_ms=self._clock.now_ms(), stale_ms=stale_ms),
            services=services,
        )

    def _doce(self) -> DoceUse:
        now_s, began_s = self._clock.now_ms() / 1000, self._process.create_time()
        times = self._process.cpu_times()
        return DoceUse(
            version=__version__,
            pid=os.getpid(),
            runtime=self._runtime.name,
            started_at=round(began_s * 1000),
            cpu=round(self._meter.percent("doce", times.user + times.system, at_s=now_s, since_s=began_s), 1),
            memory=self._process.memory_info().rss,
            threads=threading.active_count(),
            database_size=self._settings.database.stat().st_size,
            free_disk=psutil.disk_usage(str(self._settings.data)).free // (1024 * 1024),
            jobs={state.value: count for state, count in jobs.counts().items()},
        )
