"""One turn as one message: a native stream where Slack has it, else a post that is edited; the same content both ways.

A stream lives for five minutes: before that it ends, and the message goes on in a next part. What cannot be said by adding
(text that the agent took back, an answer of Slack's that was lost, a restart of doce) is said by writing the message anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from doce.auth.preferences import Verbosity
from doce.chats.messages import Message
from doce.chats.threads import Asked
from doce.opencode.turn import Turn
from doce_slack import blocks, turns
from doce_slack.blocks import Block
from doce_slack.calls import Lost, Refused
from doce_slack.posting import Place
from doce_slack.text import MARKDOWN, closing, line, open_fence
from doce_slack.turns import Task

#: A stream ends by itself after about 306 s, reference/slack.md section 0.
ROLL_S = 240
#: Between two pieces of a stream, and between two edits, seconds.
APPEND_S, EDIT_S = 1.0, 1.2
#: Rather than wait longer than this for a stream's turn, a message is posted and edited, seconds.
PATIENCE_S = 3.0
#: Streams that Slack has ended, whatever the reason: the message can still be edited.
ENDED = ("message_not_in_streaming_state", "streaming_state_conflict", "stopped_by_user", "message_not_found")
CONTINUED = "_continued below_"
BEGUN = Task("begun", "Thinking", "in_progress")
DONE = {"setup": Task("setup", "Set up", "complete"), "begun": Task("begun", "Thought about it", "complete")}


class TurnMessage:
    """Tells one turn. `flush` sends what is new; it may be called at any time and sends nothing when nothing is."""

    def __init__(
        self, place: Place, turn: Turn, *, asker: str, verbosity: Verbosity, streams: Callable[[], bool], no_streams: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`asker` is the chat user who asked; `no_streams` is told Slack's word when it takes none."""
        self.place, self.turn = place, turn
        self._asker, self._verbosity = asker, verbosity
        self._streams, self._no_streams, self._monotonic = streams, no_streams, monotonic
        self.about = f"turn:{turn.prompt_id}"
        self._message: Message | None = place.last(self.about)
        #: This process began the stream and knows what it holds.
        self._fresh = False
        self._began = 0.0
        self._sent_at = float("-inf")
        self._text = ""
        self._tasks: dict[str, Task] = {}
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
        return self._message is not None and self._message.mode == "stream" and self._fresh

    @property
    def left_out(self) -> bool:
        """It is longer than what a message takes."""
        return len(self._full()) > MARKDOWN - 200

    def due(self) -> float:
        """Seconds until something may be sent."""
        rest = APPEND_S if self.streaming else EDIT_S
        return 0.0 if self.turn.over else max(0.0, self._sent_at + rest - self._monotonic())

    def rolls(self) -> float:
        """Seconds until the stream has to go on in a next part."""
        return self._began + ROLL_S - self._monotonic() if self.streaming else float("inf")

    async def flush(self, read: Callable[[], Any]) -> None:
        """Send what is new. `read` brings the turn up to date once Slack gives the turn to speak. Raises Refused, Lost."""
        if self.over:
            return
        try:
            if self._message is None:
                await self._begin(read)
            elif self._message.ts is None:
                await self._find_again(read)
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
        soon = self.place.workspace.calls.pace.soon(self.place.thread.team, "chat.startStream") <= PATIENCE_S
        if self._streams() and self.place.root and soon:
            await self._start(read, part=0, covered=0)
        else:
            await self._post(read)

    async def _find_again(self, read: Callable[[], Any]) -> None:
        """doce died, or the line broke, between intending it and knowing that it is there."""
        assert self._message
        found = await self.place.intend(self.about, self._message.part)
        self._message = found
        if found.ts is None:
            # It never got there: in this way or the other, it is begun now.
            if found.mode == "stream" and self._streams():
                await self._start(read, part=found.part, covered=found.covered)
            else:
                await self._post(read)
        else:
            await self._edit(read)

    async def _start(self, read: Callable[[], Any], *, part: int, covered: int) -> None:
        await self._paced("chat.startStream", read)
        self._message = await self.place.intend(self.about, part, "stream", covered)
        self._text, self._tasks = self._full()[:covered], {}
        chunks, text, tasks = self._news()
        if part and (fence := open_fence(self._text)) and chunks:
            chunks.insert(0, _said(f"{fence}\n"))
        try:
            answer = await self._call(
                "chat.startStream", thread_ts=self.place.root, recipient_team_id=self.place.thread.team, recipient_user_id=self._asker,
                task_display_mode="timeline", chunks=chunks or [BEGUN.chunk()],
            )  # fmt: skip
        except Refused as error:
            self._no_streams(error.code)
            await self._post(read)
            return
        self._message = await self.place.placed(self._message, answer["ts"])
        self._fresh, self._began = True, self._monotonic()
        self._text, self._tasks = text, tasks if chunks else {BEGUN.id: BEGUN}
        if self.turn.over:
            await self._append(read)

    async def _post(self, read: Callable[[], Any]) -> None:
        read_text, body = self._shown()
        message = await self.place.intend(self.about, self._message.part if self._message else 0)
        self._message = message if message.mode == "post" else await self.place.rewritten(message, "post")
        self._message = await self._posted(read_text, body)
        self._body = (read_text, body)
        if self.turn.over:
            self._message = await self.place.closed(self._message)

    async def _posted(self, text: str, body: list[Block]) -> Message:
        assert self._message
        answer = await self.place.workspace.call(
            "chat.postMessage", channel=self.place.channel, thread_ts=self.place.root, text=text, blocks=body, unfurl_links=False,
            unfurl_media=False, metadata={"event_type": "doce_message", "event_payload": {"id": self._message.id}},
        )  # fmt: skip
        return await self.place.placed(self._message, answer["ts"])

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
            await self._rewrite(read)
            return
        if not chunks and not self.turn.over:
            return
        ending = {"blocks": self._closing()} if self.turn.over else {}
        try:
            await self._call(method, ts=self.ts, chunks=chunks or None, **ending)
        except Lost:
            await self._rewrite(read)
            return
        except Refused as error:
            if error.code not in ENDED:
                raise
            await self._rewrite(read)
            return
        self._text, self._tasks = text, tasks
        if self.turn.over:
            assert self._message
            self._message = await self.place.closed(self._message)

    async def _roll(self, read: Callable[[], Any]) -> None:
        """End this stream in time, and go on in another."""
        await self._paced("chat.stopStream", read)
        chunks, text, _ = self._news()
        fence = open_fence(text)
        chunks.append(_said(f"\n{closing(fence)}\n" if fence else "\n\n"))
        chunks.append(_said(CONTINUED))
        assert self._message
        try:
            await self._call("chat.stopStream", ts=self.ts, chunks=chunks)
        except (Lost, Refused):
            await self._rewrite(read)
            return
        covered, part = len(text), self._message.part + 1
        await self.place.closed(self._message)
        self._message, self._fresh = None, False
        await self._start(read, part=part, covered=covered)

    async def _rewrite(self, read: Callable[[], Any]) -> None:
        """From here on the message is edited: what it held is not certain, or not true any more."""
        assert self._message
        await self.place.workspace.attempt("chat.stopStream", fine=ENDED, channel=self.place.channel, ts=self.ts)
        self._message = await self.place.rewritten(self._message, "post")
        self._fresh, self._body = False, None
        await self._edit(read)

    async def _edit(self, read: Callable[[], Any]) -> None:
        assert self._message
        if self._message.mode == "stream":
            # A stream of a doce that died.
            await self._rewrite(read)
            return
        if self._body is not None and self._body == self._shown() and not self.turn.over:
            return
        await self._paced("chat.update", read)
        text, body = self._shown()
        if self._body != (text, body):
            await self._call("chat.update", ts=self.ts, text=text, blocks=body, metadata=None)
            self._body = (text, body)
        if self.turn.over:
            self._message = await self.place.closed(self._message)

    # What is sent

    async def _paced(self, method: str, read: Callable[[], Any]) -> None:
        """Wait for Slack's limits first, then look: what is sent is the latest."""
        await self.place.workspace.calls.pace.turn(self.place.thread.team, method, self.place.channel, urgent=self.turn.over)
        await read()

    async def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await self.place.workspace.call(method, paced=True, channel=self.place.channel, **arguments)

    def _full(self) -> str:
        return turns.text(self.turn)

    def _part(self) -> str:
        """The text of this part."""
        return self._full()[self._message.covered if self._message else 0 :]

    def _rewrites(self) -> bool:
        """What was sent is not how the text begins any more."""
        return not self._full().startswith(self._text)

    def _news(self) -> tuple[list[dict[str, Any]], str, dict[str, Task]]:
        """(what has not been sent, the text and the tasks that have been when it is)"""
        covered = self._message.covered if self._message else 0
        text = self._full()[: covered + MARKDOWN - 200]
        shown = {one.id: one for one in turns.tasks(self.turn, self._verbosity)}
        # What only stood for the beginning is over when there is more.
        shown = {**{id: task for id, task in DONE.items() if id in self._tasks and id not in shown}, **shown}
        chunks = [task.chunk() for id, task in shown.items() if self._tasks.get(id) != task]
        if len(text) > len(self._text):
            piece = text[len(self._text) :]
            chunks.append(_said(piece))
        return chunks, text if len(text) > len(self._text) else self._text, shown

    def _closing(self) -> list[Block]:
        """What stands below the text when the turn has ended."""
        trouble = turns.trouble(self.turn)
        return [
            *([blocks.section(trouble)] if trouble else []),
            *turns.row(self.turn, self.place.thread.project_id, preview=self.preview),
            blocks.context(turns.ending(self.turn, self.stopped_by)),
        ]

    def _shown(self) -> tuple[str, list[Block]]:
        """The whole message, as it is posted and edited."""
        found = turns.tasks(self.turn, self._verbosity)
        text, _ = turns.shortened(self._part())
        body: list[Block] = []
        if found:
            body.append(blocks.section(turns.listed(found)))
        if text:
            body.append(blocks.markdown(text))
        if self.turn.over:
            body += self._closing()
        else:
            body.append(blocks.context("_working_"))
            body += turns.row(self.turn, self.place.thread.project_id, preview=None)
        plain = line(text or turns.ending(self.turn) or (found[-1].title if found else "working"), 300)
        return plain, body


def _said(text: str) -> dict[str, Any]:
    return {"type": "markdown_text", "text": text}
