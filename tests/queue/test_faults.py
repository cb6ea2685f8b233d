"""Fault points: armed exactly as written, and nothing when not."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from doce.errors import BadRequest
from doce.testing import faults


@pytest.mark.parametrize("text", ["queue.nowhere=kill", "queue.claim", "queue.claim=explode", "queue.claim=kill@0", "queue.claim=raise@x"])
def test_what_is_not_a_fault_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        faults.configure(text)


def test_the_nth_time_and_only_that_one() -> None:
    faults.configure("queue.claim=raise@3, queue.finish=raise")
    faults.point("queue.claim")
    faults.point("queue.claim")
    with pytest.raises(faults.FaultRaised):
        faults.point("queue.claim")
    faults.point("queue.claim")
    with pytest.raises(faults.FaultRaised):
        faults.point("queue.finish")


def test_an_armed_doce_refuses_points_that_are_not_in_the_table() -> None:
    faults.point("queue.nowhere")
    faults.configure("queue.claim=raise")
    with pytest.raises(KeyError):
        faults.point("queue.nowhere")


def test_the_table_and_the_code_name_the_same_points() -> None:
    package = Path(faults.__file__).parents[1]
    sources = [*package.rglob("*.py"), *(package.parent / "bots").rglob("*.py")]
    passed = {name for source in sources for name in re.findall(r"faults\.point\(\"([^\"]+)\"\)", source.read_text())}
    assert passed == set(faults.POINTS)


def test_a_pause_lasts_until_the_file_is_there(tmp_path: Path) -> None:
    file = tmp_path / "go"
    faults.configure(f"queue.claim=pause:{file}")
    passed = threading.Event()
    thread = threading.Thread(target=lambda: (faults.point("queue.claim"), passed.set()), daemon=True)
    thread.start()
    reached = file.with_name("go.reached")
    while not reached.exists():
        assert not passed.wait(0.01)
    assert not passed.is_set()
    file.touch()
    assert passed.wait(10)
    thread.join()
