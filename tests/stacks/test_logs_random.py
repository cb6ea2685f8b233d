"""The log against a model of it: whatever is written, however it is read, over any number of rotations and restarts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doce.stacks import logs
from doce.stacks.logs import Chunk, LogFile, rendered, whole_characters

pytestmark = pytest.mark.slow

#: Characters of one to four bytes, ends of lines of every kind, what moves a cursor, halves of characters.
TEXTS = st.text(st.sampled_from("ab é✓🎈\n\r\t\x1b[\u2028\x85\ud800"), max_size=60)
SOURCES = st.sampled_from(["host", "docker", "app"])


class Log(RuleBasedStateMachine):
    """Writers that append, a follower that reads when it likes, readers that ask for anything."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "logs" / "docker.log"
        self.log = LogFile(self._path)
        #: Every byte that was ever written.
        self.whole = b""
        self.offset = 0

    @initialize(size=st.integers(30, 400))
    def rotates_at(self, size: int) -> None:
        self._patch = patch.object(logs, "MAX_BYTES", size)
        self._patch.start()

    def teardown(self) -> None:
        if hasattr(self, "_patch"):
            self._patch.stop()
        self._folder.cleanup()

    @rule(source=SOURCES, text=TEXTS)
    def write(self, source: logs.Source, text: str) -> None:
        self.log.append(source, text)
        self.whole += rendered(source, text).encode("utf-8", "replace")

    @rule()
    def restart(self) -> None:
        self.log = LogFile(self._path)

    @rule(limit=st.integers(1, 200))
    def follow(self, limit: int) -> None:
        chunk = self.log.read(self.offset, limit)
        self._fits(chunk)
        if chunk.truncated:
            assert self.offset < self._kept() or self.offset > len(self.whole)
        else:
            assert chunk.offset == self.offset, "the follower missed something"
            assert chunk.text or self.offset == len(self.whole), "there is more, but it gets nothing"
        self.offset = chunk.next_offset

    @rule(place=st.integers(0, 5000), limit=st.integers(1, 200))
    def ask_for_anything(self, place: int, limit: int) -> None:
        chunk = self.log.read(place, limit)
        self._fits(chunk)
        if chunk.truncated:
            assert not self._kept() <= place <= len(self.whole)
        else:
            assert place <= chunk.offset <= place + 3

    @precondition(lambda self: self.whole)
    @rule()
    def tail(self) -> None:
        chunk = self.log.read()
        self._fits(chunk)
        assert chunk.next_offset == len(self.whole)
        assert chunk.offset == 0 or self.whole[chunk.offset - 1 : chunk.offset] == b"\n"

    @invariant()
    def offsets_count_everything(self) -> None:
        assert self.log.end() == len(self.whole)

    def _fits(self, chunk: Chunk) -> None:
        """What is read is what was written there, whole characters only."""
        data = self.whole[chunk.offset : chunk.next_offset]
        assert chunk.text.encode() == data
        assert data.decode("utf-8") == chunk.text

    def _kept(self) -> int:
        """Offset of the oldest byte that is still there."""
        files = [self._path, self._path.with_name("docker.log.1")]
        return len(self.whole) - sum(file.stat().st_size for file in files if file.exists())


Log.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLog = Log.TestCase


@given(st.text(max_size=40), st.integers(0, 200))
def test_whole_characters_of_a_part_are_the_longest_beginning_that_is_text(text: str, cut: int) -> None:
    data = text.encode("utf-8", "replace")[:cut]
    whole = whole_characters(data)
    assert data.startswith(whole)
    assert len(data) - len(whole) < 4
    whole.decode("utf-8")


@given(SOURCES, TEXTS)
def test_every_line_says_where_it_comes_from_and_none_is_lost(source: logs.Source, text: str) -> None:
    lines = rendered(source, text)
    assert lines == "" or lines.endswith("\n")
    assert all(line.startswith(f"[{source}] ") for line in lines[:-1].split("\n") if lines)
    assert "\r" not in lines
    assert "\x1b" not in lines
    count = len(text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")) if text else 0
    assert lines.count("\n") == count
