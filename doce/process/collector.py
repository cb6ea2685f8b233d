"""Copies what services write into the project's log, line by line.

Services write to files of their own, so that a killed doce breaks no pipe; how far a file was copied is kept in a
sidecar beside it, so a restart repeats nothing and loses nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from doce.stacks.logs import LogFile

logger = logging.getLogger(__name__)

LOOK_S = 0.1
#: A file that was copied and is larger than this is emptied.
MAX_RAW = 10 * 1024 * 1024
#: Most bytes taken at once, and the longest line that is waited for.
STEP = 256 * 1024
SUFFIX = ".raw"


class Collector:
    """One thread for all projects under `root` (``<root>/<project>/logs/<service>.raw``)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._offsets: dict[Path, int] = {}
        self._thread = threading.Thread(target=self._run, name="doce-collector", daemon=True)

    def start(self) -> None:
        for path in self._root.glob(f"*/logs/*{SUFFIX}"):
            self._offsets[path] = _remembered(path)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)
        self.look()

    def raw_file(self, logs: Path, service: str) -> Path:
        """Where a service writes."""
        path = logs / f"{service}{SUFFIX}"
        with self._lock:
            self._offsets.setdefault(path, _remembered(path))
        return path

    def forget(self, project_id: str) -> None:
        with self._lock:
            for path in [path for path in self._offsets if path.parent.parent.name == project_id]:
                del self._offsets[path]

    def look(self) -> None:
        """Copy whatever is new now."""
        with self._lock:
            for path in list(self._offsets):
                try:
                    self._copy(path)
                except OSError as error:
                    logger.warning("a service's output cannot be read", extra={"file": path.name, "cause": str(error)})

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            self.look()

    def _copy(self, path: Path) -> None:
        offset = self._offsets[path]
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return
        if size < offset:
            offset = 0
        while offset < size:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(STEP)
            end = data.rfind(b"\n") + 1
            if not end:
                if len(data) < STEP:
                    break
                end = len(data)
            text = "".join(f"{path.stem} | {line}\n" for line in data[:end].decode("utf-8", "replace").splitlines())
            LogFile(path.with_name("docker.log")).append("app", text)
            offset += end
            self._remember(path, offset)
        if offset == size > MAX_RAW:
            os.truncate(path, 0)
            self._remember(path, 0)

    def _remember(self, path: Path, offset: int) -> None:
        self._offsets[path] = offset
        sidecar = path.with_suffix(".offset")
        half = sidecar.with_suffix(".offset.new")
        half.write_text(str(offset))
        half.replace(sidecar)


def _remembered(path: Path) -> int:
    try:
        return int(path.with_suffix(".offset").read_text())
    except (OSError, ValueError):
        return 0
