"""Which doce a notebook talks to: that of DOCE_URL and DOCE_TOKEN, one that is up on the folder, or one started for this kernel."""

from __future__ import annotations

import atexit
import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from doce.client import Doce, find
from doce.client.address import FILE_NAME, Address
from doce.errors import DoceError, Unavailable
from doce.settings import client_environment, load

START_S = 45
STOP_S = 15
LISTENS = "doce listens at "
LOG = "serve.log"
#: What `doce serve` says when another one has the folder.
TAKEN = "Another `doce serve` uses the data folder"
_lock = threading.Lock()
_doce: Doce | None = None
#: It is one of this machine's data folder, so there may be another one there later.
_local = False
_keeper: subprocess.Popen[str] | None = None


def connect(url: str | None = None, token: str | None = None) -> Doce:
    """The doce of this kernel; the first call finds it, or starts one whose data is in ``data`` of the working directory.

    With `url` and `token` the kernel uses that one from now on. Raises Unavailable when none can be started.
    """
    global _doce, _local
    with _lock:
        if url:
            _forget()
            _doce, _local = Doce(url, token=token), False
        elif _doce and _local and not _open(_doce.address):
            # It was stopped, or belonged to another notebook whose kernel has ended.
            _forget()
        if _doce is None:
            _local = not any(client_environment())
            _doce = (_found() or _started()) if _local else Doce()
        return _doce


def another() -> Doce:
    """A client of its own for the same doce: one connection for each thread that waits on a stream."""
    return Doce(address=connect().address)


def close() -> None:
    """Forget the doce of this kernel; one that was started for it is stopped."""
    with _lock:
        _forget()


def _forget() -> None:
    global _doce, _keeper
    if _doce:
        _doce.close()
        _doce = None
    if _keeper:
        if _keeper.stdin:
            _keeper.stdin.close()
        # Should it take longer, it comes to its end alone.
        with contextlib.suppress(subprocess.TimeoutExpired):
            _keeper.wait(STOP_S)
        if _keeper.stdout:
            _keeper.stdout.close()
        _keeper = None


def _open(address: Address) -> bool:
    """Whether anything listens there."""
    parts = urlsplit(address.url)
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or 80), timeout=2).close()
    except OSError:
        return False
    return True


def _found() -> Doce | None:
    """One that is up on the data folder, a person's or another kernel's."""
    if not (load().data / FILE_NAME).exists():
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
        _set_up(folder)
    deadline = time.monotonic() + START_S
    while True:
        before = _size(folder / LOG)
        keeper = subprocess.Popen(
            [sys.executable, "-m", "doce.notebook.keeper", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        if url := _listens(keeper, deadline):
            _keeper = keeper
            atexit.unregister(close)
            atexit.register(close)
            return Doce(address=find(url, settings=load(data=folder)))
        for pipe in (keeper.stdin, keeper.stdout):
            assert pipe
            pipe.close()
        why = _said(folder / LOG, before)
        if TAKEN not in why or time.monotonic() > deadline:
            raise Unavailable(f"No doce could be started in {folder}: {why}", hint=f"{folder / LOG} says more.")
        # One of the kernel before this is still stopping; or another notebook was quicker.
        time.sleep(0.5)
        if found := _found():
            return found


def _set_up(folder: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "doce", "setup", "--data", str(folder), "--name", "notebook"], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    # Two notebooks at once: the other was quicker.
    if made.returncode and not (folder / FILE_NAME).exists():
        raise Unavailable(f"No doce could be set up in {folder}: {made.stderr.strip()[-300:]}")


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _said(log: Path, before: int) -> str:
    """The end of what was written to `log` since it had `before` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(before)
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return str(error)
    return " ".join(text.split())[-400:] or "it said nothing."


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
