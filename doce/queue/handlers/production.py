"""production.build, production.start, production.waitReady, production.stop, production.rollback.

Nothing that serves is stopped before its successor is healthy, and no look takes long: a build and a wait are looked at again.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from doce.db.choices import current
from doce.db.connection import database
from doce.db.models import Project
from doce.errors import DoceError, NotFound, Unavailable
from doce.health import ready
from doce.ports import PortTaken, move, release, reserve
from doce.productions import digest, snapshot
from doce.productions.deployments import Productions
from doce.productions.layout import CURRENT
from doce.productions.nginx import REMEMBERED_S
from doce.productions.stack import BUILD, WEB, Ports, ProductionStacks
from doce.projects import templates
from doce.projects.removal import remove_tree
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.handlers.endings import how, lost_its_port, said
from doce.queue.handlers.work import Work
from doce.queue.interrupts import Cancelled, Permanent
from doce.queue.types import Job, ProductionBuild, ProductionRollback, ProductionStart, ProductionStop, ProductionWaitReady
from doce.stacks.logs import LogFile
from doce.stacks.stack import Probe, Stack
from doce.testing import faults

logger = logging.getLogger(__name__)

#: First and longest pause between two looks, ms.
FIRST_LOOK_MS, LAST_LOOK_MS = 100, 1000
#: How long a rollback waits for an answer in its first look, ms: the files are there, so is mostly the server.
AT_ONCE_MS = 1500
#: How long an old server may take to end when its time to drain is over, seconds: meanwhile nothing else is done for the project.
LEAVE_S = 1
#: Last lines of a build's output that are kept to say why it failed, how many of them are shown, and what those say.
KEPT_LINES, SHOWN_LINES = 60, 6
TROUBLE = ("error", "cannot", "failed", "not found", "denied", "fatal")
#: What frames the lines of a program's complaint.
BORDER = " \t│╭╰╮╯─┬┴·"


class Production:
    """The handlers' own tools."""

    def __init__(self, work: Work) -> None:
        self.work: Work = work
        self.productions: Productions = work.productions
        self.stacks: ProductionStacks = work.production_stacks

    # production.build

    def build(self, context: JobContext, payload: ProductionBuild) -> None:
        """Lay out the commit, build it in a service of its own, and keep what it made as a release."""
        project = self.work.store.get(payload.project_id)
        template, folder = templates.get(project.template), self.stacks.layout(project.id).build(payload.snapshot)
        try:
            source = folder / "src"
            if not source.exists():
                self._begin_build(context, project, payload, source)
            if template.build.command and not (folder / "built").exists():
                self._look_at_build(context, project, payload, folder)
            output = self._keep(context, project, source / template.build.output)
        except (Cancelled, Permanent, DoceError, OSError):
            # Also before another attempt: what a full disk holds half made is room that others need.
            self._clear_build(project, folder)
            raise
        faults.point("production.built")
        with context.finishing():
            version = self.productions.releases.record(project.id, output, payload.snapshot)
            context.log(f"v{version} ({output.hash}): {output.files} files, {output.bytes:,} bytes")
            enqueue(ProductionStart(project_id=project.id, production_hash=output.hash), user_id=context.job.user_id, clock=self.work.clock)
            self.productions.tell(project.id)
        self._clear_build(project, folder)

    def _begin_build(self, context: JobContext, project: ProjectView, payload: ProductionBuild, source: Path) -> None:
        self.productions.record(project.id)
        context.log(f"building commit {payload.snapshot[:8]}")
        source.parent.mkdir(parents=True, exist_ok=True)
        self.work.runtime.down(project.id, {BUILD})
        snapshot.export(self.work.layout(project.id), payload.snapshot, source, self.work.path)
        faults.point("production.laid")

    def _look_at_build(self, context: JobContext, project: ProjectView, payload: ProductionBuild, folder: Path) -> None:
        """Start the build, or see how far it is. Returns when it has ended well."""
        state = next((one for one in self.work.runtime.ps(project.id) if one.service == BUILD), None)
        if state is None:
            self.work.runtime.available()
            self.work.tools.prepare(project.template, self.work.layout(project.id), lambda _text: context.throw_if_cancel_requested())
            (folder / "home").mkdir(exist_ok=True)
            (folder / "log").write_text(str(self._log(project).end()))
            stack = self.stacks.build(project, payload.snapshot)
            self.work.runtime.up(stack, report=lambda _line: None, cancelled=context.throw_if_cancel_requested)
            faults.point("production.building")
            context.reschedule(FIRST_LOOK_MS)
        lines = self._tell_lines(context, project, folder)
        began = context.job.started_at or context.job.created_at
        if state.state == "running":
            if self.work.clock.now_ms() - began > self.work.settings.build_timeout_s * 1000:
                raise Permanent(
                    f"The build did not end within {self.work.settings.build_timeout_s:.0f} s and was ended. {telling(lines)}".strip()
                )
            context.throw_if_cancel_requested()
            context.reschedule(max(FIRST_LOOK_MS, min(LAST_LOOK_MS, (self.work.clock.now_ms() - began) // 10)))
        if state.exit_code is None:
            # It ended while no doce was there to see how: once more.
            self.work.runtime.down(project.id, {BUILD})
            context.reschedule(FIRST_LOOK_MS)
        if state.exit_code:
            raise Permanent(f"The build failed with exit code {state.exit_code}. What is live stays so. {telling(lines)}".strip())
        (folder / "built").touch()

    def _tell_lines(self, context: JobContext, project: ProjectView, folder: Path) -> list[str]:
        """What the build wrote since the last look, as lines of the job; returns the last lines of all."""
        mark, log = folder / "log", self._log(project)
        offset = int(mark.read_text() or 0) if mark.exists() else 0
        told = folder / "said"
        last = told.read_text().splitlines() if told.exists() else []
        while (chunk := log.read(offset)).text:
            fresh = [line.partition(f" {BUILD} | ")[2] for line in chunk.text.splitlines() if line.startswith(f"[app] {BUILD} | ")]
            for line in fresh:
                context.log(line)
            last, offset = [*last, *fresh][-KEPT_LINES:], chunk.next_offset
            told.write_text("\n".join(last))
            mark.write_text(str(offset))
        return last

    def _log(self, project: ProjectView) -> LogFile:
        return self.work.runtime.logs(project.id)

    def _keep(self, context: JobContext, project: ProjectView, made: Path) -> digest.Output:
        """The output as an immutable folder named by its content; the same output is not copied again."""
        template = templates.get(project.template)
        breathe = context.throw_if_cancel_requested
        extra = "\0".join(template.start.command) if template.kind == "server" else ""
        output = digest.measure(made, extra, _every(200, breathe))
        layout = self.stacks.layout(project.id)
        place = layout.release(output.hash)
        known = self.productions.releases.digest_of(project.id, output.hash)
        if known not in (None, output.digest):
            raise Permanent(f"Two versions share the name {output.hash}.", hint="Change anything in the site and deploy again.")
        if place.exists() and known == output.digest:
            context.log("the same files as a version there is: nothing is copied")
            return output
        half = layout.root / f".{output.hash}.new"
        for old in (half, place):
            if old.exists():
                remove_tree(old)
        try:
            digest.copy(
                made, half / "dist", layout.next_time(self.work.clock.now_ms()), layout.root / CURRENT / "dist", _every(200, breathe)
            )
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            raise Unavailable(f"The release could not be kept: {error.strerror or error}.", hint="Free some disk space.") from error
        half.rename(place)
        return output

    def _clear_build(self, project: ProjectView, folder: Path) -> None:
        """Beside the critical path: what stays is removed with the next build."""
        try:
            self.work.runtime.down(project.id, {BUILD})
            remove_tree(folder)
        except (DoceError, OSError) as error:
            logger.warning("a build was not cleared away", extra={"project_id": project.id, "cause": str(error)})

    # production.start

    def start(self, context: JobContext, payload: ProductionStart) -> None:
        """The web server, and the release's own server, up beside what is live; nothing is switched yet."""
        project = self.work.store.get(payload.project_id)
        self._serve(context, project, payload.production_hash)
        faults.point("production.started")
        with context.finishing():
            wait = ProductionWaitReady(project_id=project.id, production_hash=payload.production_hash, started_at=self.work.clock.now_ms())
            enqueue(wait, user_id=context.job.user_id, clock=self.work.clock)
            self.productions.tell(project.id)

    def _serve(self, context: JobContext, project: ProjectView, hash: str) -> None:
        """Have the web server, and the server of release `hash`, running."""
        layout = self.stacks.layout(project.id)
        if not layout.release(hash).is_dir():
            raise NotFound(f"The files of version {hash} are gone.", hint="Deploy again.")
        self.work.runtime.available()
        self.work.tools.prepare_web(lambda _text: context.throw_if_cancel_requested())
        ports = self._ports(project, hash)
        try:
            if templates.get(project.template).kind == "server":
                self._up(context, project, self.stacks.server(project, hash, ports.server))
                layout.listens(hash, self.stacks.place(project, hash, ports.server))
            self._have_web(context, project, ports)
        except PortTaken as taken:
            self._move(context, project, taken)
            context.reschedule(FIRST_LOOK_MS)

    def _have_web(self, context: JobContext, project: ProjectView, ports: Ports) -> None:
        runs = any(one.service == WEB and one.state == "running" for one in self.work.runtime.ps(project.id))
        changed = self.stacks.configure(project, ports)
        self._up(context, project, self.stacks.web(project, ports))
        # Only another doce than the one that started it, or another port, has it say something else.
        if changed and runs and (command := self.stacks.reload(project.id)):
            done = self.work.runtime.exec(project.id, WEB, command, timeout_s=10)
            if done.exit_code:
                raise Unavailable(f"The web server did not read its configuration: {done.output.strip()[-300:]}")

    def _up(self, context: JobContext, project: ProjectView, stack: Stack) -> None:
        log = LogFile(self.work.layout(project.id).log_file)
        self.work.runtime.up(
            stack, report=lambda line: log.append("host", f"production: {line}\n"), cancelled=context.throw_if_cancel_requested
        )

    def _ports(self, project: ProjectView, hash: str) -> Ports:
        span, server = self.work.settings.production_ports, templates.get(project.template).kind == "server"
        with database.atomic():
            ports = Ports(
                reserve(project.id, WEB, span), reserve(project.id, f"{WEB}-check", span),
                reserve(project.id, f"release-{hash}", span) if server else 0,
            )  # fmt: skip
            Project.update(production_port=ports.web).where(Project.id == project.id).execute()
        return ports

    def _move(self, context: JobContext, project: ProjectView, taken: PortTaken) -> None:
        context.log(f"port {taken.port} was taken by somebody else; trying another")
        span = self.work.settings.production_ports
        for service in (WEB, f"{WEB}-check") if taken.service == WEB else (taken.service,):
            move(project.id, service, span)

    # production.waitReady

    def wait_ready(self, context: JobContext, payload: ProductionWaitReady) -> None:
        """One look: does the new release answer well on an address of its own? Then it is switched to, and the old one let go."""
        project, hash = self.work.store.get(payload.project_id), payload.production_hash
        served_since = Project.get_by_id(project.id).production_started_at or 0
        if not self._is_live(project, hash):
            if served_since > payload.started_at:
                # A later one took over while this one's predecessor was let go: that is its work now.
                with context.finishing():
                    return
            elapsed, limit_s = self.work.clock.now_ms() - payload.started_at, self.work.settings.healthy_timeout_s
            reason = self._look(project, hash)
            if reason:
                if elapsed > limit_s * 1000:
                    self._end_server(project, hash)
                    raise Permanent(f"The new version did not become healthy within {limit_s:g} s ({reason}). What was live stays so.")
                context.throw_if_cancel_requested()
                self._check_alive(context, project, hash, reason)
                context.reschedule(max(FIRST_LOOK_MS, min(LAST_LOOK_MS, elapsed // 5)))
            self._switch(context, project, hash)
        elif context.job.polls == 0 and served_since < payload.started_at:
            # The same files again: whoever asked is told that they are live.
            self.productions.record(project.id, production_error=None)
        self._let_go(context, project, hash)

    def _look(self, project: ProjectView, hash: str) -> str:
        """Why the release is not healthy; empty when it is."""
        template, ports = templates.get(project.template), self._ports(project, hash)
        if template.kind == "server":
            found = ready(Probe(path=template.start.health, good=True), ports.server)
            if found.ok:  # and is there somebody to take visitors to it?
                found = ready(Probe(any_status=True), ports.check)
        else:
            found = ready(Probe(path=f"/{hash}/", good=True), ports.check)
        return "" if found.ok else found.reason

    def _check_alive(self, context: JobContext, project: ProjectView, hash: str, reason: str) -> None:
        """A server that ended will not become healthy. Raises Permanent with the last it said; one that lost its port begins anew."""
        log = self._log(project).read().text
        for state in self.work.runtime.ps(project.id):
            if state.service not in (WEB, f"release-{hash}") or (state.state != "exited" and state.exit_code is None):
                continue
            host = self.work.settings.bind if state.service == WEB else "127.0.0.1"
            if lost_its_port(state, host, log):
                self._move(context, project, PortTaken(state.host_port or 0, state.service))
                self._serve(context, project, hash)
                context.reschedule(FIRST_LOOK_MS)
            last = (said(log, state.service) or [reason])[-1]
            if state.service == WEB:
                raise Permanent(f"The web server ended {how(state)}: {last}.")
            self._end_server(project, hash)
            raise Permanent(f"The new version's server ended {how(state)}: {last}. What was live stays so.")

    def _is_live(self, project: ProjectView, hash: str) -> bool:
        row = Project.get_by_id(project.id)
        return bool(self.stacks.layout(project.id).live() == hash == row.production_hash and row.production_started_at)

    def _switch(self, context: JobContext, project: ProjectView, hash: str) -> None:
        """From one moment to the next. The link first, since it is the truth; the row follows, also after a kill in between."""
        now = self.work.clock.now_ms()
        self.stacks.layout(project.id).switch(hash, now)
        faults.point("production.switched")
        self.productions.record(project.id, production_hash=hash, production_started_at=now, production_error=None)
        context.log(f"{hash} is live")

    def _let_go(self, context: JobContext, project: ProjectView, hash: str) -> None:
        """Give requests to old servers time to end, then stop those; remove what is too old. The job ends with it."""
        # The next version may be on its way already.
        wanted = {hash} | {str(job.values()["productionHash"]) for job in jobs.active(project.id) if "productionHash" in job.values()}
        there = {one.service for one in self.work.runtime.ps(project.id) if one.service.startswith("release-")}
        old = there - {f"release-{one}" for one in wanted}
        # Nor is one made anew under its name, on a rollback, while the web server remembers where it was.
        drain_s = max(self.work.settings.drain_s, REMEMBERED_S + 1)
        layout, enough = self.stacks.layout(project.id), self.work.clock.now_ms() - round(drain_s * 1000)
        waits = {service: layout.left(service.removeprefix("release-")) - enough for service in old}
        if over := {service for service, wait in waits.items() if wait <= 0}:
            self.work.runtime.down(project.id, over, grace_s=LEAVE_S)
            for service in over:
                release(project.id, service)
        if over != old:
            context.reschedule(min(1000, *(wait for wait in waits.values() if wait > 0)))
        self._prune(project, wanted)
        with context.finishing():
            pass

    def _prune(self, project: ProjectView, wanted: set[str]) -> None:
        layout, releases = self.stacks.layout(project.id), self.productions.releases
        kept = releases.kept(project.id)
        keep = {*wanted, layout.before(), *[one.hash for one in kept[: current(self.work.settings, "keep_releases")]]}
        for one in kept:
            if one.hash not in keep:
                releases.pruned(project.id, one.hash)
                with contextlib.suppress(DoceError, OSError):
                    remove_tree(layout.release(one.hash))

    def _end_server(self, project: ProjectView, hash: str) -> None:
        if self.stacks.layout(project.id).live() != hash:
            self.work.runtime.down(project.id, {f"release-{hash}"})
            release(project.id, f"release-{hash}")

    # production.rollback, production.stop

    def rollback(self, context: JobContext, payload: ProductionRollback) -> None:
        """As start and waitReady, at once when the version answers at once."""
        project, hash, reason = self.work.store.get(payload.project_id), payload.production_hash, ""
        if not self._is_live(project, hash):
            self._serve(context, project, hash)
            until = self.work.clock.monotonic() + AT_ONCE_MS / 1000
            while (reason := self._look(project, hash)) and self.work.clock.monotonic() < until:
                self._check_alive(context, project, hash, reason)
                if context.cancelled.wait(0.05):
                    context.throw_if_cancel_requested()
            if not reason:
                self._switch(context, project, hash)
        else:
            self.productions.record(project.id, production_error=None)
        # Waits until it answers, or lets the old one go.
        since = (not reason and Project.get_by_id(project.id).production_started_at) or self.work.clock.now_ms()
        with context.finishing():
            wait = ProductionWaitReady(project_id=project.id, production_hash=hash, started_at=since)
            enqueue(wait, user_id=context.job.user_id, clock=self.work.clock)

    def stop(self, context: JobContext, payload: ProductionStop) -> None:
        """Nothing is served any more. Port and versions stay."""
        project = self.work.store.get(payload.project_id)
        served = {one.service for one in self.work.runtime.ps(project.id) if one.service == WEB or one.service.startswith("release-")}
        self.work.runtime.down(project.id, served)
        faults.point("production.stopped")
        with context.finishing():
            self.productions.record(project.id, production_started_at=None, production_error=None)

    def failed(self, job: Job, error: str) -> None:
        """The pipeline ends here; what is live is as it was."""
        if job.project_id and self.work.store.exists(job.project_id):
            self.productions.record(job.project_id, production_error=error)

    def cancelled(self, job: Job) -> None:
        if job.project_id and self.work.store.exists(job.project_id):
            self.productions.tell(job.project_id)


def _every(count: int, call: Callable[[], None]) -> Callable[[], None]:
    """`call` once in `count` times."""
    passed = 0

    def sometimes() -> None:
        nonlocal passed
        passed += 1
        if passed % count == 0:
            call()

    return sometimes


def telling(lines: list[str]) -> str:
    """The lines of a build's output that say what went wrong: from the first that speaks of an error, else the last."""
    plain = [line.strip(BORDER) for line in lines if any(character.isalnum() for character in line)]
    first = next((at for at, line in enumerate(plain) if any(word in line.lower() for word in TROUBLE)), None)
    chosen = plain[-SHOWN_LINES // 2 :] if first is None else plain[first : first + SHOWN_LINES]
    return "\n".join(["Its log says:", *[line[:300] for line in chosen]]) if chosen else ""
