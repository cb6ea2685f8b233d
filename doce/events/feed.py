"""The feed: live readers of the log, each a cursor.

One channel a project reads new rows once, turns each into bytes once, and keeps the latest frames in a ring shared by
all its readers. A reader that falls out of the ring reads the log itself; nothing is buffered per reader, so a slow
one costs nothing but its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from bisect import bisect_right
from collections.abc import AsyncIterator
from types import TracebackType

from doce.events import log

logger = logging.getLogger(__name__)

#: Frames a channel keeps for readers that are a little behind.
RING = 4096
#: Most frames handed to a reader at once, and most bytes (but always a frame): a slow line gets its chunk sent in time.
CHUNK = 512
CHUNK_BYTES = 256 * 1024
#: How often the head of the log is looked at for what other processes wrote.
POLL_S = 0.05
#: Rest after a delivery, seconds a reader: in a flood a crowd gets more in each chunk, so that waking it does not take the
#: whole loop. The first event after a silence is never held back.
REST_S = 0.00005
MAX_REST_S = 0.02


class Channel:
    """The latest frames of one project (None: of all)."""

    def __init__(self, project_id: str | None, head: int) -> None:
        self.project_id = project_id
        #: Everything up to here has been read from the log.
        self.head = head
        #: The ring holds every event after this one.
        self.floor = head
        self.seqs: list[int] = []
        self.frames: list[bytes] = []
        self.readers = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._joined: dict[int, tuple[bytes, int]] = {}

    def read(self) -> bool:
        """Take what is new in the log and wake the readers; False when nothing was."""
        before = self.head
        while events := log.after(self.project_id, self.head):
            self.seqs += [event.seq for event in events]
            self.frames += [event.frame() for event in events]
            self.head = events[-1].seq
            if (excess := len(self.seqs) - RING) > 0:
                self.floor = self.seqs[excess - 1]
                del self.seqs[:excess], self.frames[:excess]
            self._joined.clear()
            self.wake()
        return self.head != before

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def chunk(self, cursor: int) -> tuple[bytes, int]:
        """Frames after `cursor`, joined, and the new cursor. Readers at the same place share the bytes."""
        start = bisect_right(self.seqs, cursor)
        if start not in self._joined:
            frames = _chunk(self.frames[start : start + CHUNK])
            self._joined[start] = (b"".join(frames), self.seqs[start + len(frames) - 1])
        return self._joined[start]


def _chunk(frames: list[bytes]) -> list[bytes]:
    """As many of the first `frames` as make a chunk, at least one."""
    size = 0
    for count, frame in enumerate(frames):
        size += len(frame)
        if size > CHUNK_BYTES and count:
            return frames[:count]
    return frames


class Subscription(AsyncIterator[bytes]):
    """One reader: chunks of complete frames, in order, each event once. Ends when the feed closes."""

    def __init__(self, feed: Feed, channel: Channel, cursor: int) -> None:
        self._feed = feed
        self._channel = channel
        #: The last event handed out.
        self.cursor = cursor
        #: The last event of this project when the reader came.
        self.head = log.last_seq(channel.project_id)
        self._open = True

    async def __anext__(self) -> bytes:
        while self._open and not self._feed.closed:
            if self.cursor < self._channel.floor:
                if chunk := await self._backlog():
                    return chunk
            elif self._channel.seqs and self._channel.seqs[-1] > self.cursor:
                chunk, self.cursor = self._channel.chunk(self.cursor)
                return chunk
            else:
                await self._channel.wait()
        raise StopAsyncIteration

    async def _backlog(self) -> bytes:
        """A page of the log itself; moves the cursor to the ring's floor when nothing of this project is left below it."""
        floor = self._channel.floor
        events = await asyncio.to_thread(log.after, self._channel.project_id, self.cursor, CHUNK)
        frames = _chunk([event.frame() for event in events])
        self.cursor = events[len(frames) - 1].seq if events else max(self.cursor, floor)
        return b"".join(frames)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._feed._leave(self._channel)


class Feed:
    """Every live reader of this process. Use as an async context manager inside the loop that serves them."""

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        self._channels: dict[str | None, Channel] = {}
        self._rung = asyncio.Event()
        self._pending = False
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def readers(self) -> int:
        """How many are reading now; may be asked from any thread."""
        return sum(channel.readers for channel in list(self._channels.values()))

    def readers_of(self, project_id: str) -> int:
        channel = self._channels.get(project_id)
        return channel.readers if channel else 0

    def subscribe(self, project_id: str | None, after: int) -> Subscription:
        """A reader of what comes after `after`. A cursor beyond the head of the log means: start over."""
        head = log.head()
        channel = self._channels.get(project_id)
        if channel is None:
            channel = self._channels[project_id] = Channel(project_id, head)
        channel.readers += 1
        return Subscription(self, channel, after if 0 <= after <= head else 0)

    def _leave(self, channel: Channel) -> None:
        channel.readers -= 1
        channel.wake()
        if not channel.readers:
            self._channels.pop(channel.project_id, None)

    async def __aenter__(self) -> Feed:
        loop = asyncio.get_running_loop()

        def ring() -> None:
            # Many commits between two turns of the loop are one wake-up.
            if not self._pending:
                self._pending = True
                with contextlib.suppress(RuntimeError):  # the loop is closing
                    loop.call_soon_threadsafe(self._rung.set)

        self._unlisten = log.bell.listen(ring)
        self._task = asyncio.create_task(self._run(), name="doce-feed")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        self._unlisten()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def close(self) -> None:
        """End every reader; called first when doce stops, since a server waits for its open streams."""
        self.closed = True
        for channel in self._channels.values():
            channel.wake()

    async def _run(self) -> None:
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), self._poll_s)
            self._rung.clear()
            self._pending = False
            try:
                if self._read():
                    await asyncio.sleep(min(self.readers * REST_S, MAX_REST_S))
            except Exception:
                # A locked or full database is looked at again in a moment; readers lose nothing.
                logger.exception("the event log cannot be read")
                await asyncio.sleep(self._poll_s)

    def _read(self) -> bool:
        """Take what is new; False when nothing was."""
        if not self._channels:
            return False
        head = log.head()
        delivered = False
        for channel in list(self._channels.values()):
            if channel.head < head:
                delivered = channel.read() or delivered
                channel.head = max(channel.head, head)
        return delivered
