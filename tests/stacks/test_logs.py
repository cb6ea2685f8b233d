from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from doce.stacks import logs
from doce.stacks.logs import LogFile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "logs" / "docker.log")


def everything(log: LogFile, offset: int = 0, limit: int = 64_000) -> str:
    text = ""
    while (chunk := log.read(offset, limit)).text:
        assert chunk.offset == offset
        assert not chunk.truncated
        text += chunk.text
        offset = chunk.next_offset
    return text


def test_lines_say_where_they_come_from_and_hide_secrets(log: LogFile) -> None:
    log.append("host", "up\nauthorization: Bearer abc.def")
    log.append("app", "")
    log.append("app", "\n")
    assert log.read().text == "[host] up\n[host] authorization: Bearer ***\n[app] \n"


def test_what_would_move_a_terminals_cursor_is_left_out(log: LogFile) -> None:
    log.append(
        "app", "\x1b[31mred\x1b[0m\tand \x1b]0;title\x07bell\x07 \x1b]8;;http://x\x1b\\link\r\ns\x1b[1mk-abcdefghijklmnopqrstuvw \x9bJ"
    )
    assert log.read().text == "[app] red\tand bell link\n[app] *** J\n"


def test_nothing_was_written_yet(log: LogFile) -> None:
    assert log.read() == log.read(0) == logs.Chunk(0, 0, "")
    assert log.end() == 0


def test_pages_join_without_splitting_a_character(log: LogFile) -> None:
    for number in range(50):
        log.append("app", f"{number} ✓ 🎈 é " * 5)
    whole = log.read(0, 10**6).text
    assert "\ufffd" not in whole
    for limit in (1, 7, 11, 64, 1000):
        assert everything(log, limit=limit) == whole


def test_an_offset_inside_a_character_goes_on_at_the_next(log: LogFile) -> None:
    log.append("app", "🎈!")
    begin = len(b"[app] ")
    for inside in (1, 2, 3):
        chunk = log.read(begin + inside)
        assert (chunk.offset, chunk.text) == (begin + 4, "!\n")


def test_without_an_offset_the_tail_from_the_start_of_a_line(log: LogFile) -> None:
    for number in range(1500):
        log.append("app", f"{number} ✓ a line of some length to fill it, and then some more of it")
    chunk = log.read()
    assert chunk.text.startswith("[app] ")
    assert 63_000 < len(chunk.text.encode()) <= 64_000
    assert chunk.next_offset == log.end()
    assert log.read(chunk.next_offset).text == ""


def test_a_rotation_costs_a_follower_nothing(log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 200)
    followed, offset = "", 0
    for number in range(100):
        log.append("host", f"line {number}")
        if number % 7 == 0:
            chunk = log.read(offset)
            assert not chunk.truncated
            followed, offset = followed + chunk.text, chunk.next_offset
    followed += everything(log, offset)
    assert followed == "".join(f"[host] line {number}\n" for number in range(100))
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["docker.log", "docker.log.1", "docker.log.start"]
    assert log.read().text.endswith("line 98\n[host] line 99\n")


def test_a_reader_that_asks_for_what_is_gone_is_told(log: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 200)
    for number in range(100):
        log.append("host", f"line {number}")
    for gone in (0, 5, log.end() + 1):
        chunk = log.read(gone)
        assert chunk.truncated
        assert chunk.text == log.read().text
        assert chunk.next_offset == log.end()


@pytest.mark.parametrize("step", ["noted", "renamed"])
def test_a_death_in_the_middle_of_a_rotation_moves_no_offset(log: LogFile, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append("host", "a line before")
    end = log.end()
    replace = Path.replace
    calls: list[str] = []

    class Death(BaseException):
        pass

    def dying(path: Path, target: Path) -> Path:
        calls.append(path.name)
        if step == "noted" and path.name == "docker.log":
            raise Death
        done = replace(path, target)
        if step == "renamed" and path.name == "docker.log":
            raise Death
        return done

    with monkeypatch.context() as patch:
        patch.setattr(logs, "MAX_BYTES", 10)
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Death):
            log.append("host", "never written")
    assert calls == ["docker.log.start.new", "docker.log"]
    assert log.end() == end
    log.append("host", "after")
    assert everything(log) == "[host] a line before\n[host] after\n"


def test_a_waiting_reader_is_woken(log: LogFile) -> None:
    woken: list[bool] = []
    reader = threading.Thread(target=lambda: woken.append(log.wait(0, 10)))
    reader.start()
    log.append("host", "x")
    reader.join(5)
    assert woken == [True]
    assert log.wait(log.end(), 0.05) is False


def test_writers_of_several_processes_never_mix_or_lose_lines(log: LogFile, tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from doce.stacks import logs
        logs.MAX_BYTES = 20_000
        log = logs.LogFile(Path({str(tmp_path / "logs" / "docker.log")!r}))
        for number in range(150):
            log.append("app", f"{{sys.argv[1]}} {{number}} " + "x" * 40)
    """)
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abc"]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    # 3 * 150 lines of 55 bytes: one rotation, so all is still there.
    lines = everything(log).splitlines()
    for name in "abc":
        assert [line for line in lines if line.startswith(f"[app] {name} ")] == [f"[app] {name} {n} " + "x" * 40 for n in range(150)]
