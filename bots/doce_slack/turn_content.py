"""What a turn's messages hold, computed: what is new for a stream, and the whole for a message that is edited. `turn_message` sends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doce.auth.preferences import Verbosity
from doce.opencode.turn import Turn
from doce_slack import blocks, turns
from doce_slack.blocks import Block
from doce_slack.text import closing, cut_markdown, line, open_fence
from doce_slack.turns import Task

#: Most of a turn's text in one message, characters: with its tasks and buttons it stays below the 13,200 that Slack takes.
TEXT, LIST = 10_000, 1_200
CONTINUED = "_continued below_"
BEGUN = Task("begun", "Thinking", "in_progress")
DONE = {"setup": Task("setup", "Set up", "complete"), "begun": Task("begun", "Thought about it", "complete")}

Chunk = dict[str, Any]
Chunks = dict[str, Chunk]


class Content:
    """Of one part after the other."""

    def __init__(self, turn: Turn, project_id: str, verbosity: Verbosity, covered: Callable[[], int]) -> None:
        """`covered`: so many characters of the text are in earlier parts than the one that is written."""
        self._turn, self._project_id, self._verbosity, self._covered = turn, project_id, verbosity, covered
        #: Who stopped it, a chat user.
        self.stopped_by: str | None = None
        #: Where the preview is.
        self.preview: str | None = None

    @property
    def full(self) -> str:
        """All of the text."""
        return turns.text(self._turn)

    @property
    def left_out(self) -> bool:
        """It is longer than what its messages take."""
        return len(self.full) - self._covered() > TEXT

    def _part(self, until: int | None = None) -> str:
        """The text of this part; a code block that the part before had to leave is opened again."""
        full = self.full[:until]
        rest = full[self._covered() :]
        fence = open_fence(full[: self._covered()]) if rest else None
        return reopened(fence, rest) if self._covered() else rest

    # For a stream

    def news(self, sent_text: str, sent: Chunks) -> tuple[list[Chunk], str, Chunks]:
        """(what has not been sent, the text and the tasks that have been when it is)"""
        full, begin = self.full, max(len(sent_text), self._covered())
        text = full[: self._covered() + TEXT]
        shown = self.tasks()
        # What only stood for the beginning is over when there is more.
        more = bool(shown) or len(text) > begin or self._turn.over
        stood = {id: DONE[id].chunk() if more or id == "setup" else chunk for id, chunk in sent.items() if id in DONE}
        shown = {**stood, **shown}
        chunks = [chunk for id, chunk in shown.items() if sent.get(id) != chunk]
        if len(text) <= begin:
            return chunks, sent_text or full[:begin], shown
        piece = text[begin:]
        if begin == self._covered() > 0:
            piece = reopened(open_fence(full[:begin]), piece)
        return [*chunks, markdown(piece)] if piece else chunks, text, shown

    def tasks(self) -> Chunks:
        """As they are now, by their ids."""
        return {one.id: one.chunk() for one in turns.tasks(self._turn, self._verbosity)}

    def rolling(self, text: str, tasks: Chunks) -> list[Chunk]:
        """What ends a stream that goes on in a next part: `text` and `tasks` have been sent by then."""
        running = [chunk for chunk in tasks.values() if chunk["status"] != "complete"]
        ended = [{**chunk, "title": f"{chunk['title']} …", "status": "complete"} for chunk in running]
        return [*ended, markdown(self._goes_on(text))]

    def closing(self) -> list[Block]:
        """What stands below the text when the turn has ended."""
        trouble = turns.trouble(self._turn)
        left_out = "_The whole answer is attached below._" if self.left_out else ""
        return [
            *([blocks.section(trouble[:1000])] if trouble else []),
            *turns.row(self._turn, self._project_id, preview=self.preview),
            blocks.context(turns.ending(self._turn, self.stopped_by), left_out),
        ]

    # For a message that is edited

    def shown(self, *, until: int | None = None) -> tuple[str, list[Block]]:
        """The whole message; `until`: as it stays when the turn goes on in a next part from that character on."""
        found = turns.tasks(self._turn, self._verbosity)
        text = cut_markdown(self._part(until), TEXT)
        if until is not None:
            # What has not ended is told in the next part.
            found = [one for one in found if one.status == "complete"]
            text += self._goes_on(self.full[:until])
        body: list[Block] = []
        if found:
            body.append(blocks.section(turns.listed(found, LIST)))
        if text:
            body.append(blocks.markdown(text))
        if self._turn.over and until is None:
            body += self.closing()
        elif until is None:
            body.append(blocks.context("_working_"))
            body += turns.row(self._turn, self._project_id, preview=None)
        plain = line(text or turns.ending(self._turn) or (found[-1].title if found else "working"), 300)
        return plain, body

    def _goes_on(self, text: str) -> str:
        """What is said after `text` in a part that another follows."""
        fence = open_fence(text)
        return f"\n{closing(fence)}\n\n{CONTINUED}" if fence else f"\n\n{CONTINUED}"


def reopened(fence: str | None, rest: str) -> str:
    """What goes on in another message, in the code block that `fence` opened, if it was in one."""
    return f"{fence}\n{rest.removeprefix(chr(10))}" if fence else rest.lstrip("\n")


def markdown(text: str) -> Chunk:
    """Text as a stream takes it."""
    return {"type": "markdown_text", "text": text}
