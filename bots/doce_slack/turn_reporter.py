"""The turns of a thread, told: each as one message, with reactions on the message that asked, and a notice after a long one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doce.auth import preferences
from doce.errors import DoceError, NotFound
from doce.events.log import Event
from doce.opencode.turn import Turn
from doce_slack import turns
from doce_slack.blocks import Block, section
from doce_slack.files import upload_text
from doce_slack.pictures import Pictures
from doce_slack.powers import Powers
from doce_slack.request_reporter import RequestReporter
from doce_slack.sessions import Session
from doce_slack.telling import Telling
from doce_slack.text import line
from doce_slack.turn_message import TurnMessage
from doce_slack.workspaces import KIND

#: After a turn of this length its end is told in a message of its own: edits notify nobody. ms
LONG_MS = 60_000
#: A mark that something goes on is not made at all rather than so late, seconds.
PATIENCE_S = 1.0
#: Reactions on the message that asked, by how its turn is.
EYES, HAND = "eyes", "raised_hand"
VERDICTS = {
    "completed": "white_check_mark", "stopped": "octagonal_sign", "failed": "x", "interrupted": "x", "broken": "x", "removed": None,
}  # fmt: skip


class TurnReporter:
    """`begin` and `take` what the log says, `tell` what is due."""

    def __init__(
        self, on: Telling, requests: RequestReporter, session: Session, *, powers: Powers, pictures: Pictures, read: Callable[[], Any],
        resumed: bool,
    ) -> None:  # fmt: skip
        """`read` takes in what the log has by now. `resumed`: an earlier doce may have told something of what is read now."""
        self._on, self._requests, self._session, self._powers, self._pictures = on, requests, session, powers, pictures
        self._read, self._resumed = read, resumed
        self._turns: dict[str, Turn] = {}
        #: prompts with something in their turn that has not been shown
        self._news: set[str] = set()
        self._reacted: dict[str, str] = {}
        #: how much is shown of turns that begin, as far as this round has asked
        self._verbosity: preferences.Verbosity | None = None

    # Reading

    def round(self) -> None:
        """The log is read again: what people prefer is asked again."""
        self._verbosity = None

    async def begin(self, event: Event) -> None:
        """A turn that is told here: it was asked here, or elsewhere and this is the project's first thread."""
        prompt_id = str(event.prompt_id)
        threads = self._on.services.chats.threads
        asked = await self._on.do(threads.asked_in, prompt_id)
        if asked is None:
            first = await self._on.do(threads.of_project, KIND, self._on.thread.project_id)
            if not first or first[0].id != self._on.thread.id:
                return
        elif asked.thread_id != self._on.thread.id:
            return
        if self._verbosity is None:
            self._verbosity = (await self._on.do(preferences.of, self._on.thread.user_id)).verbosity
        turn = self._turns[prompt_id] = Turn(prompt_id)
        shown = self._on.shown[prompt_id] = TurnMessage(
            self._on.place, turn, asker=asked.external_user if asked else self._on.thread.external_user, verbosity=self._verbosity,
            streams=lambda: self._powers.has("streams", self._on.thread.team),
            no_streams=lambda code: self._powers.refused("streams", self._on.thread.team, code), monotonic=self._on.monotonic,
            roll_s=self._on.services.settings.slack_roll_s,
        )  # fmt: skip
        shown.asked = asked
        self._on.open[f"turn:{prompt_id}"] = event.seq

    def take(self, event: Event) -> None:
        """What an event says of turns."""
        for turn in self._about(event):
            turn.take(event)
        if event.prompt_id in self._on.shown:
            self._news.add(event.prompt_id)

    def _about(self, event: Event) -> list[Turn]:
        """The turns that an event says something of: a hundred that wait need not hear of each other."""
        if event.prompt_id is not None:
            return [turn] if (turn := self._turns.get(event.prompt_id)) else []
        if event.type.startswith(("project.", "production.")):
            return list(self._turns.values())
        return [turn for turn in self._turns.values() if turn.state == "working"] if event.type.startswith("chat.") else []

    def renew(self) -> None:
        """Something beside the turns changed that their messages show."""
        self._news |= set(self._on.shown)

    def tells(self, prompt_id: str | None) -> bool:
        """Whether what is asked in a turn is asked here; None: in one that nobody knows."""
        return prompt_id in self._turns or (prompt_id is None and bool(self._turns))

    # Telling

    async def tell(self) -> None:
        """Send what is due of all turns. Raises Refused, Lost."""
        told: set[str] = set()
        while (shown := self._next_turn(told)) is not None:
            prompt_id, turn = str(shown.turn.prompt_id), shown.turn
            told.add(prompt_id)
            if turn.state != "removed" or shown.begun:
                self._news.discard(prompt_id)
                try:
                    await self._show(shown)
                except BaseException:
                    self._news.add(prompt_id)
                    raise
            if turn.over and (shown.over or turn.state == "removed"):
                await self._end_turn(prompt_id, shown)
            else:
                await self._react(shown)

    def _next_turn(self, told: set[str]) -> TurnMessage | None:
        """One with news that is not among `told`: as they began, not as they were asked. One may be sent before others that waited
        longer; and while Slack is waited for, more of them begin and end."""
        due = [one for id, one in self._on.shown.items() if id not in told and self._has_news(one) and one.due() <= 0]
        return min(due, key=lambda one: one.turn.began, default=None)

    def _has_news(self, shown: TurnMessage) -> bool:
        return self._begins(shown.turn) and (shown.turn.prompt_id in self._news or shown.turn.over or shown.rolls() <= 0)

    def _begins(self, turn: Turn) -> bool:
        """It is shown from when the agent has it, or its project is set up for it."""
        if turn.state != "queued":
            return True
        return bool(turn.step) and not any(one.state == "working" for one in self._turns.values())

    def pauses(self) -> list[float]:
        """Seconds until something of each may or must be sent."""
        shown = self._on.shown.values()
        waiting = [max(0.05, one.due()) for one in shown if self._has_news(one)]
        return waiting + [max(0.05, one.rolls()) for one in shown if one.streaming and not one.over]

    async def _show(self, shown: TurnMessage) -> None:
        """Send what is new of a turn, with what its message says beside the log."""
        turn, session = shown.turn, self._session
        if turn.over:
            await self._look(shown)
        elif self._requests.wait_in(turn.prompt_id):
            await session.is_("suspended")
        else:
            await session.is_("processing", title=line(turn.prompt, 200), initiator=self._on.asker(turn.prompt_id))

        async def read() -> None:
            await self._read()
            await self._look(shown)

        await shown.flush(read)
        if shown.over and shown.streaming:
            session.ended()
        elif shown.over:
            await session.is_("active")

    async def _look(self, shown: TurnMessage) -> None:
        """What the end of a turn shows that is not in the log."""
        turn = shown.turn
        if turn.over:
            shown.content.preview = turn.preview_url or await self._on.do(self._preview)
            shown.content.stopped_by = await self._on.do(self._stopper, turn.prompt_id) if turn.state == "stopped" else None

    def _preview(self) -> str | None:
        try:
            return self._on.services.projects.get(self._on.thread.project_id).preview_url
        except DoceError:
            return None

    def _stopper(self, prompt_id: str) -> str | None:
        by = self._on.services.prompts.get(prompt_id).stopped_by
        known = self._on.services.identities.list(by) if by else []
        return next((one.external_id for one in known if one.kind == KIND and one.team == self._on.thread.team), None)

    async def _react(self, shown: TurnMessage) -> None:
        asked, turn = shown.asked, shown.turn
        if asked is None or asked.ts is None:
            return
        wanted = VERDICTS.get(turn.state) if turn.over else HAND if self._requests.wait_in(turn.prompt_id) else EYES
        if self._reacted.get(asked.ts) == (wanted or ""):
            return
        calls = self._on.place.workspace.calls
        if not turn.over and calls.pace.soon(self._on.thread.team, "reactions.add") > PATIENCE_S:
            return  # The turn's message says it, too, and is not to wait for this.
        where = {"channel": self._on.place.channel, "timestamp": asked.ts}
        before = {self._reacted[asked.ts]} if asked.ts in self._reacted else {EYES, HAND} if self._resumed else set()
        for name in before - {wanted, ""}:
            await self._on.place.workspace.attempt("reactions.remove", fine=("no_reaction", "message_not_found"), name=name, **where)
        if wanted:
            await self._on.place.workspace.attempt("reactions.add", fine=("already_reacted", "message_not_found"), name=wanted, **where)
        self._reacted[asked.ts] = wanted or ""

    # Ends

    async def _end_turn(self, prompt_id: str, shown: TurnMessage) -> None:
        turn = shown.turn
        self._requests.end(prompt_id)
        await self._react(shown)
        if shown.content.left_out:
            await upload_text(self._on.place, f"answer:{prompt_id}", "answer.md", turns.text(turn), "The whole answer")
        if turn.state == "completed":
            await self._picture(prompt_id)
        wishes = await self._on.do(preferences.of, self._on.thread.user_id)
        long = turn.ended - turn.began > LONG_MS
        if turn.state != "removed" and (wishes.notifications == "always" or (wishes.notifications == "long" and long)):
            who = shown.asked.external_user if shown.asked else self._on.thread.external_user
            words = {"completed": "done", "stopped": "stopped"}.get(turn.state, "it did not work out, see above")
            await self._on.place.post(f"notice:{prompt_id}", f"<@{who}> {words}", [_notice(who, turn, words)], closed=True)
        del self._turns[prompt_id], self._on.shown[prompt_id]
        self._news.discard(prompt_id)
        self._on.open.pop(shown.about, None)

    async def _picture(self, prompt_id: str) -> None:
        try:
            project = await self._on.do(self._on.services.projects.get, self._on.thread.project_id)
        except NotFound:
            return
        if not (project.preview_port and project.preview_url):
            return
        owed = f"picture:{prompt_id}"

        def done() -> None:
            self._on.open.pop(owed, None)
            self._on.wake()

        if self._pictures.after(self._on.place, prompt_id, project.preview_port, project.name, done):
            self._on.open[owed] = self._on.open[f"turn:{prompt_id}"]


def _notice(who: str, turn: Turn, words: str) -> Block:
    return section(f"<@{who}> {words} · {turns.ending(turn)}")
