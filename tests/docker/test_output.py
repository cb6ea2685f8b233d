"""Each line of a container reaches the log once, whatever moment doce is killed at."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doce.docker import output
from doce.docker.output import Follower, Mark
from doce.stacks.logs import LogFile

CONTAINER = "c" * 64
#: Two lines of one very time, as a burst has them, over a change of the second.
LINES = [
    ("2026-01-31T12:00:00.100000000Z", "one"),
    ("2026-01-31T12:00:00.200000000Z", "two"),
    ("2026-01-31T12:00:00.200000000Z", "two again ünï ✓"),
    ("2026-01-31T12:00:00.200000000Z", "two"),
    ("2026-01-31T12:00:01.000000000Z", "the key is hunter2hunter2"),
    ("2026-01-31T12:00:01.000000001Z", ""),
    ("2026-01-31T12:00:02.500000000Z", "last"),
]
EXPECTED = "".join(f"[app] web | {text}\n" for text in ("one", "two", "two again ünï ✓", "two", "the key is ***", "", "last"))
ENDED = "[docker] web ended with exit code 3\n"


class Killed(BaseException):
    """doce is gone, in the middle of whatever it did."""


class Api:
    """What the engine tells of one container."""

    def logs(self, _id: str, *, since: int | None, **_options: object) -> Any:
        def stream() -> Iterator[bytes]:
            for time, text in LINES:
                # The engine looks at whole seconds here.
                if since is None or time >= f"2026-01-31T12:00:{since % 60:02}":
                    yield f"{time} {text}\n".encode()

        return stream()

    def inspect_container(self, _id: str) -> dict[str, Any]:
        return {"State": {"Running": False, "ExitCode": 3}, "HostConfig": {"Memory": 0}}


class Twin:
    """An engine."""

    def __init__(self) -> None:
        self.client = self
        self.api = Api()


def follow(logs: Path) -> None:
    """As a doce does that starts now; in this thread."""
    Follower(Twin(), CONTAINER, "web", logs, ["hunter2hunter2"], lambda: None)._run()  # type: ignore[arg-type]


def test_every_line_once_and_its_end(tmp_path: Path) -> None:
    follow(tmp_path)
    follow(tmp_path)
    assert (tmp_path / "docker.log").read_text() == EXPECTED + ENDED


@pytest.mark.parametrize("step", range(3 * len(LINES) + 3))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_step_nothing_is_repeated_or_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, moment: str) -> None:
    """A step is a write of the mark or of the log; it is killed just before it, or just after."""
    steps = 0

    def killing(act: Any) -> Any:
        def acted(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step + 1 and moment == "before":
                raise Killed
            found = act(*arguments)
            if steps == step + 1:
                raise Killed
            return found

        return acted

    with monkeypatch.context() as patched:
        patched.setattr(output, "_write", killing(output._write))
        patched.setattr(LogFile, "write", killing(LogFile.write))
        try:
            follow(tmp_path)
        except Killed:
            pass
        else:
            assert steps <= step, "the step is one that there is"
    follow(tmp_path)
    follow(tmp_path)
    written = (tmp_path / "docker.log").read_text()
    assert written.replace(ENDED, "") == EXPECTED
    # Told once or, killed in the very moment, once more; never not at all.
    assert 1 <= written.count(ENDED) <= 2


def test_a_full_disk_delays_the_lines_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, real = 0, LogFile.write

    def write(log: LogFile, lines: str) -> None:
        nonlocal tries
        tries += 1
        if tries in (2, 3, 6):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(log, lines)

    monkeypatch.setattr(LogFile, "write", write)
    monkeypatch.setattr(output, "RETRY_S", 0)
    follow(tmp_path)
    assert (tmp_path / "docker.log").read_text() == EXPECTED + ENDED


def test_another_container_of_the_same_service_begins_anew(tmp_path: Path) -> None:
    follow(tmp_path)
    Follower(Twin(), "d" * 64, "web", tmp_path, ["hunter2hunter2"], lambda: None)._run()  # type: ignore[arg-type]
    assert (tmp_path / "docker.log").read_text() == (EXPECTED + ENDED) * 2


def test_a_mark_that_is_damaged_costs_repeated_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "web.mark").write_bytes(b"\xff not a mark")
    follow(tmp_path)
    assert (tmp_path / "docker.log").read_text() == EXPECTED + ENDED
    assert Mark() == Mark("", "", 0, -1, False)


@pytest.mark.parametrize("step", range(3 * len(LINES) + 3))
def test_a_neighbour_that_writes_while_doce_is_gone_hides_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The log grew since the mark was noted, but not by this line."""
    steps = 0

    def killing(act: Any) -> Any:
        def acted(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step + 1:
                raise Killed
            return act(*arguments)

        return acted

    with monkeypatch.context() as patched:
        patched.setattr(output, "_write", killing(output._write))
        patched.setattr(LogFile, "write", killing(LogFile.write))
        with contextlib.suppress(Killed):
            follow(tmp_path)
    LogFile(tmp_path / "docker.log").append("host", "stopped\n")
    follow(tmp_path)
    written = (tmp_path / "docker.log").read_text()
    assert written.replace(ENDED, "").replace("[host] stopped\n", "") == EXPECTED
