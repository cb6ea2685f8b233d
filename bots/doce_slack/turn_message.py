"""One turn as one message: a native stream where Slack has it, else a post that is edited; the same content both ways.

A stream lives for five minutes: before that it ends, and the message goes on in a next part. What cannot be said by adding
(text that the agent took back, an answer of Slack's that was lost, a restart of doce) is said by writing the message anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from doce.auth.preferences import Verbosity
from doce.chats.messages import Message
from doce.chats.threads import Asked
from doce.opencode.turn import Turn
from doce.testing import faults
from doce_slack import blocks, turns
from doce_slack.blocks import Block
from doce_slack.calls import Lost, Refused
from doce_slack.posting import UNFIT, Place
from doce_slack.text import closing, cut_markdown, line, open_fence
from doce_slack.turns import Task

logger = logging.getLogger(__name__)

#: A stream ends by itself after about 306 s, reference/slack.md section 0.
ROLL_S = 240.0
#: Between two pieces of a stream, and between two edits, seconds.
APPEND_S, EDIT_S = 1.0, 1.2
#: Rather than wait longer than this for a stream's turn, a message is posted and edited, seconds.
PATIENCE_S = 3.0
#: Most of a turn's text in one message, characters: with its tasks and buttons it stays below the 13,200 that Slack takes.
TEXT, LIST = 10_000, 1_200
#: Streams that Slack has ended, whatever the reason: the message can still be edited.
ENDED = ("message_not_in_streaming_state", "streaming_state_conflict", "stopped_by_user", "message_not_found")
CONTINUED = "_continued below_"
BEGUN = Task("begun", "Thinking", "in_progress")
DONE = {"setup": Task("setup", "Set up", "complete"), "begun": Task("begun", "Thought about it", "complete")}

Chunk = dict[str, Any]


class TurnMessage:
    """Tells one turn. `flush` sends what is new; it may be called at any time and sends nothing when nothing is."""

    def __init__(
        self, place: Place, turn: Turn, *, asker: str, verbosity: Verbosity, streams: Callable[[], bool], no_streams: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic, roll_s: float = ROLL_S,
    ) -> None:  # fmt: skip
        """`asker` is the chat user who asked; `no_streams` is told Slack's word when it takes none."""
        self.place, self.turn = place, turn
        self._asker, self._verbosity = asker, verbosity
        self._streams, self._no_streams, self._monotonic, self._roll_s = streams, no_streams, monotonic, roll_s
        self.about = f"turn:{turn.prompt_id}"
        self._message: Message | None = place.last(self.about)
        #: This process began the stream and knows what it holds.
        self._fresh = False
        #: This process wrote the message down and has not tried to post it.
        self._untried = False
        #: The message can be changed no more.
        self._fixed = False
        self._began = 0.0
        self._sent_at = float("-inf")
        #: What the messages so far hold: the text up to here, and the tasks as they were sent.
        self._text = ""
        self._tasks: dict[str, Chunk] = {}
        self._body: tuple[str, list[Block]] | None = None
        #: Where it was asked; None: at another door.
        self.asked: Asked | None = None
        #: Who stopped it, a chat user.
        self.stopped_by: str | None = None
        #: Where the preview is.
        self.preview: str | None = None

    @property
    def over(self) -> bool:
        """The last has been said."""
        return self._message is not None and self._message.state == "closed"

    @property
    def ts(self) -> str | None:
        return self._message.ts if self._message else None

    @property
    def streaming(self) -> bool:
        return self._message is not None and self._message.ts is not None and self._message.mode == "stream" and self._fresh

    @property
    def begun(self) -> bool:
        """Something of it can be seen."""
        return bool(self._message and (self._message.ts or self._message.part))

    @property
    def left_out(self) -> bool:
        """It is longer than what its messages take."""
        return len(self._full()) - self._covered > TEXT

    def due(self) -> float:
        """Seconds until something may be sent."""
        rest = APPEND_S if self.streaming else EDIT_S
        return 0.0 if self.turn.over else max(0.0, self._sent_at + rest - self._monotonic())

    def rolls(self) -> float:
        """Seconds until the stream has to go on in a next part."""
        return self._began + self._roll_s - self._monotonic() if self.streaming else float("inf")

    async def flush(self, read: Callable[[], Any]) -> None:
        """Send what is new. `read` brings the turn up to date once Slack gives the turn to speak. Raises Refused, Lost."""
        if self.over:
            return
        try:
            if self._message is None:
                await self._begin(read)
            elif self._message.ts is None:
                await self._go_on(read)
            elif not self.streaming:
                await self._edit(read)
            elif self.rolls() <= 0 and not self.turn.over:
                await self._roll(read)
            else:
                await self._append(read)
        finally:
            self._sent_at = self._monotonic()

    # How it begins

    async def _begin(self, read: Callable[[], Any]) -> None:
        streams = self._takes_stream()
        self._message = await self.place.intend(self.about, 0, "stream" if streams else "post")
        self._untried = True
        await self._start(read) if streams else await self._post()

    def _takes_stream(self) -> bool:
        soon = self.place.workspace.calls.pace.soon(self.place.thread.team, "chat.startStream") <= PATIENCE_S
        return self._streams() and self.place.root is not None and soon

    async def _go_on(self, read: Callable[[], Any]) -> None:
        """With a message that is written down and not known to be posted: looked for, unless this process has not tried yet."""
        assert self._message
        if not self._untried:
            self._message = await self.place.intend(self.about, self._message.part)
            if self._message.ts is not None:
                await self._edit(read)
                return
        elif self._message.part and not self._news()[0] and not self.turn.over:
            return
        if self._message.mode == "stream" and self._takes_stream():
            await self._start(read)
        else:
            await self._post()

    async def _start(self, read: Callable[[], Any]) -> None:
        """Begin a stream with what there is."""
        await self._paced("chat.startStream", read)
        assert self._message
        chunks, text, tasks = self._news()
        if not chunks:
            chunks, tasks = [BEGUN.chunk()], {**tasks, BEGUN.id: BEGUN.chunk()}
        self._untried = False
        faults.point("slack.intended")
        try:
            answer = await self._call(
                "chat.startStream", thread_ts=self.place.root, recipient_team_id=self.place.thread.team, recipient_user_id=self._asker,
                task_display_mode="timeline", chunks=chunks,
            )  # fmt: skip
        except Refused as error:
            self._no_streams(error.code)
            await self._post()
            return
        faults.point("slack.called")
        self._message = await self.place.placed(self._message, answer["ts"])
        faults.point("slack.placed")
        self._fresh, self._began = True, self._monotonic()
        self._text, self._tasks = text, tasks
        if self.turn.over:
            await self._append(read)

    async def _post(self) -> None:
        """Post what there is, to be edited from then on."""
        assert self._message
        if self._message.mode != "post":
            self._message = await self.place.rewritten(self._message, "post")
        self._untried = False
        over, (text, body) = self.turn.over, self._shown()
        self._message = await self.place.put(self._message, text, body, urgent=over)
        self._body = (text, body)
        if over:
            await self._close()

    # How it goes on

    async def _append(self, read: Callable[[], Any]) -> None:
        if not self.turn.over and not self._news()[0]:
            return
        method = "chat.stopStream" if self.turn.over else "chat.appendStream"
        await self._paced(method, read)
        if self.turn.over and method == "chat.appendStream":
            return  # it ended while this waited: the end is what is to be sent
        chunks, text, tasks = self._news()
        if self._rewrites():
            logger.info("a turn's text is not how it began any more: its message is written anew", extra={"about": self.about})
            await self._rewrite(read)
            return
        if not chunks and not self.turn.over:
            return
        ending = {"blocks": self._closing()} if self.turn.over else {}
        try:
            await self._call(method, ts=self.ts, chunks=chunks or None, **ending)
        except (Lost, Refused) as error:
            if isinstance(error, Refused) and error.code not in ENDED and error.code not in UNFIT:
                raise
            logger.info("a stream goes on as a message that is edited: %s", error, extra={"about": self.about})
            await self._rewrite(read)
            return
        _passed(ended=method == "chat.stopStream")
        self._text, self._tasks = text, tasks
        if self.turn.over:
            await self._close()

    async def _roll(self, read: Callable[[], Any]) -> None:
        """End this stream in time, and go on in another as soon as there is more."""
        await self._paced("chat.stopStream", read)
        assert self._message
        if self._rewrites():
            await self._rewrite(read)
            return
        chunks, text, tasks = self._news()
        fence = open_fence(self._full()[: len(text)])
        running = [chunk for chunk in tasks.values() if chunk["status"] != "complete"]
        chunks += [{**chunk, "title": f"{chunk['title']} …", "status": "complete"} for chunk in running]
        chunks.append(_said(f"\n{closing(fence)}\n\n{CONTINUED}" if fence else f"\n\n{CONTINUED}"))
        try:
            await self._call("chat.stopStream", ts=self.ts, chunks=chunks)
        except (Lost, Refused):
            await self._rewrite(read)
            return
        faults.point("slack.rolling")
        ended = self._message
        # The next part is written down before this one is closed: what is closed to its last part has been told.
        self._message = await self.place.intend(self.about, ended.part + 1, "stream", len(text))
        self._untried, self._fresh = True, False
        faults.point("slack.rolled")
        await self.place.closed(ended)
        self._text, self._tasks = text, {id: chunk for id, chunk in tasks.items() if chunk["status"] == "complete"}

    async def _rewrite(self, read: Callable[[], Any]) -> None:
        """From here on the message is edited: what it held is not certain, or not true any more."""
        assert self._message
        self._fresh, self._body = False, None
        try:
            await self.place.workspace.call("chat.stopStream", channel=self.place.channel, ts=self.ts)
        except Refused as error:
            if error.code not in ENDED:
                raise
        self._message = await self.place.rewritten(self._message, "post")
        await self._edit(read)

    async def _edit(self, read: Callable[[], Any]) -> None:
        assert self._message
        if self._message.mode == "stream":
            # A stream of a doce that died.
            await self._rewrite(read)
            return
        if self._fixed and not self.turn.over:
            return
        if self._body is not None and self._body == self._shown() and not self.turn.over:
            return
        await self._paced("chat.update", read)
        over, (text, body) = self.turn.over, self._shown()
        if self._body != (text, body):
            self._fixed = self._fixed or not await self.place.update(self._message, text, body, urgent=over, paced=True)
            self._body = (text, body)
        _passed(ended=over)
        if over and self._fixed:
            await self._say_anew()
        elif over:
            await self._close()

    async def _say_anew(self) -> None:
        """How it ended, in a further message: the one there is cannot be changed."""
        assert self._message
        fixed = self._message
        self._message = await self.place.intend(self.about, fixed.part + 1, "post", fixed.covered)
        await self.place.closed(fixed)
        self._fixed = False
        if self._message.ts is None:
            await self._post()

    async def _close(self) -> None:
        assert self._message
        # Also an earlier part, if a doce died between beginning the next one and closing it.
        for part in [one for one in self.place.known[self.about] if one.state != "closed" and one.part < self._message.part]:
            await self.place.closed(part)
        self._message = await self.place.closed(self._message)
        faults.point("slack.closed")

    # What is sent

    async def _paced(self, method: str, read: Callable[[], Any]) -> None:
        """Wait for Slack's limits first, then look: what is sent is the latest."""
        await self.place.workspace.calls.pace.turn(self.place.thread.team, method, self.place.channel, urgent=self.turn.over)
        await read()

    async def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await self.place.workspace.call(method, paced=True, channel=self.place.channel, **arguments)

    @property
    def _covered(self) -> int:
        """So many characters of the text are in earlier parts."""
        return self._message.covered if self._message else 0

    def _full(self) -> str:
        return turns.text(self.turn)

    def _part(self) -> str:
        """The text of this part; a code block that the part before had to leave is opened again."""
        full = self._full()
        rest = full[self._covered :]
        fence = open_fence(full[: self._covered]) if rest else None
        return _reopened(fence, rest) if self._covered else rest

    def _rewrites(self) -> bool:
        """What was sent is not how the text begins any more."""
        return not self._full().startswith(self._text)

    def _news(self) -> tuple[list[Chunk], str, dict[str, Chunk]]:
        """(what has not been sent, the text and the tasks that have been when it is)"""
        full, sent = self._full(), max(len(self._text), self._covered)
        text = full[: self._covered + TEXT]
        shown = {one.id: one.chunk() for one in turns.tasks(self.turn, self._verbosity)}
        # What only stood for the beginning is over when there is more.
        more = bool(shown) or len(text) > sent or self.turn.over
        stood = {id: DONE[id].chunk() if more or id == "setup" else chunk for id, chunk in self._tasks.items() if id in DONE}
        shown = {**stood, **shown}
        chunks = [chunk for id, chunk in shown.items() if self._tasks.get(id) != chunk]
        if len(text) <= sent:
            return chunks, self._text or full[:sent], shown
        piece = text[sent:]
        if sent == self._covered > 0:
            piece = _reopened(open_fence(full[:sent]), piece)
        return [*chunks, _said(piece)] if piece else chunks, text, shown

    def _closing(self) -> list[Block]:
        """What stands below the text when the turn has ended."""
        trouble = turns.trouble(self.turn)
        left_out = "_The whole answer is attached below._" if self.left_out else ""
        return [
            *([blocks.section(trouble[:1000])] if trouble else []),
            *turns.row(self.turn, self.place.thread.project_id, preview=self.preview),
            blocks.context(turns.ending(self.turn, self.stopped_by), left_out),
        ]

    def _shown(self) -> tuple[str, list[Block]]:
        """The whole message, as it is posted and edited."""
        found = turns.tasks(self.turn, self._verbosity)
        text = cut_markdown(self._part(), TEXT)
        body: list[Block] = []
        if found:
            body.append(blocks.section(turns.listed(found, LIST)))
        if text:
            body.append(blocks.markdown(text))
        if self.turn.over:
            body += self._closing()
        else:
            body.append(blocks.context("_working_"))
            body += turns.row(self.turn, self.place.thread.project_id, preview=None)
        plain = line(text or turns.ending(self.turn) or (found[-1].title if found else "working"), 300)
        return plain, body


def _reopened(fence: str | None, rest: str) -> str:
    """What goes on in another message, in the code block that `fence` opened, if it was in one."""
    return f"{fence}\n{rest.removeprefix(chr(10))}" if fence else rest.lstrip("\n")


def _passed(*, ended: bool) -> None:
    if ended:
        faults.point("slack.ended")
    else:
        faults.point("slack.appended")


def _said(text: str) -> Chunk:
    return {"type": "markdown_text", "text": text}
