"""Which doce a notebook talks to: that of DOCE_URL and DOCE_TOKEN, one that is up on the folder, or one started for this kernel."""

from __future__ import annotations

import atexit
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from doce.client import Doce, find
from doce.client.address import FILE_NAME
from doce.errors import DoceError, Unavailable
from doce.settings import client_environment, load

START_S = 45
STOP_S = 15
LISTENS = "doce listens at "
_lock = threading.Lock()
_doce: Doce | None = None
_keeper: subprocess.Popen[str] | None = None


def connect(url: str | None = None, token: str | None = None) -> Doce:
    """The doce of this kernel; the first call finds it, or starts one whose data is in ``data`` of the working directory.

    With `url` and `token` the kernel uses that one from now on. Raises Unavailable when none can be started.
    """
    global _doce
    with _lock:
        if url:
            _doce = Doce(url, token=token)
        if _doce is None:
            _doce = _found() or _started()
        return _doce


def another() -> Doce:
    """A client of its own for the same doce: one connection for each thread that waits on a stream."""
    return Doce(address=connect().address)


def close() -> None:
    """Forget the doce of this kernel; one that was started for it is stopped."""
    global _doce, _keeper
    with _lock:
        if _doce:
            _doce.close()
            _doce = None
        if _keeper:
            if _keeper.stdin:
                _keeper.stdin.close()
            try:
                _keeper.wait(STOP_S)
            except subprocess.TimeoutExpired:
                _keeper.kill()
                _keeper.wait()
            if _keeper.stdout:
                _keeper.stdout.close()
            _keeper = None


def _found() -> Doce | None:
    if any(client_environment()):
        return Doce()
    left = load().data / FILE_NAME
    if not left.exists():
        return None
    doce = Doce(address=find())
    try:
        doce.health()
    except DoceError:
        doce.close()
        return None
    return doce


def _started() -> Doce:
    global _keeper
    folder = load().data.absolute()
    if not (folder / FILE_NAME).exists():
        made = subprocess.run(
            [sys.executable, "-m", "doce", "setup", "--data", str(folder), "--name", "notebook"], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Unavailable(f"No doce could be set up in {folder}: {made.stderr.strip()[-300:]}")
    deadline = time.monotonic() + START_S
    while True:
        _keeper = subprocess.Popen(
            [sys.executable, "-m", "doce.notebook.keeper", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        if url := _listens(_keeper, deadline):
            break
        if time.monotonic() > deadline:
            raise Unavailable(f"No doce could be started in {folder}.", hint=f"{_log(folder)} says why.")
        # One of the kernel before this is still stopping.
        time.sleep(1)
    atexit.register(close)
    return Doce(address=find(url, settings=load(data=folder)))


def _listens(process: subprocess.Popen[str], deadline: float) -> str | None:
    """Where it listens; None when it ended."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            said.put(line)
        said.put("")

    threading.Thread(target=read, daemon=True, name="doce-notebook-doce").start()
    while True:
        try:
            line = said.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if line.startswith(LISTENS):
            return line.removeprefix(LISTENS).strip()
        if not line:
            process.wait()
            return None


def _log(folder: Path) -> Path:
    return folder / "serve.log"
