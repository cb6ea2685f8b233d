"""docker.composeUp, docker.waitReady, docker.ensureRunning, docker.stop: the services of a project, on any runtime."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace

import psutil

from doce.db import choices
from doce.db.connection import database
from doce.errors import DoceError, Unavailable
from doce.health import deaths, ready
from doce.ports import PortTaken, move, reserve
from doce.presence import viewers
from doce.projects.stack import OPENCODE, PREVIEW
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.handlers.endings import how, lost_its_port, said
from doce.queue.handlers.work import Work
from doce.queue.interrupts import Permanent
from doce.queue.types import (
    DockerComposeUp,
    DockerEnsureRunning,
    DockerStop,
    DockerWaitReady,
    OpencodeSendUserPrompt,
    OpencodeSessionCreate,
)
from doce.stacks.logs import LogFile
from doce.stacks.runtime import ServiceState
from doce.testing import faults

logger = logging.getLogger(__name__)

#: First and longest pause between two looks at a project that starts.
FIRST_LOOK_MS, LAST_LOOK_MS = 100, 1000
MIB = 1024 * 1024
#: What a project's preview and agent take, and the part of the memory that is for them.
PROJECT_BYTES, MEMORY_PART, MIN_PLACES = 650 * MIB, 0.75, 2
#: Longest pause between two looks for a place.
LAST_PLACE_LOOK_MS = 10_000
#: Longest pause between two looks for an engine that is away.
LAST_ENGINE_LOOK_MS = 5_000


def compose_up(work: Work, context: JobContext, payload: DockerComposeUp | DockerEnsureRunning) -> None:
    """Start what is missing or changed, then wait in jobs of their own."""
    project = work.store.get(payload.project_id)
    if project.status not in (
        ProjectStatus.STARTING,
        ProjectStatus.RUNNING,
        ProjectStatus.ERROR,
        ProjectStatus.STOPPED,
        ProjectStatus.CREATED,
    ):
        return
    layout = work.layout(project.id)
    tell = LogFile(layout.log_file)

    def step(text: str) -> None:
        context.throw_if_cancel_requested()
        work.store.set_status(project.id, ProjectStatus.STARTING, step=text)

    step("looking for tools")
    work.tools.prepare(project.template, layout, step)
    project = _with_ports(work, project)
    step("starting services")
    _check_disk(work)
    _await_engine(work, context, project)
    _take_place(work, context, project)
    try:
        work.runtime.up(
            work.stacks.of(project), report=lambda line: tell.append("host", line + "\n"), cancelled=context.throw_if_cancel_requested
        )
    except PortTaken as taken:
        _move_port(work, project, taken.service)
        context.log(f"port {taken.port} was taken by somebody else; trying another")
        context.reschedule(FIRST_LOOK_MS)
    faults.point("docker.up")
    with context.finishing():
        work.store.set_status(project.id, ProjectStatus.STARTING, step="waiting for preview and agent")
        enqueue(DockerWaitReady(project_id=project.id, started_at=work.clock.now_ms()), user_id=context.job.user_id, clock=work.clock)


def _take_place(work: Work, context: JobContext, project: ProjectView) -> None:
    """So many projects run at once; whoever comes later waits for a place. The token says who has one."""
    most = places(work)
    running = any(state.state == "running" for state in work.runtime.ps(project.id))
    with database.atomic():
        if running or work.tokens.granted(but=project.id) < most:
            work.tokens.grant(project.id)
            return
        work.tokens.revoke(project.id)
        work.store.set_status(project.id, ProjectStatus.STARTING, step=f"waiting: {most} projects run already, as many as may")
    waited = work.clock.now_ms() - context.job.created_at
    context.reschedule(max(1_000, min(LAST_PLACE_LOOK_MS, waited // 4)))


def places(work: Work) -> int:
    """How many projects may run at once."""
    chosen = int(choices.current(work.settings, "max_running"))
    return chosen or max(MIN_PLACES, int(psutil.virtual_memory().total * MEMORY_PART / PROJECT_BYTES))


def _check_disk(work: Work) -> None:
    free, least = shutil.disk_usage(work.settings.data).free // MIB, choices.current(work.settings, "min_free_mb")
    if free < least:
        raise Permanent(f"The disk of this machine is almost full: {free:,} MiB are free, {least:,} are needed. Nothing was started.")


def _await_engine(work: Work, context: JobContext, project: ProjectView) -> None:
    """An engine that is away may come back: look again for a while, without counting that as a failure."""
    try:
        work.runtime.available()
    except Unavailable as away:
        waited = work.clock.now_ms() - context.job.created_at
        if waited > work.settings.ready_timeout_s * 1000:
            raise
        work.store.set_status(project.id, ProjectStatus.STARTING, step=f"waiting: {away}"[:300])
        context.reschedule(max(FIRST_LOOK_MS, min(LAST_ENGINE_LOOK_MS, waited // 2)))


def _with_ports(work: Work, project: ProjectView) -> ProjectView:
    if project.preview_port and project.opencode_port:
        return project
    work.store.update(
        project.id,
        preview_port=reserve(project.id, PREVIEW, work.settings.preview_ports),
        opencode_port=reserve(project.id, OPENCODE, work.settings.opencode_ports),
    )
    return work.store.get(project.id)


def _move_port(work: Work, project: ProjectView, service: str) -> None:
    if service == PREVIEW:
        work.store.update(project.id, preview_port=move(project.id, PREVIEW, work.settings.preview_ports))
    else:
        work.store.update(project.id, opencode_port=move(project.id, OPENCODE, work.settings.opencode_ports))


def wait_ready(work: Work, context: JobContext, payload: DockerWaitReady) -> None:
    """One look: are preview and agent ready? If not, look again soon, until it took too long."""
    project = work.store.get(payload.project_id)
    if project.status is not ProjectStatus.STARTING:
        return
    states = {state.service: state for state in work.runtime.ps(project.id)}
    if dead := [state for state in states.values() if state.state == "exited"]:
        _bury(work, context, project, dead)
        return
    if {PREVIEW, OPENCODE} - set(states):
        # It ended while no doce was there to see it: start it again.
        _start_again(work, context, project)
        return
    looks = {name: ready(probe, port) for name, (probe, port) in work.stacks.probes(project).items()}
    waiting = [name for name, look in looks.items() if not look.ok]
    elapsed = work.clock.now_ms() - payload.started_at
    if not waiting:
        context.log(f"ready after {elapsed / 1000:.1f} s")
        _go_on(work, context, project)
        return
    if elapsed > work.settings.ready_timeout_s * 1000:
        reasons = ", ".join(f"{name}: {looks[name].reason}" for name in waiting)
        raise Permanent(
            f"{project.name} did not become ready in {work.settings.ready_timeout_s:.0f} s ({reasons}). {last_line(work, project)}"
        )
    work.store.set_status(project.id, ProjectStatus.STARTING, step=f"waiting for {' and '.join(SHOWN[name] for name in waiting)}")
    context.reschedule(max(FIRST_LOOK_MS, min(LAST_LOOK_MS, elapsed // 12)))


#: What people call the services.
SHOWN = {PREVIEW: "the preview", OPENCODE: "the agent"}


def _bury(work: Work, context: JobContext, project: ProjectView, dead: list[ServiceState]) -> None:
    """A service that ended will not become ready. One that lost its port to somebody gets another and a new start."""
    log = LogFile(work.layout(project.id).log_file).read().text
    lost = [state for state in dead if lost_its_port(state, _host(work, state.service), log)]
    now = work.clock.now_ms()
    often = [state for state in lost if deaths.note(project.id, state.service, now_ms=now, window_ms=deaths.WINDOW_MS) >= deaths.MOST]
    if often or lost != dead:
        hopeless = next((state for state in dead if state in often or state not in lost), dead[0])
        raise Permanent(f"{_ended(hopeless)} {last_line(work, project, hopeless.service)}".strip())
    for state in lost:
        _move_port(work, project, state.service)
        context.log(f"port {state.host_port} was taken by somebody else; trying another")
    _start_again(work, context, project)


def _host(work: Work, service: str) -> str:
    """Where it listens on this machine."""
    return work.settings.bind if service == PREVIEW else "127.0.0.1"


def _start_again(work: Work, context: JobContext, project: ProjectView) -> None:
    with context.finishing():
        enqueue(DockerComposeUp(project_id=project.id, reason="user"), user_id=context.job.user_id, clock=work.clock)


def _ended(state: ServiceState) -> str:
    shown = SHOWN.get(state.service, state.service)
    return f"{shown[0].upper()}{shown[1:]} ended {how(state)} instead of becoming ready."


def last_line(work: Work, project: ProjectView, service: str = "") -> str:
    """The last useful line that the services (or one) wrote since they were started."""
    log = LogFile(work.layout(project.id).log_file).read().text
    lines = [f"{name} | {line}" for name in ([service] if service else SHOWN) for line in said(log, name) if line.strip()]
    telling = [
        line
        for line in lines
        if any(word in line.lower() for word in ("error", "eaddr", "cannot", "failed", "fatal", "denied", "not found"))
    ]
    last = (telling or lines)[-1:]
    return f"Its log says: {last[0].strip()[:300]}" if last else ""


def _go_on(work: Work, context: JobContext, project: ProjectView) -> None:
    with context.finishing():
        work.store.set_status(project.id, ProjectStatus.RUNNING)
        if project.bootstrap_session_id is None:
            enqueue(OpencodeSessionCreate(project_id=project.id), user_id=context.job.user_id, clock=work.clock)
        else:
            enqueue(OpencodeSendUserPrompt(project_id=project.id), user_id=context.job.user_id, clock=work.clock)


def ensure_running(work: Work, context: JobContext, payload: DockerEnsureRunning) -> None:
    """Bring back what should run. A project that a person stopped stays so until a person acts."""
    project = work.store.get(payload.project_id)
    if project.stopped_by_user and payload.reason == "presence":
        return
    states = work.runtime.ps(project.id)
    if project.status is ProjectStatus.RUNNING and len(states) >= 2 and all(state.state == "running" for state in states):
        return
    if payload.services and project.status is ProjectStatus.RUNNING:
        _start_some(work, context, project, payload.services)
    else:
        compose_up(work, context, payload)


def _start_some(work: Work, context: JobContext, project: ProjectView, services: tuple[str, ...]) -> None:
    """Start what ended by itself beside what runs on; nobody waits for it."""
    log = LogFile(work.layout(project.id).log_file)
    stack = work.stacks.of(project)
    # With what runs, which stays as it is; without what ended and still has to wait.
    there = {state.service for state in work.runtime.ps(project.id) if state.state == "running"}
    wanted = replace(stack, services=tuple(service for service in stack.services if service.name in there | set(services)))
    try:
        work.runtime.up(wanted, report=lambda line: log.append("host", f"{line}\n"), cancelled=context.throw_if_cancel_requested)
    except PortTaken as taken:
        _move_port(work, project, taken.service)
        context.reschedule(FIRST_LOOK_MS)


def _is_wanted(work: Work, project: ProjectView) -> bool:
    """Somebody came back, or something began, after the reaper looked."""
    if project.status is not ProjectStatus.RUNNING or project.agent != "idle" or project.queued_prompts:
        return True
    stale_ms = round(work.settings.viewer_stale_s * 1000)
    return viewers.count(project.id, now_ms=work.clock.now_ms(), stale_ms=stale_ms) > 0


def stop(work: Work, context: JobContext, payload: DockerStop) -> None:
    """End the turn, then the services. Files, versions and production stay."""
    project = work.store.get(payload.project_id)
    active = work.prompts.active(project.id)
    if payload.reason == "idle" and _is_wanted(work, project):
        return
    if project.status is ProjectStatus.STOPPED:
        return
    if project.status is not ProjectStatus.STOPPING:
        work.store.set_status(project.id, ProjectStatus.STOPPING, step="stopping")
    if active:
        work.prompts.request_stop(active.id, context.job.user_id)
        _abort(work, project)
    work.runtime.stop(project.id)
    LogFile(work.layout(project.id).log_file).append("host", "stopped: nobody watched\n" if payload.reason == "idle" else "stopped\n")
    faults.point("docker.stop")
    if active:
        work.prompts.end(active.id, PromptState.STOPPED)
    with context.finishing():
        work.tokens.revoke(project.id)
        work.store.set_status(project.id, ProjectStatus.STOPPED)


def _abort(work: Work, project: ProjectView) -> None:
    """Beside the critical path: the agent is ended anyway; asked first, it keeps the text it has."""
    try:
        if project.bootstrap_session_id:
            work.stacks.agent(project).abort(project.bootstrap_session_id)
    except DoceError as error:
        logger.info("the agent could not be asked to stop", extra={"project_id": project.id, "cause": str(error)})
