"""Copies what services write into the project's log, line by line.

Services write to files of their own, so that a killed doce breaks no pipe. How far a file was copied is kept in a sidecar
beside it, noted before and after each copy, so that a doce killed in between repeats nothing and loses nothing. Several
processes may collect the same file; they meet at a lock on the sidecar.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from doce.stacks.logs import LogFile, rendered, whole_characters

logger = logging.getLogger(__name__)

LOOK_S = 0.1
#: A file that was copied and is larger than this is emptied once its service is quiet; at ten times this in any case.
MAX_RAW = 10 * 1024 * 1024
#: Most bytes taken at once, and the longest line that is waited for.
STEP = 256 * 1024
#: Shorter ones would blacken ordinary words.
MIN_SECRET = 6
SUFFIX = ".raw"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was copied. `end` beyond `offset`: a copy of what lies between was begun when the log ended at `log_end`."""

    offset: int = 0
    end: int = 0
    log_end: int = 0


class Collector:
    """One thread for all services that run under `root` (``<root>/<project>/logs/<service>.raw``)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stopped = False
        self._wake = threading.Condition()
        #: Held while copying; never while waiting.
        self._copying = threading.RLock()
        self._followed: dict[Path, tuple[str, ...]] = {}
        self._failing: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="doce-collector", daemon=True)

    def start(self) -> None:
        """Copy what services wrote while no doce was there, then go on with those that run."""
        for path in self._root.glob(f"*/logs/*{SUFFIX}"):
            if path not in self._followed:
                self._collect(path, (), whole=True)
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        self._thread.join(timeout=5)
        self.look()

    def raw_file(self, project_id: str, service: str) -> Path:
        """Where a service writes."""
        return self._root / project_id / "logs" / f"{service}{SUFFIX}"

    def begin(self, path: Path) -> None:
        """A service is about to start, nobody writes to `path`: finish what the one before it left, and empty the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._collect(path, (), whole=True)
        with self._copying, _Sidecar(path) as sidecar:
            path.write_bytes(b"")
            sidecar.mark = Mark()

    def follow(self, path: Path, secrets: Collection[str]) -> None:
        """Copy what appears in `path` from now on, without `secrets`."""
        with self._wake:
            # Longest first: one may be the beginning of another.
            self._followed[path] = tuple(sorted((secret for secret in secrets if len(secret) >= MIN_SECRET), key=len, reverse=True))
            self._wake.notify_all()

    def finish(self, path: Path) -> None:
        """The service ended: copy all that is left, also a last line without an end."""
        with self._wake:
            secrets = self._followed.pop(path, ())
        self._collect(path, secrets, whole=True)

    def look(self) -> None:
        """Copy whatever is new now."""
        with self._wake:
            followed = list(self._followed.items())
        for path, secrets in followed:
            self._collect(path, secrets)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._followed)
                if self._wake.wait_for(lambda: self._stopped, LOOK_S):
                    return
            self.look()

    def _collect(self, path: Path, secrets: tuple[str, ...], *, whole: bool = False) -> None:
        """Beside the critical path: a full disk or a removed folder costs log lines, not the service. Told once."""
        try:
            with self._copying:
                _copy(path, secrets, whole)
            self._failing.discard(path)
        except OSError as error:
            if path not in self._failing:
                self._failing.add(path)
                logger.warning("a service's output cannot be copied", extra={"file": str(path), "cause": str(error)})


class _Sidecar:
    """The mark of a file, under its lock."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_suffix(".offset")

    def __enter__(self) -> _Sidecar:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._file)

    @property
    def mark(self) -> Mark:
        try:
            return Mark(*(int(word) for word in os.pread(self._file, 100, 0).split()[:3]))
        except ValueError:
            return Mark()

    @mark.setter
    def mark(self, mark: Mark) -> None:
        # Always of one length, so that one write replaces all of it.
        os.pwrite(self._file, f"{mark.offset:020} {mark.end:020} {mark.log_end:020}\n".encode(), 0)


def _copy(path: Path, secrets: tuple[str, ...], whole: bool) -> None:
    if not path.exists():
        return
    log = LogFile(path.with_name("docker.log"))
    with _Sidecar(path) as sidecar:
        # Not before the lock: another collector may copy, or empty the file, while this one waits.
        size, mark = path.stat().st_size, sidecar.mark
        if size < mark.offset:
            mark = Mark()
        elif mark.end > mark.offset:
            mark = _finished(path, mark, log, secrets)
            sidecar.mark = mark
        offset = mark.offset
        while data := _lines(path, offset, whole):
            sidecar.mark = Mark(offset, offset + len(data), log.end())
            log.write(_shown(path, data, secrets))
            offset += len(data)
            sidecar.mark = Mark(offset)
        if offset == size == path.stat().st_size and (size > 10 * MAX_RAW or (size > MAX_RAW and mark.offset == offset)):
            os.truncate(path, 0)
            sidecar.mark = Mark()


def _lines(path: Path, offset: int, whole: bool) -> bytes:
    """What to copy next: whole lines; of a line that is too long, or the last one when `whole`, whole characters."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(STEP)
    if end := data.rfind(b"\n") + 1:
        return data[:end]
    if len(data) == STEP:
        return whole_characters(data)
    return data if whole else b""


def _shown(path: Path, data: bytes, secrets: tuple[str, ...]) -> str:
    text = data.decode("utf-8", "replace").removesuffix("\n")
    for secret in secrets:
        text = text.replace(secret, "***")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return rendered("app", "".join(f"{path.stem} | {line}\n" for line in lines))


def _finished(path: Path, mark: Mark, log: LogFile, secrets: tuple[str, ...]) -> Mark:
    """A doce died in the middle of a copy: write what of it is not in the log yet."""
    with path.open("rb") as file:
        file.seek(mark.offset)
        block = _shown(path, file.read(mark.end - mark.offset), secrets)
    since, offset = "", mark.log_end
    while (chunk := log.read(offset)).text and not chunk.truncated:
        since, offset = since + chunk.text, chunk.next_offset
    if block not in since:
        log.write(block.removeprefix(since) if since and block.startswith(since) else block)
    return Mark(mark.end)
