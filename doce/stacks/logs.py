"""The log of a project's services: one file, each line with where it comes from, read by byte offset.

``[host]`` is what doce did, ``[docker]`` what the engine said, ``[app]`` what a service wrote.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from doce.logger import mask

Source = Literal["host", "docker", "app"]
MAX_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 64_000
#: How often a reader that waits looks for what another process wrote.
LOOK_S = 0.2

_grown = threading.Condition()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of the log. Offsets are bytes; `truncated`: what was asked for is gone, this starts anew."""

    offset: int
    next_offset: int
    text: str
    truncated: bool = False


class LogFile:
    """``logs/docker.log`` of a project; rotated at 10 MB, one old file is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, source: Source, text: str) -> None:
        """Append whole lines; each gets the source in front, secrets are masked. An empty text is nothing."""
        lines = [f"[{source}] {mask(line)}\n" for line in text.splitlines()]
        if not lines:
            return
        with _grown:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._rotate()
            with self._path.open("ab") as file:
                file.write("".join(lines).encode("utf-8", "replace"))
            _grown.notify_all()

    def size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def read(self, offset: int | None = None, limit: int = TAIL_BYTES) -> Chunk:
        """Up to `limit` bytes from `offset`; without one the last `TAIL_BYTES` from the start of a line."""
        size = self.size()
        if offset is None:
            return self._tail(size)
        if offset > size:
            tail = self._tail(size)
            return Chunk(tail.offset, tail.next_offset, tail.text, truncated=True)
        data = self._bytes(offset, limit)
        whole = _whole_characters(data)
        return Chunk(offset, offset + len(whole), whole.decode("utf-8", "replace"))

    def wait(self, offset: int, timeout_s: float) -> bool:
        """Until the log has grown beyond `offset` or was rotated; False after `timeout_s`."""
        waited = 0.0
        with _grown:
            while self.size() == offset:
                if waited >= timeout_s:
                    return False
                if not _grown.wait(min(LOOK_S, timeout_s - waited)):
                    waited += LOOK_S
        return True

    def _tail(self, size: int) -> Chunk:
        start = max(0, size - TAIL_BYTES)
        data = self._bytes(start, TAIL_BYTES)
        if start:
            # From the start of a line, so also from the start of a character.
            skipped = data.find(b"\n") + 1
            start, data = start + skipped, data[skipped:]
        whole = _whole_characters(data)
        return Chunk(start, start + len(whole), whole.decode("utf-8", "replace"))

    def _bytes(self, offset: int, limit: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def _rotate(self) -> None:
        if self.size() >= MAX_BYTES:
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))  # noqa: PTH105


def _whole_characters(data: bytes) -> bytes:
    """`data` without the beginning of a character that continues after it."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data
