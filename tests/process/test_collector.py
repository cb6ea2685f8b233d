"""What services wrote reaches the log once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce.process import collector as module
from doce.process.collector import Collector
from doce.stacks.logs import LogFile


class Death(BaseException):
    """As if the process had been killed here."""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "prj_a" / "logs" / "preview.raw"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def text(raw: Path) -> str:
    return LogFile(raw.with_name("docker.log")).read().text


def following(raw: Path, *secrets: str) -> Collector:
    """A collector without its thread: the test says when it looks."""
    collector = Collector(raw.parents[2])
    collector.follow(raw, secrets)
    return collector


def test_whole_lines_are_copied_and_the_rest_when_the_service_ends(raw: Path) -> None:
    collector = following(raw)
    write(raw, b"one\ntw")
    collector.look()
    collector.look()
    assert text(raw) == "[app] preview | one\n"
    write(raw, b"o\nthree without an end")
    collector.finish(raw)
    collector.look()
    assert text(raw) == "[app] preview | one\n[app] preview | two\n[app] preview | three without an end\n"


def test_a_restart_repeats_and_loses_nothing(raw: Path) -> None:
    write(raw, b"one\n")
    following(raw).look()
    write(raw, b"two\n")
    later = Collector(raw.parents[2])
    later.start()
    later.stop()
    assert text(raw) == "[app] preview | one\n[app] preview | two\n"


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_death_in_the_middle_of_a_copy_repeats_and_loses_nothing(raw: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = LogFile.write
    write(raw, b"zero\n")
    following(raw).look()
    write(raw, b"one\ntwo\n")

    def dying(log: LogFile, lines: str) -> None:
        written(log, {"before": "", "half": lines[: len(lines) // 2], "after": lines}[when])
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "write", dying)
        with pytest.raises(Death):
            following(raw).look()
    if when != "half":
        LogFile(raw.with_name("docker.log")).append("host", "said meanwhile")
    write(raw, b"three\n")
    following(raw).look()
    lines = [line for line in text(raw).splitlines() if line.startswith("[app]")]
    assert lines == [f"[app] preview | {word}" for word in ("zero", "one", "two", "three")]


def test_two_collectors_of_one_file_copy_it_once(raw: Path) -> None:
    one, two = following(raw), following(raw)
    for number in range(20):
        write(raw, f"{number}\n".encode())
        (one, two)[number % 2].look()
        (two, one)[number % 2].look()
    assert text(raw) == "".join(f"[app] preview | {number}\n" for number in range(20))


def test_a_very_long_line_is_cut_between_characters(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP", 10)
    collector = following(raw)
    write(raw, "🎈🎈🎈🎈\nok\n".encode())
    collector.look()
    assert text(raw) == "[app] preview | 🎈🎈\n[app] preview | 🎈🎈\n[app] preview | ok\n"


def test_secrets_of_any_shape_are_left_out(raw: Path) -> None:
    collector = following(raw, "correct horse", "k", "correct horse battery")
    write(raw, b"correct horse battery, correct horse, ok\n")
    collector.look()
    assert text(raw) == "[app] preview | ***, ***, ok\n"


def test_a_file_that_grew_large_is_emptied_once_its_service_is_quiet(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RAW", 100)
    collector = following(raw)
    write(raw, b"x" * 150 + b"\n")
    collector.look()
    assert raw.stat().st_size == 151
    collector.look()
    assert raw.stat().st_size == 0
    write(raw, b"next\n")
    collector.look()
    assert text(raw).endswith("xx\n[app] preview | next\n")
    assert text(raw).count("next") == 1


def test_a_start_empties_the_file_after_copying_the_rest(raw: Path) -> None:
    write(raw, b"left by the last one")
    collector = Collector(raw.parents[2])
    collector.begin(raw)
    assert raw.stat().st_size == 0
    collector.follow(raw, ())
    write(raw, b"new\n")
    collector.look()
    assert text(raw) == "[app] preview | left by the last one\n[app] preview | new\n"


def test_a_log_that_cannot_be_written_is_told_once_and_goes_on(
    raw: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(log: LogFile, lines: str) -> None:
        raise OSError(28, "No space left on device")

    collector = following(raw)
    write(raw, b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "write", full)
        collector.look()
        collector.look()
    assert [record.message for record in caplog.records] == ["a service's output cannot be copied"]
    collector.look()
    assert text(raw) == "[app] preview | one\n"


def test_a_collector_that_waited_for_another_one_does_not_repeat_it(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter = module._Sidecar.__enter__

    def late(sidecar: module._Sidecar) -> module._Sidecar:
        monkeypatch.undo()
        write(raw, b"two\n")
        following(raw).look()
        return enter(sidecar)

    write(raw, b"one\n")
    collector = following(raw)
    monkeypatch.setattr(module._Sidecar, "__enter__", late)
    collector.look()
    collector.look()
    assert text(raw) == "[app] preview | one\n[app] preview | two\n"
