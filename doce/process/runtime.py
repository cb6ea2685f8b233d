"""Services as child processes: each leads a session of its own, writes to a file, and outlives a killed doce.

The processes are the truth. What this object remembers is checked against them, since another doce with the same data
folder (`doce worker`) starts and ends services too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil

from doce.clock import Clock, SystemClock
from doce.errors import Conflict, Unavailable
from doce.ports import PortTaken, is_free
from doce.process import commands
from doce.process.child import Child, adopted, environment, exit_code_of, exit_file, stop_signal
from doce.process.collector import Collector
from doce.process.tags import Found, Tag, session, tagged, wait_gone
from doce.stacks.logs import LogFile
from doce.stacks.runtime import GRACE_S, ExecResult, ServiceState
from doce.stacks.stack import Service, Stack, group_of
from doce.stacks.usage import Meter, Usage
from doce.testing import faults

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
#: How old a look at the machine's processes may be for `ps`, seconds.
FRESH_S = 0.2
#: Looks at what is still there while it is ended: something that forks as fast as it is killed is given up.
MAX_SWEEPS = 50


class ProcessRuntime:
    """A `Runtime` over child processes of this machine."""

    name = "process"
    isolates = False

    def __init__(self, data: Path, instance: str, path: Callable[[], str], clock: Clock | None = None) -> None:
        """`instance` names this data folder; `path` is the PATH that services get."""
        self._instance = instance
        self._path = path
        self._clock = clock or SystemClock()
        self._root = data / "projects"
        self._children: dict[tuple[str, str], Child] = {}
        self._lock = threading.Lock()
        #: Held while a service starts and while looking for started ones, so that none is found before it is recorded.
        self._starting = threading.RLock()
        self._looked = float("-inf")
        self._meter = Meter()
        self._listeners: list[Callable[[str, str], None]] = []
        self._collector = Collector(self._root)
        self._adopt()
        self._collector.start()

    def available(self) -> None:
        if sys.platform == "win32":
            raise Unavailable("The process runtime needs Linux or macOS.", hint="Use WSL, or the docker runtime.")

    def up(self, stack: Stack, *, report: Callable[[str], None], cancelled: Callable[[], None]) -> list[ServiceState]:
        self._adopt()
        for service in stack.services:
            cancelled()
            child = self._child(stack.project_id, service.name)
            if child and not child.ended.is_set():
                if child.tag.fingerprint == service.fingerprint():
                    continue
                report(f"restarting {service.name}: its description changed")
                self._end([child])
            report(f"starting {service.name} on port {service.host_port}: {' '.join(service.command)}")
            self._start(stack, service)
        return self.ps(stack.project_id)

    def stop(self, project_id: str, services: Collection[str] | None = None) -> None:
        self._stop(project_id, _chosen(services))

    def down(self, project_id: str, services: Collection[str] | None = None, *, grace_s: int = GRACE_S) -> None:
        self._down(project_id, _chosen(services), grace_s)

    def destroy(self, project_id: str) -> None:
        self._down(project_id, lambda _service: True)

    def ps(self, project_id: str) -> list[ServiceState]:
        self._adopt(FRESH_S)
        return [child.state() for child in self._of(project_id)]

    def usage(self, project_id: str) -> list[Usage]:
        sums: dict[str, tuple[float, int]] = {}
        for found in tagged(self._instance):
            if found.tag.project_id != project_id:
                continue
            with contextlib.suppress(psutil.Error):
                cpu, memory = sums.get(found.tag.service, (0.0, 0))
                one_cpu, one_memory = self._use(found.process)
                sums[found.tag.service] = cpu + one_cpu, memory + one_memory
        return [Usage(service, round(cpu, 1), memory) for service, (cpu, memory) in sums.items()]

    def _use(self, process: psutil.Process) -> tuple[float, int]:
        with process.oneshot():
            times, began = process.cpu_times(), process.create_time()
            key = (process.pid, began)
            return self._meter.percent(key, times.user + times.system, at_s=time.time(), since_s=began), process.memory_info().rss

    def logs(self, project_id: str) -> LogFile:
        return LogFile(self._root / project_id / "logs" / "docker.log")

    def exec(self, project_id: str, service: str, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        self._adopt(FRESH_S)
        child = self._child(project_id, service)
        try:
            if child is None or child.ended.is_set():
                raise psutil.Error
            folder, variables = child.process.cwd(), child.process.environ()
        except psutil.Error:
            raise Conflict(f"{service} does not run.", hint="Start the project first.") from None
        return commands.run(argv, folder=folder, environment=variables, timeout_s=timeout_s)

    def projects(self) -> set[str]:
        return {found.tag.project_id for found in tagged(self._instance)}

    def watch(self, on_end: Callable[[str, str], None]) -> Callable[[], None]:
        # An object of its own, so that one watching twice is ended one at a time.
        def listener(project_id: str, service: str) -> None:
            on_end(project_id, service)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        self._listeners.append(listener)
        return end

    def close(self) -> None:
        self._listeners.clear()
        self._collector.stop()

    def _stop(self, project_id: str, chosen: Callable[[str], bool], grace_s: int = GRACE_S) -> None:
        self._adopt()
        self._end([child for child in self._of(project_id) if chosen(child.tag.service)], grace_s)
        # What a service that died before left running.
        self._sweep(lambda found: found.tag.project_id == project_id and chosen(found.tag.service))

    def _down(self, project_id: str, chosen: Callable[[str], bool], grace_s: int = GRACE_S) -> None:
        self._stop(project_id, chosen, grace_s)
        with self._lock:
            for key in [key for key in self._children if key[0] == project_id and chosen(key[1])]:
                del self._children[key]

    def _child(self, project_id: str, service: str) -> Child | None:
        with self._lock:
            return self._children.get((project_id, service))

    def _of(self, project_id: str) -> list[Child]:
        with self._lock:
            return [child for (project, _), child in self._children.items() if project == project_id]

    def _start(self, stack: Stack, service: Service) -> None:
        # What a service left behind when it died may still hold its port.
        self._sweep(lambda found: (found.tag.project_id, found.tag.service) == (stack.project_id, service.name))
        if not is_free(service.host_port, service.env.get("HOST", "127.0.0.1")):
            raise PortTaken(service.host_port, service.name)
        if service.second and not is_free(service.second[1]):
            raise PortTaken(service.second[1], service.name)
        faults.point("process.starting")
        tag = Tag(self._instance, stack.project_id, service.name, service.fingerprint())
        secrets = tuple(value.get_secret_value() for value in service.secrets.values())
        raw = self._collector.raw_file(stack.project_id, service.name)
        with self._starting:
            try:
                self._collector.begin(raw)
                process = self._spawn(stack, service, tag, raw)
            except OSError as error:
                raise Unavailable(
                    f"{service.name} cannot be started: {error.strerror or error}.", hint="Start the project again."
                ) from error
            faults.point("process.started")
            child = Child(
                tag, psutil.Process(process.pid), self._clock.now_ms(), service.host_port, stop_signal(service.stop_signal), secrets
            )  # fmt: skip
            self._record(child, lambda: commands.exit_code(process.wait()))

    def _spawn(self, stack: Stack, service: Service, tag: Tag, raw: Path) -> subprocess.Popen[bytes]:
        (stack.home / "tmp").mkdir(parents=True, exist_ok=True)
        exit_file(stack, service).unlink(missing_ok=True)
        with raw.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-I", str(LAUNCHER), _how(stack, service), str(len(service.install)), *service.install, *service.command],
                cwd=stack.workspace,
                env=environment(stack, service, tag, self._path()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _adopt(self, age_s: float = 0) -> None:
        """Take over what another doce started and this one does not know yet, unless it looked less than `age_s` ago."""
        with self._starting:
            now = self._clock.monotonic()
            if now - self._looked < age_s:
                return
            self._looked = now
            for found in tagged(self._instance):
                known = self._child(found.tag.project_id, found.tag.service)
                if not found.leads or (known and (known.process.pid == found.process.pid or not known.ended.is_set())):
                    continue
                try:
                    child = adopted(found)
                except psutil.Error:
                    continue
                self._record(child, partial(_unseen_end, child.process, found.environment))
                logger.info("adopted a running service", extra={"service": str(found.tag), "pid": found.process.pid})

    def _record(self, child: Child, wait: Callable[[], int | None]) -> None:
        """Remember a running service. A thread waits for it, so its end is known at once and it leaves no zombie."""
        raw = self._collector.raw_file(*child.key)
        self._collector.follow(raw, child.secrets)
        with self._lock:
            self._children[child.key] = child

        def run() -> None:
            child.exit_code = wait()
            self._clear_away(child)
            self._collector.finish(raw)
            child.ended.set()
            self._tell(child)

        threading.Thread(target=run, name=f"doce-wait-{child.process.pid}", daemon=True).start()

    def _clear_away(self, child: Child) -> None:
        """A service that ended takes with it what it started, as a container does: it would hold the port of the next one."""
        for member in session(child.process.pid):
            with contextlib.suppress(psutil.Error):
                member.kill()
        self._sweep(lambda found: found.leader == child.process.pid and (found.tag.project_id, found.tag.service) == child.key)

    def _tell(self, child: Child) -> None:
        if child.expected:
            return
        logger.warning("a service ended by itself", extra={"service": str(child.tag), "exit_code": child.exit_code})
        for listener in list(self._listeners):
            try:
                listener(*child.key)
            except Exception:  # a background thread: the others still have to be told
                logger.exception("a service's end could not be told", extra={"service": str(child.tag)})

    def _end(self, children: Sequence[Child], grace_s: int = GRACE_S) -> None:
        """Ask each to end, all at once, then wait for them together; SIGKILL for what does not. Raises Unavailable if even that fails."""
        for child in children:
            child.expected = True
            if not child.ended.is_set():
                _signal_group(child.process, child.stop_signal)
        deadline = self._clock.monotonic() + grace_s
        for child in children:
            if child.ended.wait(max(0.0, deadline - self._clock.monotonic())):
                continue
            _signal_group(child.process, signal.SIGKILL)
            if not child.ended.wait(GRACE_S):
                raise Unavailable(
                    f"{child.tag.service} (process {child.process.pid}) cannot be ended.", hint="See what holds it, then try again."
                )

    def _sweep(self, belongs: Callable[[Found], bool]) -> None:
        """End every tagged process that `belongs`, until none is left: also grandchildren in a session of their own."""
        for _ in range(MAX_SWEEPS):
            left = [found.process for found in tagged(self._instance) if belongs(found)]
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            for process in left:
                wait_gone(process, GRACE_S / MAX_SWEEPS)
        logger.error("processes of a project cannot be ended", extra={"pids": [process.pid for process in left]})


def _how(stack: Stack, service: Service) -> str:
    """What the launcher is told, see there."""
    return str(exit_file(stack, service)) if service.once else "stay" if service.lasting else "become"


def _chosen(services: Collection[str] | None) -> Callable[[str], bool]:
    """The named services; None: the preview group, never what was deployed."""
    return lambda service: group_of(service) == "preview" if services is None else service in services


def _unseen_end(process: psutil.Process, environment: Mapping[str, str]) -> int | None:
    """Wait for a process that is no child of ours: its exit code goes to whoever is its parent, and to a file if it is meant to end."""
    wait_gone(process)
    return exit_code_of(environment)


def _signal_group(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if process.is_running():
            os.killpg(process.pid, number)
