"""A thread, told: reads the project's events after the thread's cursor and keeps card, turns, requests and deploys up to date.

What is open (a turn, a deploy, a request) holds the cursor before its first event: after a restart it is read again from there, and
the rows of `chat_messages` say what of it was posted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from doce.actions.services import Services
from doce.auth import preferences
from doce.chats.messages import CARD, Message
from doce.chats.threads import Thread
from doce.errors import DoceError, NotFound
from doce.events import log
from doce.events import vocabulary as said
from doce.events.log import Event
from doce.logger import log_context
from doce.opencode.turn import Turn
from doce.projects.status import ProjectStatus
from doce_slack import asking, build_logs, turns
from doce_slack.blocks import Block, section
from doce_slack.calls import Lost, Refused
from doce_slack.card import card, gone
from doce_slack.deploys import UNDER_WAY, Deploy
from doce_slack.files import upload_text
from doce_slack.pictures import Pictures
from doce_slack.posting import Place
from doce_slack.powers import Powers
from doce_slack.sessions import Session
from doce_slack.text import line
from doce_slack.turn_message import TurnMessage
from doce_slack.workspaces import KIND, Do, Workspaces

logger = logging.getLogger(__name__)

#: Between two edits of the card and of a deploy's message, seconds.
CARD_S, DEPLOY_S = 2.0, 1.5
#: After a turn of this length its end is told in a message of its own: edits notify nobody. ms
LONG_MS = 60_000
#: A thread without news for so long is put aside until there are, seconds.
IDLE_S = 600.0
#: After a refusal, a lost line or a mistake of ours: 1, 2, 4 … s until the next try.
REST_S, MAX_REST_S = 1.0, 60.0
#: A thread of which nothing can be told any more: its root is gone.
HOPELESS = ("thread_not_found",)
#: A place where doce may not speak for now: it may be invited again, its token be made anew. The thread is put aside.
AWAY = (
    "channel_not_found", "is_archived", "not_in_channel", "account_inactive", "token_revoked", "token_expired", "invalid_auth",
    "not_authed", "missing_scope", "restricted_action", "restricted_action_thread_only_channel", "team_access_not_granted",
)  # fmt: skip
#: A mark that something goes on is not made at all rather than so late, seconds.
PATIENCE_S = 1.0
#: Reactions on the message that asked, by how its turn is.
EYES = "eyes"
VERDICTS = {
    "completed": "white_check_mark", "stopped": "octagonal_sign", "failed": "x", "interrupted": "x", "broken": "x", "removed": None,
}  # fmt: skip
HAND = "raised_hand"


class Reporter:
    """Tells one thread. `wake` it when its project has news; `run` ends when nothing is left to tell ever."""

    def __init__(
        self, services: Services, workspaces: Workspaces, thread: Thread, do: Do, *, powers: Powers,
        pictures: Pictures, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.services, self.workspaces, self.thread, self._do = services, workspaces, thread, do
        self._powers, self._pictures, self._monotonic = powers, pictures, monotonic
        #: Why it ended although there may be more to tell: Slack's word.
        self.put_aside: str | None = None
        self._woken = asyncio.Event()
        self._seq = thread.cursor
        #: An earlier doce may have told something of what is read now: what it left is looked at, not taken for granted.
        self._resumed = thread.root is not None
        self._told = thread.cursor
        self._turns: dict[str, Turn] = {}
        self._shown: dict[str, TurnMessage] = {}
        #: first event of everything that is not told to its end
        self._open: dict[str, int] = {}
        self._requests: dict[str, tuple[asking.Request, str | None]] = {}
        self._resolved: dict[str, said.PermissionResolved | said.QuestionResolved] = {}
        #: prompts with something in their turn that has not been shown
        self._news: set[str] = set()
        self._deploy: Deploy | None = None
        self._deploys: list[Deploy] = []
        #: what was shown last of each deploy
        self._deploys_shown: dict[str, said.ProductionStatus] = {}
        self._deleted = False
        self._card_due, self._card_at, self._deploy_at = True, float("-inf"), float("-inf")
        self._card: tuple[str, list[Block]] | None = None
        self._reacted: dict[str, str] = {}
        #: how much is shown of turns that begin, as far as this round has asked
        self._verbosity: preferences.Verbosity | None = None
        self._place: Place | None = None
        self._session: Session | None = None

    @property
    def woken(self) -> bool:
        return self._woken.is_set()

    def wake(self) -> None:
        self._woken.set()

    @property
    def place(self) -> Place:
        assert self._place
        return self._place

    async def run(self) -> None:
        """Until the thread is closed or has been quiet for long. What goes wrong is logged, rested after, and tried again."""
        rest = 0.0
        with log_context(project_id=self.thread.project_id, operation="slack.thread"):
            while True:
                try:
                    if self._place is None and not await self._enter():
                        return
                    if await self._round():
                        return
                    rest = 0.0
                except Refused as error:
                    if error.code in HOPELESS:
                        logger.warning("a thread can no longer be told: %s", error, extra={"thread_id": self.thread.id})
                        await self._do(self.services.chats.threads.close, self.thread.id)
                        return
                    if error.code in AWAY:
                        logger.warning("a thread is put aside: %s", error, extra={"thread_id": self.thread.id})
                        self.workspaces.forget(self.thread.team)
                        self.put_aside = error.code
                        return
                    logger.warning("Slack refused: %s", error, extra={"thread_id": self.thread.id, "answer": error.answer})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                except Lost as error:
                    logger.warning("%s", error.message, extra={"thread_id": self.thread.id})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                except Exception:  # a background task: the other threads still have to be told, and this one is tried again
                    logger.exception("a thread could not be told", extra={"thread_id": self.thread.id})
                    rest = min(MAX_REST_S, max(REST_S, 2 * rest))
                if rest:
                    await asyncio.sleep(rest)

    async def _enter(self) -> bool:
        workspace = await self.workspaces.of(self.thread.team)
        if workspace is None:
            return False
        self._place = Place(self.thread, workspace, self.services.chats.messages, self._do)
        await self._place.open()
        powers, team = self._powers, self.thread.team
        self._session = Session(
            self._place, there=lambda: powers.has("sessions", team), missing=lambda code: powers.refused("sessions", team, code),
            monotonic=self._monotonic, status=None if self._resumed else "active",
        )  # fmt: skip
        return True

    # One round: read, tell what is due, wait

    async def _round(self) -> bool:
        self._woken.clear()
        await self._read()
        if self.place.root is None:
            await self._tell_card()
        # What waits for somebody is asked before more text is sent, but below the message that it belongs to.
        await self._tell_requests(begun=True)
        await self._tell_turns()
        await self._tell_requests()
        if self._card_is_due():
            await self._tell_card()
        await self._tell_deploys()
        await self._settle()
        if self._deleted and not self._open:
            await self._do(self.services.chats.threads.close, self.thread.id)
            return True
        return not self._woken.is_set() and await self._wait()

    async def _wait(self) -> bool:
        """For news, or until something that waits may be sent. True: nothing came for long, and nothing is open."""
        pauses = [max(0.05, one.due()) for one in self._shown.values() if self._has_news(one)]
        pauses += [max(0.05, one.rolls()) for one in self._shown.values() if one.streaming and not one.over]
        if self._card_due:
            pauses.append(max(0.05, self._card_at + CARD_S - self._monotonic()))
        if any(self._deploys_shown.get(one.about) is not one.last for one in self._deploys):
            pauses.append(max(0.05, self._deploy_at + DEPLOY_S - self._monotonic()))
        try:
            await asyncio.wait_for(self._woken.wait(), min(pauses, default=IDLE_S))
        except TimeoutError:
            return not pauses and not self._open and not self._woken.is_set()
        return False

    # Reading

    async def _read(self) -> None:
        self._verbosity = None
        while events := await self._do(log.after, self.thread.project_id, self._seq):
            for event in events:
                await self._take(event)
            self._seq = events[-1].seq

    async def _take(self, event: Event) -> None:
        payload = said.known(event.type, event.payload)
        if payload is None:
            return
        if isinstance(payload, said.PromptQueued) and event.prompt_id:
            await self._begin_turn(event)
        for turn in self._about(event):
            turn.take(event)
        if event.prompt_id in self._shown:
            self._news.add(event.prompt_id)
        if isinstance(payload, said.PermissionRequested | said.QuestionRequested):
            if self._tells(event.prompt_id):
                self._requests[payload.request_id] = (payload, event.prompt_id)
                self._open[asking.about(payload)] = event.seq
        elif isinstance(payload, said.PermissionResolved | said.QuestionResolved):
            self._resolved[payload.request_id] = payload
        elif isinstance(payload, said.ProductionStatus):
            self._take_deploy(payload, event)
        elif isinstance(payload, said.ProjectDeleted):
            self._deleted = True
        if event.type.startswith(("project.", "production.", "chat.prompt.", "chat.permission.", "chat.question.")):
            self._card_due = True
        if isinstance(payload, said.ProjectStatusChanged):
            self._news |= set(self._shown)

    def _about(self, event: Event) -> list[Turn]:
        """The turns that an event says something of: a hundred that wait need not hear of each other."""
        if event.prompt_id is not None:
            return [turn] if (turn := self._turns.get(event.prompt_id)) else []
        if event.type.startswith(("project.", "production.")):
            return list(self._turns.values())
        return [turn for turn in self._turns.values() if turn.state == "working"] if event.type.startswith("chat.") else []

    async def _begin_turn(self, event: Event) -> None:
        """A turn that is told here: it was asked here, or elsewhere and this is the project's first thread."""
        prompt_id = str(event.prompt_id)
        threads = self.services.chats.threads
        asked = await self._do(threads.asked_in, prompt_id)
        if asked is None:
            first = await self._do(threads.of_project, KIND, self.thread.project_id)
            if not first or first[0].id != self.thread.id:
                return
        elif asked.thread_id != self.thread.id:
            return
        if self._verbosity is None:
            self._verbosity = (await self._do(preferences.of, self.thread.user_id)).verbosity
        turn = self._turns[prompt_id] = Turn(prompt_id)
        shown = self._shown[prompt_id] = TurnMessage(
            self.place, turn, asker=asked.external_user if asked else self.thread.external_user, verbosity=self._verbosity,
            streams=lambda: self._powers.has("streams", self.thread.team),
            no_streams=lambda code: self._powers.refused("streams", self.thread.team, code), monotonic=self._monotonic,
            roll_s=self.services.settings.slack_roll_s,
        )  # fmt: skip
        shown.asked = asked
        self._open[f"turn:{prompt_id}"] = event.seq

    def _tells(self, prompt_id: str | None) -> bool:
        return prompt_id in self._turns or (prompt_id is None and bool(self._turns))

    def _take_deploy(self, payload: said.ProductionStatus, event: Event) -> None:
        if self._deploy is None:
            if payload.status not in UNDER_WAY and not payload.step:
                return
            begun = Deploy(event.seq, event.time, payload)
            known = self.place.last(begun.about)
            self._deploy = begun
            if not (known and known.state == "closed"):
                self._deploys.append(begun)
                self._open[begun.about] = event.seq
        self._deploy.take(payload, event.time)
        if self._deploy.over:
            self._deploy = None

    # Telling

    def _card_is_due(self) -> bool:
        return self._card_due and (self._deleted or self._monotonic() >= self._card_at + CARD_S)

    async def _tell_card(self) -> None:
        self._card_due = False
        try:
            text, body = await self._do(self._card_now)
        except NotFound:
            self._deleted = True
            text, body = gone(self._card[0].removeprefix("doce · ").partition(" ")[0] if self._card else "project")
        if self._card == (text, body):
            return
        message = self.place.last(CARD)
        if message is None or message.ts is None:
            await self.place.post(CARD, text, body)
        elif message.state != "closed" and not await self.place.update(message, text, body):
            # Somebody removed it: the thread goes on without.
            await self.place.closed(message)
        self._card, self._card_at = (text, body), self._monotonic()

    def _card_now(self) -> tuple[str, list[Block]]:
        project = self.services.projects.get(self.thread.project_id)
        if self._deleted or project.status is ProjectStatus.DELETING:
            return gone(project.name)
        production = self.services.productions.view(project.id)
        asks = any(id not in self._resolved for id in self._requests)
        return card(self.services.settings, project, production, by=self.thread.external_user, asks=asks, prompt=project.prompt)

    async def _tell_turns(self) -> None:
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
        due = [one for id, one in self._shown.items() if id not in told and self._has_news(one) and one.due() <= 0]
        return min(due, key=lambda one: one.turn.began, default=None)

    async def _show(self, shown: TurnMessage) -> None:
        """Send what is new of a turn, with what its message says beside the log."""
        turn, session = shown.turn, self._session
        assert session
        if turn.over:
            shown.preview = turn.preview_url or await self._do(self._preview)
            shown.stopped_by = await self._do(self._stopper, turn.prompt_id) if turn.state == "stopped" else None
        elif self._waits(turn):
            await session.is_("suspended")
        else:
            await session.is_("processing", title=line(turn.prompt, 200), initiator=self._asker(turn.prompt_id))
        await shown.flush(self._read)
        if shown.over and shown.streaming:
            session.ended()
        elif shown.over:
            await session.is_("active")

    def _waits(self, turn: Turn) -> bool:
        """The agent waits for somebody's answer."""
        return any(prompt_id == turn.prompt_id and id not in self._resolved for id, (_, prompt_id) in self._requests.items())

    def _begins(self, turn: Turn) -> bool:
        """It is shown from when the agent has it, or its project is set up for it."""
        if turn.state != "queued":
            return True
        return bool(turn.step) and not any(one.state == "working" for one in self._turns.values())

    def _has_news(self, shown: TurnMessage) -> bool:
        return self._begins(shown.turn) and (shown.turn.prompt_id in self._news or shown.turn.over or shown.rolls() <= 0)

    def _preview(self) -> str | None:
        try:
            return self.services.projects.get(self.thread.project_id).preview_url
        except DoceError:
            return None

    def _stopper(self, prompt_id: str) -> str | None:
        by = self.services.prompts.get(prompt_id).stopped_by
        found = [one for one in self.services.identities.list(by) if one.kind == KIND and one.team == self.thread.team] if by else []
        return found[0].external_id if found else None

    async def _react(self, shown: TurnMessage) -> None:
        asked, turn = shown.asked, shown.turn
        if asked is None or asked.ts is None:
            return
        wanted = VERDICTS.get(turn.state) if turn.over else HAND if self._waits(turn) else EYES
        if self._reacted.get(asked.ts) == (wanted or ""):
            return
        calls = self.place.workspace.calls
        if not turn.over and calls.pace.soon(self.thread.team, "reactions.add") > PATIENCE_S:
            return  # The turn's message says it, too, and is not to wait for this.
        where = {"channel": self.place.channel, "timestamp": asked.ts}
        before = {self._reacted[asked.ts]} if asked.ts in self._reacted else {EYES, HAND} if self._resumed else set()
        for name in before - {wanted, ""}:
            await self.place.workspace.attempt("reactions.remove", fine=("no_reaction", "message_not_found"), name=name, **where)
        if wanted:
            await self.place.workspace.attempt("reactions.add", fine=("already_reacted", "message_not_found"), name=wanted, **where)
        self._reacted[asked.ts] = wanted or ""

    async def _end_turn(self, prompt_id: str, shown: TurnMessage) -> None:
        turn = shown.turn
        for id, (request, of) in self._requests.items():
            if of == prompt_id and id not in self._resolved:
                # The turn was ended while it waited: nobody can answer any more.
                ended = said.PermissionResolved if isinstance(request, said.PermissionRequested) else said.QuestionResolved
                self._resolved[id] = ended(request_id=id, reply="gone")
        await self._react(shown)
        if shown.left_out:
            await upload_text(self.place, f"answer:{prompt_id}", "answer.md", turns.text(turn), "The whole answer")
        if turn.state == "completed":
            await self._picture(prompt_id)
        wishes = await self._do(preferences.of, self.thread.user_id)
        long = turn.ended - turn.began > LONG_MS
        if turn.state != "removed" and (wishes.notifications == "always" or (wishes.notifications == "long" and long)):
            who = shown.asked.external_user if shown.asked else self.thread.external_user
            words = {"completed": "done", "stopped": "stopped"}.get(turn.state, "it did not work out, see above")
            await self.place.post(f"notice:{prompt_id}", f"<@{who}> {words}", [_notice(who, turn, words)], closed=True)
        del self._turns[prompt_id], self._shown[prompt_id]
        self._news.discard(prompt_id)
        self._open.pop(shown.about, None)

    async def _picture(self, prompt_id: str) -> None:
        try:
            project = await self._do(self.services.projects.get, self.thread.project_id)
        except NotFound:
            return
        if project.preview_port and project.preview_url:
            self._pictures.after(self.place, prompt_id, project.preview_port, project.name)

    async def _tell_requests(self, *, begun: bool = False) -> None:
        """`begun`: only those of turns that can be seen."""
        for id, (request, prompt_id) in list(self._requests.items()):
            shown = self._shown.get(prompt_id or "")
            if begun and not (shown and shown.begun):
                continue
            name = asking.about(request)
            resolved = self._resolved.get(id)
            message = self.place.last(name)
            if resolved is None:
                if message is None or message.ts is None:
                    asker = self._asker(prompt_id)
                    text, body = asking.asked(request, self.thread.project_id, asker)
                    await self.place.post(name, text, body)
                continue
            if message is not None and message.state != "closed":
                await self._close_request(request, resolved, message)
            del self._requests[id]
            self._open.pop(name, None)

    async def _close_request(self, request: asking.Request, resolved: asking.Resolved, message: Message) -> None:
        by = await self._do(self._named, resolved.by) if resolved.by else ""
        text, body = asking.answered(request, resolved, by)
        if message.ts is None:
            message = await self.place.post(asking.about(request), text, body)
        else:
            await self.place.update(message, text, body, urgent=True)
        await self.place.closed(message)

    def _asker(self, prompt_id: str | None) -> str:
        shown = self._shown.get(prompt_id or "")
        return shown.asked.external_user if shown and shown.asked else self.thread.external_user

    def _named(self, user_id: str) -> str:
        """Somebody, as this workspace knows them."""
        for one in self.services.identities.list(user_id):
            if one.kind == KIND and one.team == self.thread.team:
                return f"<@{one.external_id}>"
        return self.services.users.get(user_id).name

    async def _tell_deploys(self) -> None:
        for deploy in list(self._deploys):
            if self._deploys_shown.get(deploy.about) is deploy.last:
                continue
            if not deploy.over and self._monotonic() < self._deploy_at + DEPLOY_S:
                continue
            last, over = deploy.last, deploy.over
            production = await self._do(self.services.productions.view, self.thread.project_id)
            reason = await self._do(build_logs.failed, self.thread.project_id) if over and last.status == "failed" else None
            text, body = deploy.shown(production, self.thread.project_id, reason)
            message = self.place.last(deploy.about)
            if message is None or message.ts is None:
                message = await self.place.post(deploy.about, text, body)
            else:
                await self.place.update(message, text, body, urgent=over)
            self._deploys_shown[deploy.about], self._deploy_at = last, self._monotonic()
            if over:
                await self.place.closed(message)
                self._deploys.remove(deploy)
                del self._deploys_shown[deploy.about]
                self._open.pop(deploy.about, None)

    async def _settle(self) -> None:
        """Everything before what is still open has been told."""
        cursor = min(self._open.values(), default=self._seq + 1) - 1
        if cursor > self._told and not (self._card_due and not self._open):
            await self._do(self.services.chats.threads.told, self.thread.id, cursor)
            self._told = cursor


def _notice(who: str, turn: Turn, words: str) -> Block:
    return section(f"<@{who}> {words} · {turns.ending(turn)}")
