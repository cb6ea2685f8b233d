from __future__ import annotations

import threading
from pathlib import Path

import pytest

from doce.stacks import logs
from doce.stacks.logs import LogFile


def test_lines_say_where_they_come_from_and_hide_secrets(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "docker.log")
    log.append("host", "up\nauthorization: Bearer abc.def")
    log.append("app", "")
    assert log.read().text == "[host] up\n[host] authorization: Bearer ***\n"


def test_pages_join_without_splitting_a_character(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "docker.log")
    for number in range(50):
        log.append("app", f"{number} ✓ 🎈 é " * 5)
    whole = log.read(0, 10**6).text
    for limit in (7, 11, 64, 1000):
        offset, text = 0, ""
        while (chunk := log.read(offset, limit)).text:
            assert chunk.offset == offset
            text += chunk.text
            offset = chunk.next_offset
        assert text == whole
        assert "\ufffd" not in text


def test_without_an_offset_the_tail_from_the_start_of_a_line(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "docker.log")
    for number in range(3000):
        log.append("app", f"{number} ✓ a line of some length to fill it")
    chunk = log.read()
    assert chunk.text.startswith("[app] ")
    assert len(chunk.text.encode()) <= 64_000
    assert chunk.next_offset == log.size()
    assert log.read(chunk.next_offset).text == ""


def test_after_a_rotation_a_reader_starts_anew_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 200)
    log = LogFile(tmp_path / "docker.log")
    while log.size() < 200:
        log.append("host", "old line")
    end = log.size()
    log.append("host", "new line")
    chunk = log.read(end)
    assert chunk.truncated
    assert chunk.text == "[host] new line\n"
    assert (tmp_path / "docker.log.1").stat().st_size == end


def test_a_waiting_reader_is_woken(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "docker.log")
    woken: list[bool] = []
    reader = threading.Thread(target=lambda: woken.append(log.wait(0, 10)))
    reader.start()
    log.append("host", "x")
    reader.join(5)
    assert woken == [True]
    assert log.wait(log.size(), 0.05) is False
