"""An engine of our own that may be ended: with its own folders, and a network nobody else sees."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from doce.docker.engine import Engine
from doce.errors import DoceError

#: Its bridge and its packet filter are its own, or it would take away the ones of this machine's engine.
_START = 'ip link set lo up && exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" -H "unix://$0/sock"'


class PrivateEngine:
    """A `dockerd` that a test starts and ends."""

    def __init__(self) -> None:
        # Short: a socket's path has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="doce-e-", dir="/tmp"))
        self.host = f"unix://{self._folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What it lacks on this machine."""
        return ", ".join(name for name in ("dockerd", "unshare", "ip") if shutil.which(name) is None)

    def start(self) -> None:
        """Unless it runs."""
        if self._process:
            return
        words = ["unshare", "--net", "sh", "-c", _START, str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        for _ in range(300):
            if self._answers():
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

    def remove(self) -> None:
        self.end()
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
