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
from doce_slack.blocks import Block
from doce_slack.calls import Lost, Refused
from doce_slack.pace import POST
from doce_slack.posting import UNFIT, Place
from doce_slack.turn_content import BEGUN, TEXT, Chunk, Chunks, Content
from doce_slack.turnstile import Admission, Turnstile

logger = logging.getLogger(__name__)

#: A stream ends by itself after about 306 s, reference/slack.md section 0.
ROLL_S = 240.0
#: Between two pieces of a stream, and between two edits, seconds.
APPEND_S, EDIT_S = 1.0, 1.2
#: Rather than wait longer than this for a stream's turn, and longer than for a post's, a message is posted and edited, seconds.
PATIENCE_S = 3.0
#: What goes on from another message waits so long for a stream, seconds.
NEXT_S = 15.0
#: So much later than pieces of a stream edits may come before a turn that is edited goes on as a stream, seconds.
BEHIND_S = 3.0
#: "Now", of Slack's turns for the beginning and the end of a stream, seconds. An end that waits longer is told before it.
NOW_S = 1.0
#: Streams that Slack has ended, whatever the reason: the message can still be edited.
ENDED = ("message_not_in_streaming_state", "streaming_state_conflict", "stopped_by_user", "message_not_found")


class TurnMessage:
    """Tells one turn. `flush` sends what is new; it may be called at any time and sends nothing when nothing is."""

    def __init__(
        self, place: Place, turn: Turn, *, asker: str, verbosity: Verbosity, streams: Callable[[], bool], no_streams: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic, roll_s: float = ROLL_S,
    ) -> None:  # fmt: skip
        """`asker` is the chat user who asked; `no_streams` is told Slack's word when it takes none."""
        self.place, self.turn = place, turn
        self._asker = asker
        self._turnstile = Turnstile(place, lambda: turn.over)
        self.content = Content(turn, place.thread.project_id, verbosity, self._covered)
        self._streams, self._no_streams, self._monotonic, self._roll_s = streams, no_streams, monotonic, roll_s
        self.about = f"turn:{turn.prompt_id}"
        self._message: Message | None = place.last(self.about)
        #: This process began the stream and knows what it holds.
        self._fresh = False
        #: This process wrote the message down and has not tried to post it.
        self._untried = False
        #: The message can be changed no more.
        self._fixed = False
        #: How it ended is said in the stream, which goes on until Slack takes its end.
        self._said_all = False
        self._began = 0.0
        self._sent_at = float("-inf")
        #: What the messages so far hold: the text up to here, and the tasks as they were sent.
        self._text = ""
        self._tasks: Chunks = {}
        self._body: tuple[str, list[Block]] | None = None
        #: Where it was asked; None: at another door.
        self.asked: Asked | None = None

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
        # In line at once: of many that begin at the same time each sees those before it.
        admission = self._turnstile.ask("chat.startStream" if streams else POST)
        try:
            self._message = await self.place.intend(self.about, 0, "stream" if streams else "post")
            self._untried = True
            await self._start(read, admission) if streams else await self._post(read, admission)
        finally:
            admission.cancel()

    def _takes_stream(self, patience: float = PATIENCE_S) -> bool:
        patience = max(patience, self._turnstile.soon(POST))
        return self._streams() and self.place.root is not None and self._turnstile.soon("chat.startStream") <= patience

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
        if self._message.mode == "stream" and self._takes_stream(NEXT_S if self._message.part else PATIENCE_S):
            await self._start(read)
        else:
            await self._post(read)

    async def _start(self, read: Callable[[], Any], admission: Admission | None = None) -> None:
        """Begin a stream with what there is."""
        await self._turnstile.wait("chat.startStream", read, admission)
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
            await self._post(read)
            return
        faults.point("slack.called")
        self._message = await self.place.placed(self._message, answer["ts"])
        faults.point("slack.placed")
        self._fresh, self._began = True, self._monotonic()
        self._text, self._tasks = text, tasks
        if self.turn.over:
            await self._append(read)

    async def _post(self, read: Callable[[], Any], admission: Admission | None = None) -> None:
        """Post what there is, to be edited from then on."""
        assert self._message
        if self._message.mode != "post":
            self._message = await self.place.rewritten(self._message, "post")
        await self._turnstile.wait(POST, read, admission)
        self._untried = False
        over, full, (text, body) = self.turn.over, self.content.full, self.content.shown()
        self._message = await self.place.put(self._message, text, body, urgent=over, paced=True)
        self._body, self._text = (text, body), full
        if over:
            await self._close()

    # How it goes on

    async def _append(self, read: Callable[[], Any]) -> None:
        news = bool(self._news()[0])
        if not self.turn.over and not news:
            return
        ends = self.turn.over and (self._said_all or self._turnstile.soon("chat.stopStream") <= NOW_S)
        method = "chat.stopStream" if ends else "chat.appendStream"
        await self._turnstile.wait(method, read)
        chunks, text, tasks = self._news()
        if self._rewrites():
            logger.info("a turn's text is not how it began any more: its message is written anew", extra={"about": self.about})
            await self._rewrite(read)
            return
        # Of ends Slack takes few a minute: how the turn ended is said before.
        closing = self.content.closing() if self.turn.over and not self._said_all else None
        early = closing is not None and not ends
        if early:
            chunks = [*chunks, {"type": "blocks", "blocks": closing}]
        if not chunks and not ends:
            return
        try:
            await self._call(method, ts=self.ts, chunks=chunks or None, blocks=closing if ends else None)
        except (Lost, Refused) as error:
            if isinstance(error, Refused) and self._said_all:
                # Nothing is left to be said in it, and it ends by itself in time.
                await self._close()
                return
            if isinstance(error, Refused) and error.code not in ENDED and error.code not in UNFIT:
                raise
            logger.info("a stream goes on as a message that is edited: %s", error, extra={"about": self.about})
            await self._rewrite(read)
            return
        _passed(ended=ends)
        self._text, self._tasks, self._said_all = text, tasks, self._said_all or early
        if ends:
            await self._close()
        elif self.turn.over:
            await self._append(read)

    async def _roll(self, read: Callable[[], Any]) -> None:
        """End this stream in time, and go on in another as soon as there is more."""
        await self._turnstile.wait("chat.stopStream", read)
        assert self._message
        if self._rewrites():
            await self._rewrite(read)
            return
        chunks, text, tasks = self._news()
        chunks += self.content.rolling(self.content.full[: len(text)], tasks)
        try:
            await self._call("chat.stopStream", ts=self.ts, chunks=chunks)
        except (Lost, Refused):
            await self._rewrite(read)
            return
        await self._next(text, tasks)

    async def _next(self, text: str, tasks: Chunks) -> None:
        """This part has said its last, `text` and `tasks`; the turn goes on in another, a stream."""
        assert self._message
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
        if self._body is not None and self._body == self.content.shown() and not self.turn.over:
            return
        await self._turnstile.wait("chat.update", read)
        if not self.turn.over and self._falls_behind():
            await self._move(read)
            return
        over, full, (text, body) = self.turn.over, self.content.full, self.content.shown()
        if self._body != (text, body):
            self._fixed = self._fixed or not await self.place.update(self._message, text, body, urgent=over, paced=True)
            self._body, self._text = (text, body), full
        _passed(ended=over)
        if over and self._fixed:
            await self._say_anew(read)
        elif over:
            await self._close()

    def _falls_behind(self) -> bool:
        """With so many messages that are edited, this one would be told more often as a stream; and that can begin now."""
        if not self._streams() or self.place.root is None or self._fixed or self._rewrites():
            return False
        fits = 0 < len(self._text) - self._covered() <= TEXT
        soon = self._turnstile.soon("chat.startStream") <= NOW_S
        return fits and soon and self._turnstile.soon("chat.update") > self._turnstile.soon("chat.appendStream") + BEHIND_S

    async def _move(self, read: Callable[[], Any]) -> None:
        """Leave this part as it is, and go on as a stream with what is new; Slack's turn for an edit has been waited for."""
        assert self._message
        shown, tasks = self._text, self.content.tasks()
        text, body = self.content.shown(until=len(shown))
        self._fixed = not await self.place.update(self._message, text, body, paced=True)
        self._body = None
        if not self._fixed:
            await self._next(shown, tasks)
            await self._start(read)

    async def _say_anew(self, read: Callable[[], Any]) -> None:
        """How it ended, in a further message: the one there is cannot be changed."""
        assert self._message
        fixed = self._message
        self._message = await self.place.intend(self.about, fixed.part + 1, "post", fixed.covered)
        await self.place.closed(fixed)
        self._fixed = False
        if self._message.ts is None:
            await self._post(read)

    async def _close(self) -> None:
        assert self._message
        # Also an earlier part, if a doce died between beginning the next one and closing it.
        for part in [one for one in self.place.known[self.about] if one.state != "closed" and one.part < self._message.part]:
            await self.place.closed(part)
        self._message = await self.place.closed(self._message)
        faults.point("slack.closed")

    # What is sent

    def _covered(self) -> int:
        """So many characters of the text are in earlier parts."""
        return self._message.covered if self._message else 0

    async def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await self.place.workspace.call(method, paced=True, channel=self.place.channel, **arguments)

    def _rewrites(self) -> bool:
        """What was sent is not how the text begins any more."""
        return not self.content.full.startswith(self._text)

    def _news(self) -> tuple[list[Chunk], str, Chunks]:
        return self.content.news(self._text, self._tasks)


def _passed(*, ended: bool) -> None:
    if ended:
        faults.point("slack.ended")
    else:
        faults.point("slack.appended")
