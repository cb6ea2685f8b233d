"""The log of a project's services: one file, each line with where it comes from, read by byte offset.

``[host]`` is what doce did, ``[docker]`` what the engine said, ``[app]`` what a service wrote. Offsets count from the
beginning of the project, over every rotation: a reader that was behind goes on where it was, as long as the old file is
kept. Several processes may write and read; they meet at a lock on the folder, which ends with its holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from doce.logger import mask

Source = Literal["host", "docker", "app"]
MAX_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 64_000
#: How often a reader that waits looks for what another process wrote, seconds.
LOOK_S = 0.2

_grown = threading.Condition()
_LINES = re.compile(r"\r?\n|\r")
#: What would move the cursor or rewrite the title of a terminal that shows the log: escape sequences and control characters.
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of the log. Offsets are bytes; `truncated`: what was asked for is gone, this starts anew."""

    offset: int
    next_offset: int
    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Span:
    """Where the files lie on the count of offsets: the old one is [first, base), the current one [base, end)."""

    first: int
    base: int
    end: int


def rendered(source: Source, text: str) -> str:
    """`text` as lines of the log: each with its source in front, without control characters, secrets masked."""
    lines = _LINES.split(text)
    if not lines[-1]:
        del lines[-1]
    return "".join(f"[{source}] {mask(_CONTROLS.sub('', line))}\n" for line in lines)


class LogFile:
    """``logs/docker.log`` of a project; rotated at 10 MB, one old file is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old = path.with_name(f"{path.name}.1")
        self._start = path.with_name(f"{path.name}.start")

    def append(self, source: Source, text: str) -> None:
        """Append whole lines, see `rendered`. An empty text is nothing."""
        self.write(rendered(source, text))

    def write(self, lines: str) -> None:
        """Append what `rendered` made. In one write: lines of two writers never mix."""
        if not lines:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            if _size(self._path) >= MAX_BYTES:
                self._rotate()
            with self._path.open("ab", buffering=0) as file:
                left = lines.encode("utf-8", "replace")
                while left:
                    left = left[file.write(left) :]
        with _grown:
            _grown.notify_all()

    def end(self) -> int:
        """Offset of what will be written next."""
        try:
            with self._locked(fcntl.LOCK_SH):
                return self._span().end
        except FileNotFoundError:
            return 0

    def read(self, offset: int | None = None, limit: int = TAIL_BYTES) -> Chunk:
        """Up to `limit` bytes (at least a character) from `offset`; without one the last `TAIL_BYTES` from the start of a line."""
        try:
            with self._locked(fcntl.LOCK_SH):
                span = self._span()
                if offset is None:
                    return self._tail(span)
                if not span.first <= offset <= span.end:
                    return self._tail(span, truncated=True)
                return _chunk(offset, _from_a_character(self._bytes(span, offset, max(4, limit))))
        except FileNotFoundError:
            return Chunk(0, 0, "", truncated=bool(offset))

    def wait(self, offset: int, timeout_s: float) -> bool:
        """Until the log reaches beyond `offset`, or never reached it; False after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with _grown:
            while self.end() == offset:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                _grown.wait(min(LOOK_S, left))
        return True

    def _tail(self, span: _Span, *, truncated: bool = False) -> Chunk:
        start = max(span.first, span.end - TAIL_BYTES)
        data = self._bytes(span, start, TAIL_BYTES)
        # From the start of a line, so also from the start of a character.
        skipped = data.find(b"\n") + 1 if start > span.first else 0
        return _chunk(start + skipped, (data[skipped:], 0), truncated=truncated)

    def _bytes(self, span: _Span, offset: int, limit: int) -> bytes:
        data = _part(self._old, offset - span.first, limit) if offset < span.base else b""
        if len(data) < limit:
            data += _part(self._path, max(0, offset - span.base), limit - len(data))
        return data

    def _span(self) -> _Span:
        """Under the lock."""
        base = self._base()
        return _Span(base - (_size(self._old) if base else 0), base, base + _size(self._path))

    def _base(self) -> int:
        """Offset at which the current file begins. Written before the rename, so it says which file it was written for."""
        try:
            was, now, inode = (int(word) for word in self._start.read_text("ascii").split())
        except (FileNotFoundError, ValueError):
            return 0
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == inode:
                return was
        return now

    def _rotate(self) -> None:
        now, base = self._path.stat(), self._base()
        half = self._start.with_name(f"{self._start.name}.new")
        half.write_text(f"{base} {base + now.st_size} {now.st_ino}", "ascii")
        half.replace(self._start)
        self._path.replace(self._old)

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Raises FileNotFoundError while there is no folder."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, kind)
            yield
        finally:
            os.close(folder)


def whole_characters(data: bytes) -> bytes:
    """`data` without the beginning of a character that continues after it."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data


def _from_a_character(data: bytes) -> tuple[bytes, int]:
    """`data` from the first whole character, and how many bytes that skipped: an asked-for offset may lie inside one."""
    skipped = 0
    while skipped < min(3, len(data)) and data[skipped] & 0b1100_0000 == 0b1000_0000:
        skipped += 1
    return data[skipped:], skipped


def _chunk(offset: int, found: tuple[bytes, int], *, truncated: bool = False) -> Chunk:
    data, skipped = found
    whole = whole_characters(data)
    start = offset + skipped
    return Chunk(start, start + len(whole), whole.decode("utf-8", "replace"), truncated)


def _part(path: Path, offset: int, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(limit)
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
