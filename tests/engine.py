"""A Docker engine for tests: the one that answers, else one of our own when we are root, else the test is skipped loudly."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from doce.docker.engine import Engine
from doce.errors import DoceError

LOCK = Path(tempfile.gettempdir()) / "doce-test-engine.lock"


def answers() -> bool:
    engine = Engine()
    try:
        engine.ping()
    except DoceError:
        return False
    finally:
        engine.close()
    return True


def ensure() -> None:
    """Raises Skipped where there is no engine and none can be started, Failed where there has to be one."""
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if answers():
            return
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            if os.environ.get("CI"):
                pytest.fail("No Docker engine answers, and CI is no place without one: .ci/run starts it.")
            pytest.skip("NO DOCKER ENGINE: none answers, and none can be started (root and dockerd are needed)")
        _start()


def _start() -> None:
    """In the background, and left running: several test processes share it."""
    folder = Path(tempfile.mkdtemp(prefix="doce-test-engine-"))
    words = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    for _ in range(300):
        if answers():
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"dockerd did not start; its log is {folder / 'log'}")
