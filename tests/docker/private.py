"""An engine of our own that may be ended: with its own folders, and a network nobody else sees."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from doce.docker.engine import Engine
from doce.errors import DoceError

#: Its bridge and its packet filter are its own, or it would take away the ones of this machine's engine.
_START = 'ip link set lo up && exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" -H "unix://$0/sock"'

#: From linux/sched.h; Python names it from 3.12 on.
CLONE_NEWNET = 0x40000000


class PrivateEngine:
    """A `dockerd` that a test starts and ends."""

    def __init__(self) -> None:
        # Short: a socket's path has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="doce-e-", dir="/tmp"))
        self.host = f"unix://{self._folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None
        #: Its network, held open: it outlives the engine as a machine's does.
        self._network: int | None = None

    @staticmethod
    def missing() -> str:
        """What it lacks on this machine."""
        return ", ".join(name for name in ("dockerd", "unshare", "ip") if shutil.which(name) is None)

    def small_disk(self, megabytes: int) -> Path:
        """Its data on a disk of their own, of this size, until it is removed; where that is."""
        place = self._folder / "data"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "doce-test", str(place)], check=True)
        return place

    def start(self) -> None:
        """Unless it runs."""
        if self._process:
            return
        enter = ["unshare", "--net"] if self._network is None else [*self._enter]
        words = [*enter, "sh", "-c", _START, str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        for _ in range(300):
            if self._answers():
                if self._network is None:
                    self._network = os.open(f"/proc/{self._process.pid}/ns/net", os.O_RDONLY)
                return
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        raise AssertionError(f"dockerd did not start; its log ends: {(self._folder / 'log').read_text()[-2000:]}")

    def end(self) -> None:
        """It ends its containers first."""
        if self._process:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """As the kernel would, short of memory; its containers live on until it is back and ends them."""
        assert self._process
        self._process.kill()
        self._process.wait(60)
        self._process = None
        # Its containerd goes with it, but not its number, which may be somebody else's by the next start.
        (self._folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def words_inside(self, *words: str) -> list[str]:
        """A command line that runs `words` in its network."""
        return [*self._enter, *words]

    @property
    def _enter(self) -> tuple[str, str]:
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._network}")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Meanwhile this thread, and what it starts, are in its network: where its containers' ports are."""
        assert self._network is not None
        with Path("/proc/thread-self/ns/net").open() as outer:
            _enter(self._network)
            try:
                yield
            finally:
                _enter(outer.fileno())

    def remove(self) -> None:
        self.end()
        if self._network is not None:
            os.close(self._network)
        # A disk of its own; and an engine mounts its folder on itself, and one that was killed left that.
        while f" {self._folder}/data " in Path("/proc/self/mounts").read_text():
            subprocess.run(["umount", "--lazy", f"{self._folder}/data"], check=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        engine = Engine(self.host)
        try:
            engine.ping()
        except DoceError:
            return False
        finally:
            engine.close()
        return True


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
