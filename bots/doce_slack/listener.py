"""What is said in channels, threads and direct messages: whether it is for doce, and what it asks for."""

from __future__ import annotations

from typing import Any

from doce.actions import words
from doce.actions.prompts import Chat
from doce.actions.registry import ACTIONS, Call
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.chats.threads import Thread
from doce.errors import BadRequest, Conflict, DoceError, Forbidden, NotFound
from doce.events import log
from doce.events.vocabulary import QuestionRequested, QuestionResolved
from doce.testing import faults
from doce_slack import blocks, heard, listing, saying
from doce_slack.attachments import Taken, fetch
from doce_slack.beginnings import greeting
from doce_slack.calls import Lost
from doce_slack.context import around
from doce_slack.conversation import Conversation
from doce_slack.intake import NotYet
from doce_slack.people import NotLinked
from doce_slack.replies import Asker, quoted
from doce_slack.workspaces import KIND, Workspace


class Listener:
    """`message` does what a person's message asks, and settles its claim."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._services, self._people, self._do = conversation.services, conversation.people, conversation.do

    async def message(self, claim: Claim, workspace: Workspace) -> None:
        """Somebody wrote something where doce can read it."""
        event = claim.payload["event"]
        text, user, ts = str(event.get("text") or ""), str(event["user"]), str(event["ts"])
        root = event.get("thread_ts") if event.get("thread_ts") != ts else None
        mentioned = event["type"] == "app_mention" or heard.mentions(text, workspace.bot_user)
        direct = event.get("channel_type") == "im" or claim.channel.startswith("D")
        thread = await self._do(self._services.chats.threads.at, KIND, claim.team, claim.channel, root or ts)
        asker = Asker(workspace, claim.channel, user, root)
        if user == workspace.bot_user or (thread is None and not mentioned and not direct):
            if thread is None and root and event.get("parent_user_id") == workspace.bot_user:
                await self._lost_thread(claim, asker)
            else:
                await self._talk.settle(claim, "not for doce")
            return
        try:
            if thread is not None and not mentioned and await self._overhears(claim, thread, text):
                await self._talk.settle(claim, "not mentioned")
                return
            person, rules = await self._people.acting(claim.team, user, claim.channel)
            if thread is not None and thread.closed_at is not None:
                raise _gone()
            spoken = heard.spoken(text, bot_user=workspace.bot_user, names=await self._people.names(workspace, text))
            if thread is not None:
                await self._in_thread(claim, asker, person, thread, spoken, event)
            else:
                await self._begin(claim, asker, person, rules.project_id, spoken, event)
        except DoceError as error:
            await self.refuse(claim, asker, error, text, mentioned or direct)

    async def _overhears(self, claim: Claim, thread: Thread, text: str) -> bool:
        """What is said there without a mention is not for doce."""
        rules = await self._do(self._services.chats.channels.rules, KIND, claim.team, claim.channel)
        return (rules.mention or thread.muted) and not _unmutes(text)

    async def _lost_thread(self, claim: Claim, asker: Asker) -> None:
        """An answer to a message of doce's that hangs on no thread that is known: that thread's project is gone, or the thread is
        just being written down."""
        if await self._do(self._services.chats.threads.unplaced, KIND, claim.team, claim.channel):
            raise NotYet("a thread in this channel is being posted")
        if await self._talk.settle(claim, "gone") and not self._people.told_before(claim.team, asker.user, f"{asker.channel}:{asker.root}"):
            await asker.error(_gone())

    async def refuse(self, claim: Claim, asker: Asker, error: DoceError, text: str, addressed: bool) -> None:
        """Told to the one who can act; their words are given back to them."""
        if isinstance(error, Lost):
            raise error
        if not await self._talk.settle(claim, error.code):
            return
        # Among people who talk with each other, the same is said once in a while.
        about = error.code if isinstance(error, NotLinked) else f"{error.code}:{asker.channel}:{asker.root}"
        once = isinstance(error, NotLinked | Forbidden | NotFound) and not addressed
        if once and self._people.told_before(asker.workspace.team, asker.user, about):
            return
        meant = listing.meant(error, heard.spoken(text, bot_user=asker.workspace.bot_user))
        await asker.error(error, [*meant, *([blocks.context(quoted(text))] if text.strip() else [])])

    # In a thread

    async def _in_thread(self, claim: Claim, asker: Asker, person: Person, thread: Thread, text: str, event: dict[str, Any]) -> None:
        said = saying.understood(text)
        if said.word == "aside":
            await self._talk.settle(claim, "aside")
        elif said.word in ("mute", "unmute"):
            await self._talk.settle(claim, said.word, lambda: self._services.chats.threads.mute(thread.id, said.word == "mute"))
            await asker.tell(
                "Nothing here is for me until you say `unmute` or mention me." if said.word == "mute" else "I am listening again."
            )
        elif said.word == "help":
            await self._talk.settle(claim, "help")
            await asker.tell(saying.HELP, [blocks.section(saying.HELP)])
        elif said.word in ("prompt", "now"):
            await self._ask(claim, asker, person, thread, said.rest, event, now=said.word == "now")
        else:
            await self._talk.command(claim, asker, person, thread.project_id, said)
        await self._talk.seen(person, thread.project_id, asker)

    async def _ask(
        self, claim: Claim, asker: Asker, person: Person, thread: Thread, text: str, event: dict[str, Any], *, now: bool = False
    ) -> None:
        """A prompt of a person in a thread."""
        if now and (before := await self._do(self._services.chats.threads.prompt_of, thread.id, str(event["ts"]))):
            # It was queued before doce died; whether what went on was ended for it nobody knows.
            await self._talk.send_now(claim, person, thread.project_id, before)
            return
        taken = await fetch(asker.workspace, event.get("files") or [])
        if await self._answers_question(claim, person, thread, text, taken):
            return
        text = await self._talk.signed(asker, thread, text) or taken.instead_of_text
        if await self._talk.prompt(claim, asker, person, thread, text, taken.attached, ts=str(event["ts"]), now=now):
            await self._talk.tell_skipped(asker, taken)

    async def _answers_question(self, claim: Claim, person: Person, thread: Thread, text: str, taken: Taken) -> bool:
        """A plain reply answers the one question that waits."""
        if claim.attempts and await self._do(self._answered, claim, person, thread.project_id, text):
            await self._talk.settle(claim, "answer")
            return True
        waiting = await self._do(self._services.requests.pending, thread.project_id)
        if not text or taken.attached or len(waiting) != 1 or not isinstance(waiting[0], QuestionRequested):
            return False
        question = waiting[0]
        if len(question.questions) != 1 or not question.questions[0].custom:
            return False
        given = {"project": thread.project_id, "request": question.request_id, "answers": [[text]]}
        # The agent is told within: the answer is its own record, and a second one is refused.
        try:
            await self._do(self._talk.perform, person, "questions.answer", **given)
        except Conflict:
            return False
        faults.point("slack.acted")
        await self._talk.settle(claim, "answer")
        return True

    def _answered(self, claim: Claim, person: Person, project_id: str, text: str) -> bool:
        """This was an answer before doce died: the agent has it."""
        told = log.of_types(project_id, (QuestionResolved.type,))
        found = [QuestionResolved.model_validate(one.payload) for one in told if one.at >= claim.at]
        return any(one.by == person.id and one.answers == [[text]] for one in found)

    # Elsewhere: what begins a thread

    async def _begin(self, claim: Claim, asker: Asker, person: Person, default: str | None, text: str, event: dict[str, Any]) -> None:
        """A mention, or a direct message: a command, a prompt for the channel's project, or a new one."""
        root = str(event.get("thread_ts") or event["ts"])
        first = words.first_word(text)[0].lower()
        if not text or (first == "help" and len(text.split()) <= 2):
            await self._talk.settle(claim, "help")
            await asker.tell(*greeting())
            return
        parsed = await self._do(self._parsed, text, person, default)
        if parsed.action.name not in ("projects.create", "prompts.add"):
            await self._talk.simple(claim, asker, person, parsed)
            return
        taken = await fetch(asker.workspace, event.get("files") or [])
        context = await around(self._people, asker, str(event["ts"]))
        new = first in ("new", "create")
        if parsed.action.name == "projects.create" and (default is None or new):
            given = parsed.input.model_copy(update={"prompt": f"{parsed.input.prompt}{context}", "attachments": taken.attached})
            await self._talk.begin.project(claim, asker, person, given, root=root, ts=str(event["ts"]))
        else:
            project_id = getattr(parsed.input, "project", None) or default
            asked = f"{getattr(parsed.input, 'text', None) or text}{context}"
            await self._talk.begin.chat(claim, asker, person, str(project_id), asked, taken.attached, root=root, ts=str(event["ts"]))
        await self._talk.tell_skipped(asker, taken)

    def _parsed(self, text: str, person: Person, default: str | None) -> words.Parsed:
        """What a mention asks for. Where the channel has a project, words that are no command are for its agent."""
        try:
            return words.parse(text, Call(self._services, person), here=default)
        except BadRequest as error:
            if default is None or "meant" not in (error.details or {}):
                raise
            return words.Parsed(ACTIONS["prompts.add"], Chat(project=default, text=text, model=None, attachments=[]))


def _gone() -> NotFound:
    return NotFound("This thread's project is gone.", hint="Mention me in the channel to begin a new one.")


def _unmutes(text: str) -> bool:
    return saying.understood(text).word == "unmute"
