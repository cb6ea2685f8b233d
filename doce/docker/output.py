"""Copies what containers write into the project's log, each line once.

The engine keeps the output with a time stamp on every line. Beside the log a mark says up to which line it was copied: it is
noted before and after each write, so that a doce that is killed in between repeats nothing and loses nothing. One process
follows a container, the one that holds the lock on its mark; another takes over when that one ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from doce.docker.engine import Engine
from doce.stacks.logs import LogFile, rendered

logger = logging.getLogger(__name__)

#: Shorter secrets would blacken ordinary words.
MIN_SECRET = 6
#: How often somebody who stands by looks whether the one who follows is gone, seconds.
LOOK_S = 0.5
#: What a full disk says, and when it is tried again, seconds.
FULL, RETRY_S = (errno.ENOSPC, errno.EDQUOT), 5.0
#: How far behind the mark a line is looked for that may have been written, bytes.
BEHIND = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """The last line copied: its container, its time as the engine wrote it, and how many lines of that very time were copied.

    `log_end`: a write was begun when the log ended there; -1: none is under way.
    """

    container: str = ""
    time: str = ""
    same: int = 0
    log_end: int = -1
    #: Its end was told.
    ended: bool = False

    def after(self, time: str) -> Mark:
        """With one more line of this time copied."""
        return Mark(self.container, time, self.same + 1 if time == self.time else 1)


class Follower:
    """A thread that copies one container's output until it ends."""

    def __init__(
        self, engine: Engine, container_id: str, service: str, logs: Path, secrets: Iterable[str], gone: Callable[[], None]
    ) -> None:
        """`gone` is called when there is nothing more to copy, or it cannot go on."""
        self._engine = engine
        self._id = container_id
        self._service = service
        self._logs = logs
        # Longest first: one may be the beginning of another.
        self._secrets = tuple(sorted((one for one in secrets if len(one) >= MIN_SECRET), key=len, reverse=True))
        self._gone = gone
        self._stopped = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name=f"doce-output-{service}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let go; what was copied is marked."""
        self._stopped.set()
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()

    def join(self, timeout_s: float) -> None:
        """Until everything was copied."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        # Beside the critical path: what cannot be copied costs log lines, not the service.
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            with _locked(self._logs / f"{self._service}.mark", self._stopped) as file:
                while file is not None and not self._copied(file):
                    pass
        except Exception as error:
            if not self._stopped.is_set():
                logger.info("a container's output is not copied for now", extra={"service": self._service, "cause": str(error)})
        finally:
            self._gone()

    def _copied(self, file: int) -> bool:
        """Copy until there is nothing more; False when the disk was full meanwhile, and it is time to go on where the mark is."""
        try:
            self._copy(file)
        except OSError as error:
            if error.errno not in FULL:
                raise
            logger.warning("a container's output cannot be copied: the disk is full", extra={"service": self._service})
            return self._stopped.wait(RETRY_S)
        return True

    def _copy(self, file: int) -> None:
        log, mark = LogFile(self._logs / "docker.log"), _read(file)
        if mark.container != self._id:
            mark = Mark(self._id)
        begun, skip = mark.log_end, mark.same
        for time, text in self._lines(mark.time):
            if time < mark.time:
                continue
            if time == mark.time and skip > 0:
                skip -= 1
                continue
            shown = self._shown(text)
            # The doce before was killed as it wrote this line: before that, or after? Others write into this log as well.
            written = begun >= 0 and shown in log.read(begun, BEHIND).text
            begun = -1
            if not written:
                _write(file, Mark(mark.container, mark.time, mark.same, log.end()))
                log.write(shown)
            mark = mark.after(time)
            _write(file, mark)
        if not mark.ended and (end := self._end()):
            log.append("docker", f"{self._service} {end}\n")
            _write(file, replace(mark, ended=True))

    def _end(self) -> str:
        """How the container ended; empty while it runs, or when it is gone."""
        found = self._engine.client.api.inspect_container(self._id)
        state = found["State"]
        if state["Running"]:
            return ""
        if state.get("OOMKilled"):
            return f"was ended: it used more than its {found['HostConfig']['Memory'] // (1024 * 1024)} MiB of memory"
        return f"ended with exit code {state['ExitCode']}"

    def _lines(self, since: str) -> Iterator[tuple[str, str]]:
        """(time, text) of each line from the second of `since` on, until the container ends."""
        # The client takes whole seconds or floats, which are not exact enough.
        whole = int(datetime.fromisoformat(f"{since[:19]}+00:00").timestamp()) if since else None
        stream = self._engine.client.api.logs(self._id, stream=True, follow=True, timestamps=True, since=whole)
        self._stream = stream
        with contextlib.closing(stream):
            for data in stream:
                if self._stopped.is_set():
                    return
                time, _, text = data.decode("utf-8", "replace").partition(" ")
                yield time, text.rstrip("\r\n")

    def _shown(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        # A progress bar comes as one line with many returns.
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return rendered("app", "".join(f"{self._service} | {line}\n" for line in lines))


@contextlib.contextmanager
def _locked(path: Path, stopped: threading.Event) -> Iterator[int | None]:
    """The mark's file, once nobody else holds it; None when `stopped` before."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not stopped.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stopped.wait(LOOK_S)
            else:
                yield file
                return
        yield None
    finally:
        os.close(file)


def _read(file: int) -> Mark:
    words = os.pread(file, 300, 0).decode("ascii", "replace").split()
    try:
        return Mark(words[0], "" if words[1] == "-" else words[1], int(words[2]), int(words[3]), words[4] == "ended")
    except (LookupError, ValueError):
        return Mark()


def _write(file: int, mark: Mark) -> None:
    # Always of one length, so that one write replaces all of it.
    os.pwrite(
        file,
        f"{mark.container:<80} {mark.time or '-':<40} {mark.same:010} {mark.log_end:020} {'ended' if mark.ended else 'going'}\n".encode(),
        0,
    )
