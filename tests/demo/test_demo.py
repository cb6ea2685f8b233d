"""The whole loop with the real agent, as somebody runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doce.demo.server import touching
from doce.settings import load, machine_path
from doce.toolchain import Toolchain

ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def _agent() -> None:
    """What the demo needs is in the cache; fetching it is another test's matter."""
    chain = Toolchain(load({}).cache, path=machine_path())
    missing = [name for name in ("node", "opencode") if chain.find(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not in the cache: run scripts/demo once")


def demo(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCE_")}
    environment = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)} | more
    argv = [sys.executable, "-m", "doce", "demo", *words]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_sentence_becomes_a_page_and_the_page_changes(tmp_path: Path) -> None:
    out, err = demo(tmp_path, "a landing page for a bicycle repair shop", "--json").communicate(timeout=240)
    told = objects(out)
    steps = [one["step"] for one in told]
    assert steps[-1] == "stop", err
    by_step = {one["step"]: one for one in told}
    assert {"bicycle", "repair"} <= set(by_step["preview"]["words"])
    assert by_step["changed"]["files"]
    assert by_step["summary"]["outputTokens"] > 0
    seqs = [one["seq"] for one in told if one["step"] == "event"]
    assert seqs == sorted(set(seqs))
    jobs = [one["payload"]["jobType"] for one in told if one.get("type") == "job.state" and one["payload"]["state"] == "succeeded"]
    pipeline = ["project.create", "docker.composeUp", "docker.waitReady", "opencode.sessionCreate", "opencode.sendUserPrompt"]
    deployment = ["production.build", "production.start", "production.waitReady"]
    assert [job for job in dict.fromkeys(jobs) if job != "production.rollback"] == [*pipeline, *deployment]
    assert [by_step[step]["version"] for step in ("deploy", "deploy again", "rollback")] == [1, 2, 1]
    assert {"chat.message.part.added", "chat.reasoning.part", "chat.tool.start", "chat.file.changed"} <= {one.get("type") for one in told}
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    process = demo(tmp_path, "--json")
    assert process.stdout
    for line in process.stdout:
        if json.loads(line).get("type") == "chat.tool.start":
            break
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    told = objects(rest)
    assert process.returncode == 130
    assert "interrupted" in [one["step"] for one in told]
    assert told[-1] == {"step": "stop", "state": "done", "message": "everything that was started is stopped"}
    assert err == ""
    assert touching(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failure_says_why(tmp_path: Path) -> None:
    process = demo(tmp_path, "--json", "--template", "nope")
    out, _ = process.communicate(timeout=60)
    failed = next(one for one in objects(out) if one["step"] == "failed")
    assert process.returncode == 1
    assert failed["error"]["message"] == "There is no template 'nope'."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_what_is_kept_runs_and_is_stopped_as_it_says(tmp_path: Path) -> None:
    process = demo(tmp_path, "--keep")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "It goes on running." in out
    stop = next(line for line in out.splitlines() if line.strip().startswith("stop it")).partition("stop it")[2].strip()
    (folder,) = tmp_path.iterdir()
    assert touching(folder)
    program = f'doce() {{ "{sys.executable}" -m doce "$@"; }}; {stop}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pids = touching(folder)
    subprocess.run(["sh", "-c", program], env=environment, check=True, timeout=60, capture_output=True)
    for one in pids:
        one.wait(20)
    assert touching(folder) == []
