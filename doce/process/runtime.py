"""Services as child processes: each leads a session of its own, writes to a file, and outlives a killed doce."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from doce.clock import Clock, SystemClock
from doce.errors import Conflict, NotFound, Unavailable
from doce.ports import PortTaken, is_free
from doce.process.collector import Collector
from doce.process.tags import VARIABLE, Tag, tagged
from doce.stacks.runtime import ExecResult, ServiceState
from doce.stacks.stack import Service, Stack
from doce.testing import faults

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
#: How long a service may take to end after its signal, seconds.
GRACE_S = 5.0


@dataclass
class Child:
    """A service that was started, by this doce or one before it."""

    tag: Tag
    process: psutil.Process
    started_at: int
    ended: threading.Event = field(default_factory=threading.Event)
    exit_code: int | None = None
    #: doce ends it, so its end is no news.
    expected: bool = False

    def state(self) -> ServiceState:
        running = not self.ended.is_set()
        return ServiceState(
            service=self.tag.service,
            state="running" if running else "exited",
            id=str(self.process.pid),
            exit_code=None if running else self.exit_code,
            started_at=self.started_at,
            fingerprint=self.tag.fingerprint,
        )


class ProcessRuntime:
    """A `Runtime` over child processes of this machine."""

    name = "process"
    isolates = False

    def __init__(self, data: Path, instance: str, path: Callable[[], str], clock: Clock | None = None) -> None:
        """`instance` names this data folder; `path` is the PATH that services get."""
        self._instance = instance
        self._path = path
        self._clock = clock or SystemClock()
        self._children: dict[tuple[str, str], Child] = {}
        self._lock = threading.Lock()
        self._listeners: list[Callable[[str, str], None]] = []
        self._collector = Collector(data / "projects")
        self._adopt()
        self._collector.start()

    def available(self) -> None:
        if sys.platform == "win32":
            raise Unavailable("The process runtime needs Linux or macOS.", hint="Use WSL, or the docker runtime.")

    def up(self, stack: Stack, *, report: Callable[[str], None], cancelled: Callable[[], None]) -> list[ServiceState]:
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

    def _start(self, stack: Stack, service: Service) -> None:
        # What a service left behind when it died may still hold its port.
        self._kill_tagged(stack.project_id, {service.name})
        if not is_free(service.host_port):
            raise PortTaken(service.host_port, service.name)
        tag = Tag(self._instance, stack.project_id, service.name, service.fingerprint())
        for folder in (stack.home / "tmp", stack.logs):
            folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-I", str(LAUNCHER), str(len(service.install)), *service.install, *service.command]
        try:
            with self._collector.raw_file(stack.logs, service.name).open("ab") as output:
                process = subprocess.Popen(
                    argv,
                    cwd=stack.workspace,
                    env=self._environment(stack, service, tag),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"{service.name} cannot be started: {error.strerror or error}.", hint="doce tries again.") from error
        faults.point("process.started")
        child = Child(tag, psutil.Process(process.pid), self._clock.now_ms())
        with self._lock:
            self._children[(stack.project_id, service.name)] = child
        self._watch_over(child, process.wait)

    def _child(self, project_id: str, service: str) -> Child | None:
        with self._lock:
            return self._children.get((project_id, service))

    def _environment(self, stack: Stack, service: Service, tag: Tag) -> dict[str, str]:
        """Nothing of doce's own environment: it may hold keys."""
        return {
            "PATH": self._path(),
            "HOME": str(stack.home),
            "TMPDIR": str(stack.home / "tmp"),
            "LANG": "C.UTF-8",
            "HOST": "127.0.0.1",
            "PORT": str(service.port),
            **service.volatile,
            **service.env,
            **{name: value.get_secret_value() for name, value in service.secrets.items()},
            VARIABLE: str(tag),
        }

    def _watch_over(self, child: Child, wait: Callable[[], int | None]) -> None:
        """A thread waits for the process, so its end is known at once and it leaves no zombie."""

        def run() -> None:
            try:
                child.exit_code = wait()
            except psutil.Error:
                child.exit_code = None
            child.ended.set()
            self._collector.look()
            if not child.expected:
                logger.warning("a service ended by itself", extra={"service": str(child.tag), "exit_code": child.exit_code})
                for listener in list(self._listeners):
                    listener(child.tag.project_id, child.tag.service)

        threading.Thread(target=run, name=f"doce-wait-{child.process.pid}", daemon=True).start()

    def _adopt(self) -> None:
        """Take over what an earlier doce started: the leader of each session that carries our tag."""
        for process, tag in tagged(self._instance):
            try:
                if os.getsid(process.pid) != process.pid:
                    continue
                started = round(process.create_time() * 1000)
            except (psutil.Error, OSError):
                continue
            child = Child(tag, process, started)
            self._children[(tag.project_id, tag.service)] = child
            self._watch_over(child, process.wait)
            logger.info("adopted a running service", extra={"service": str(tag), "pid": process.pid})

    def stop(self, project_id: str, services: Collection[str] | None = None) -> None:
        with self._lock:
            wanted = [
                child
                for (project, name), child in self._children.items()
                if project == project_id and (services is None or name in services)
            ]
        self._end(wanted)
        self._kill_tagged(project_id, set(services) if services is not None else None)
        self._collector.look()

    def down(self, project_id: str) -> None:
        self.stop(project_id)
        with self._lock:
            for key in [key for key in self._children if key[0] == project_id]:
                del self._children[key]

    def destroy(self, project_id: str) -> None:
        self.down(project_id)
        self._collector.forget(project_id)

    def ps(self, project_id: str) -> list[ServiceState]:
        with self._lock:
            return [child.state() for (project, _), child in self._children.items() if project == project_id]

    def exec(self, project_id: str, service: str, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        child = self._child(project_id, service)
        if child is None or child.ended.is_set():
            raise Conflict(f"{service} does not run.", hint="Start the project first.")
        try:
            environment, folder = child.process.environ(), child.process.cwd()
            done = subprocess.run(
                list(argv), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise NotFound(f"There is no program {argv[0]!r} for {service}.") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{argv[0]} did not end within {timeout_s:g} s and was ended.") from None
        except psutil.Error as error:
            raise Conflict(f"{service} does not run.", hint="Start the project first.") from error
        return ExecResult(done.returncode, done.stdout.decode("utf-8", "replace"))

    def projects(self) -> set[str]:
        return {tag.project_id for _, tag in tagged(self._instance)}

    def watch(self, on_end: Callable[[str, str], None]) -> Callable[[], None]:
        self._listeners.append(on_end)
        return lambda: self._listeners.remove(on_end)

    def close(self) -> None:
        self._collector.stop()

    def _end(self, children: Sequence[Child]) -> None:
        """Ask each to end, all at once, then wait for them together. SIGTERM: only as a container's first process is it ignored."""
        for child in children:
            child.expected = True
            if not child.ended.is_set():
                _signal_group(child.process.pid, signal.SIGTERM)
        deadline = self._clock.monotonic() + GRACE_S
        for child in children:
            if not child.ended.wait(max(0.0, deadline - self._clock.monotonic())):
                _signal_group(child.process.pid, signal.SIGKILL)
                child.ended.wait(GRACE_S)

    def _kill_tagged(self, project_id: str, services: set[str] | None) -> None:
        """End what is left with the tag: grandchildren that went into a session of their own."""
        for process, tag in tagged(self._instance):
            if tag.project_id == project_id and (services is None or tag.service in services):
                try:
                    process.kill()
                    process.wait(GRACE_S)
                except (psutil.Error, OSError):
                    continue


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
