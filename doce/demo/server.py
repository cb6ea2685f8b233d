"""A doce of its own: a child process with a fresh data folder, and nothing of it left afterwards."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from doce.client import Address, Doce, find
from doce.docker.engine import Engine
from doce.docker.leftovers import remove_all
from doce.errors import Unavailable
from doce.settings import Settings, load

START_S = 30
STOP_S = 15
LISTENS = "doce listens at "


class Server:
    """`doce serve` in a process group of its own, on a free port, in `folder`."""

    def __init__(self, folder: Path, runtime: str | None = None) -> None:
        """`runtime`: what runs its projects; None: as the environment says."""
        self.folder = folder
        self.settings: Settings = load(data=folder, port=0, runtime=runtime)
        self._log = folder / "serve.log"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ports: set[int] = set()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> Address:
        """Start it; returns where it listens, with the token of its admin. Raises Unavailable with its last words."""
        from doce.app import set_up

        set_up(self.settings, "demo")
        argv = [sys.executable, "-m", "doce", "serve", "--data", str(self.folder), "--port", "0"]
        if self.settings.runtime:
            argv += ["--runtime", self.settings.runtime]
        with self._log.open("w") as log:
            # A session of its own: Ctrl-C reaches the demo, which then ends its doce in order.
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        url = self._said_url()
        self.watch_port(urlsplit(url).port)
        return find(settings=self.settings)

    def watch_port(self, port: int | None) -> None:
        """A port that must be free again at the end."""
        if port:
            self._ports.add(port)

    def _said_url(self) -> str:
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        process = self._process
        assert process
        assert process.stdout
        stdout = process.stdout

        def read() -> None:
            with stdout:
                for line in stdout:
                    lines.put(line)
            lines.put(None)

        self._reader = threading.Thread(target=read, daemon=True, name="doce-demo-stdout")
        self._reader.start()
        while True:
            try:
                line = lines.get(timeout=START_S)
            except queue.Empty:
                line = None
            if line is None:
                raise Unavailable("doce did not start.", hint=self.last_words() or None)
            if line.startswith(LISTENS):
                return line.removeprefix(LISTENS).strip()

    def last_words(self, project: str | None = None, lines: int = 8) -> str:
        """The last log lines that say something is wrong, else the last ones."""
        said = _tail(self._log)
        if project:
            said += _tail(self.settings.projects / project / "logs" / "docker.log", 40)[-lines:]
        telling = [line for line in map(_plain, said) if line]
        return "\n".join(telling[-lines:])

    def stop(self) -> list[str]:
        """End doce and everything it started; returns what had to be ended by force or is left."""
        left: list[str] = []
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
                left.append(f"doce did not end within {STOP_S} s")
        left += self._end_survivors()
        left += self._end_containers()
        if self._reader:
            self._reader.join(STOP_S)
        left += [f"port {port} is still taken" for port in sorted(self._ports) if _taken(port)]
        return left

    def _end_survivors(self) -> list[str]:
        """Kill what still works in the folder."""
        survivors = touching(self.folder)
        # A name is read before the end: afterwards there is none.
        names = [_name(process) for process in survivors]
        for process in survivors:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(survivors, timeout=5)
        return [f"{name} was still running" for name in names]

    def _end_containers(self) -> list[str]:
        """Stopped ones are removed without a word."""
        if self.settings.runtime != "docker":
            return []
        with contextlib.closing(Engine(self.settings.docker_host)) as engine:
            return [f"the container {name} was still running" for name in remove_all(engine, self.folder)]

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def halt(doce: Doce, project: str, *, patience_s: float = 30) -> None:
    """Stop a project's deployment and services and wait for it, but not forever: what stays is ended by force."""
    still, deadline = ("stopped", "error"), time.monotonic() + patience_s
    production = f"/api/projects/{project}/production"
    if doce.request("GET", production)["url"]:
        doce.request("POST", f"{production}/stop")
        while doce.request("GET", production)["url"] and time.monotonic() < deadline:
            time.sleep(0.1)
    if doce.project(project)["status"] in still:
        return
    doce.request("POST", f"/api/projects/{project}/halt")
    while doce.project(project)["status"] not in still and time.monotonic() < deadline:
        time.sleep(0.1)


def touching(folder: Path) -> list[psutil.Process]:
    """Processes that work in `folder` or were told of it."""
    place, own = str(folder), psutil.Process()
    known = {own.pid, *(parent.pid for parent in own.parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in known:
            continue
        try:
            inside = process.cwd().startswith(place) or any(place in value for value in process.environ().values())
            if inside and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.Error:
        return str(process.pid)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(path: Path, lines: int = 200) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64_000))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def _plain(line: str) -> str:
    """A log line as a person reads it; lines of no interest are empty."""
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if not isinstance(said, dict) or said.get("level") in ("debug", "info"):
        return ""
    last = str(said.get("stack", "")).rstrip().rpartition("\n")[2]
    return f"{said.get('message')}{f' ({last})' if last else ''}"
