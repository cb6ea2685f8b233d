"""What a person asks in words, with a button or a reaction, done: through the actions, in the transaction that settles the claim."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from doce.actions import words
from doce.actions.projects import Attached
from doce.actions.registry import ACTIONS, Call, perform
from doce.actions.render import plain
from doce.actions.services import Services
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.chats.threads import Thread
from doce.errors import BadRequest, Conflict, DoceError
from doce.projects.status import PromptState
from doce.projects.views import ProjectView, PromptView
from doce.testing import faults
from doce_slack import blocks, saying, showing
from doce_slack.attachments import Taken
from doce_slack.beginnings import Beginnings
from doce_slack.people import People
from doce_slack.replies import Asker
from doce_slack.teller import Teller
from doce_slack.text import escaped
from doce_slack.workspaces import Do, Workspaces

logger = logging.getLogger(__name__)

#: Ask something outside (the agent, git): never while the database is held. Done a second time they change nothing more.
OUTSIDE = frozenset({"agent.stop", "productions.deploy", "permissions.answer", "questions.answer", "prompts.sendNow"})
#: That something waits is told while Slack takes it at once: whoever says many things hears it of the first, seconds.
NOTICE_S = 1.0


class Conversation:
    """What every way of asking shares; `begin` makes threads. Each method that takes a claim settles it."""

    def __init__(self, services: Services, workspaces: Workspaces, people: People, teller: Teller, do: Do) -> None:
        self.services, self.workspaces, self.people, self.teller, self.do = services, workspaces, people, teller, do
        self.begin = Beginnings(self)

    # Prompts

    async def prompt(
        self, claim: Claim, asker: Asker, person: Person, thread: Thread, text: str, attached: list[Attached], *, ts: str | None,
        now: bool = False,
    ) -> bool:  # fmt: skip
        """A prompt that shows in a thread. `ts` is the message it was asked with. `now`: what goes on ends for it.

        False: it was asked before.
        """
        made: list[PromptView] = []

        def do() -> None:
            prompt: PromptView = self.perform(person, "prompts.add", project=thread.project_id, text=text, attachments=attached)
            self.services.chats.threads.asked(prompt.id, thread.id, ts=ts, external_user=asker.user)
            made.append(prompt)

        if now:
            # Ending what goes on asks the agent, so the claim is open until that is done; the prompt is there and known by its message.
            if not await self.do(self._go_on, claim, do):
                return False
            faults.point("slack.queued")
            return await self.send_now(claim, person, thread.project_id, made[0].id)
        if not await self.settle(claim, "prompt", do):
            return False
        if await self.do(self._waits, made[0]) and asker.soon(NOTICE_S):
            await self._queued(asker, made[0], written=ts is not None)
        return True

    async def send_now(self, claim: Claim, person: Person, project_id: str, prompt_id: str) -> bool:
        """What goes on ends for a prompt that waits. False: that was done before."""

        def do() -> None:
            try:
                self.perform(person, "prompts.sendNow", project=project_id, prompt=prompt_id)
            except Conflict:
                logger.info("a prompt that was to be sent at once was sent already", extra={"prompt_id": prompt_id})

        return await self.settle(claim, "now", do, outside=True)

    def _waits(self, prompt: PromptView) -> bool:
        """Something is before it: what goes on, or what is about to."""
        prompts = self.services.prompts
        first = prompts.next(prompt.project_id)
        return prompts.get(prompt.id).state is PromptState.QUEUED and (
            prompts.active(prompt.project_id) is not None or (first is not None and first.id != prompt.id)
        )

    async def _queued(self, asker: Asker, prompt: PromptView, *, written: bool) -> None:
        value = f"{prompt.project_id}:{prompt.id}"
        text = "Queued: it runs after what is going on."
        if written:
            text += " Edit your message to change it, delete it to take it back."
        body = [
            blocks.section(text),
            *blocks.actions(blocks.button("Send now", "send_now", value), blocks.button("Remove", "unqueue", value)),
        ]
        await asker.tell(text, body)

    async def signed(self, asker: Asker, thread: Thread, text: str) -> str:
        """With the name of who says it, unless that is who began the thread."""
        if asker.user == thread.external_user or not text:
            return text
        return f"{await self.people.name(asker.workspace, asker.user)}: {text}"

    async def tell_skipped(self, asker: Asker, taken: Taken) -> None:
        if taken.skipped:
            text = "\n".join(f"• {escaped(one)}" for one in taken.skipped)
            await asker.tell(f"Not everything came along:\n{text}", [blocks.section(f"Not everything came along:\n{text}")])

    # Actions

    async def command(self, claim: Claim, asker: Asker, person: Person, project_id: str, said: saying.Saying) -> None:
        """A word that is an action of the project; what it comes to shows in the thread, or is told to who asked."""
        if said.word == "undo":
            raise BadRequest("A turn cannot be undone yet.", hint="`rollback` puts the version before online; or say what to change back.")
        if said.word == "retry":
            await self.again(claim, asker, person, project_id)
        elif said.word == "stop":
            await self.stop(claim, person, project_id)
        else:
            rest = (
                "" if said.rest.lower().startswith("prev") else f"--limit {said.rest}" if said.word == "logs" and said.rest else said.rest
            )
            parsed = await self.do(words.parse, f"{said.word} {rest}".strip(), Call(self.services, person), here=project_id)
            # A deploy or a rollback shows in the thread by itself.
            await self.simple(claim, asker, person, parsed, quiet=said.word in ("deploy", "rollback"))

    async def again(self, claim: Claim, asker: Asker, person: Person, project_id: str, prompt_id: str | None = None) -> None:
        """The last prompt once more, or one by name; a project that failed is started again."""

        def do() -> None:
            prompts = self.services.prompts.page(project_id, 1, None).items
            found = self.services.prompts.get(prompt_id) if prompt_id else (prompts[0] if prompts else None)
            self.perform(person, "projects.get", project=project_id)
            if found is None or found.state is PromptState.QUEUED:
                self.perform(person, "projects.start", project=project_id)
                return
            before = self.services.chats.threads.asked_in(found.id)
            resumed = found.state in (PromptState.STOPPED, PromptState.INTERRUPTED)
            text = "Go on where you were." if resumed else found.text
            made: PromptView = self.perform(person, "prompts.add", project=project_id, text=text)
            if before:
                self.services.chats.threads.asked(made.id, before.thread_id, ts=None, external_user=asker.user)

        await self.settle(claim, "again", do)

    async def stop(self, claim: Claim, person: Person, project_id: str) -> None:
        """End the turn that was going on when they asked. Raises Conflict when there is none."""

        def do() -> None:
            self.perform(person, "projects.get", project=project_id)
            active = self.services.prompts.active(project_id)
            if active is None or (active.sent_at or 0) > claim.at:
                raise Conflict("Nothing is running here.", hint="`/doce stop NAME` also stops a project's services.")
            self.perform(person, "agent.stop", project=project_id)

        await self.settle(claim, "stop", do, outside=True)

    async def simple(self, claim: Claim, asker: Asker, person: Person, parsed: words.Parsed, *, quiet: bool = False) -> None:
        """Any other action, answered to who asked, unless it is `quiet`."""
        if parsed.action.name == "projects.list":
            await showing.projects(self, claim, asker, person, "mine")
            return
        if parsed.action.name == "projects.open" and asker.root is None:
            await showing.project(self, claim, asker, person, getattr(parsed.input, "project", ""), parsed.said)
            return
        answer: list[str] = []

        def do() -> None:
            if parsed.action.danger:
                raise BadRequest(
                    f"{parsed.action.words[0]} is asked for with a button here.", hint="It is in the menu of the project's card."
                )
            if parsed.action.name == "productions.deploy" and self._deployed(claim, person, getattr(parsed.input, "project", "")):
                answer.append("It is on its way.")
                return
            answer.append(plain(parsed.action.name, perform(parsed.action, self.services, person, parsed.input)))

        outside = parsed.action.method == "GET" or parsed.action.name in OUTSIDE
        if await self.settle(claim, parsed.action.name, do, outside=outside) and not quiet:
            text = f"{answer[0]} {parsed.said}".strip()
            await asker.tell(text, [blocks.section(_preformatted(text) if "\n" in text else escaped(text))])

    def _deployed(self, claim: Claim, person: Person, project: str) -> bool:
        """This deploy was asked for before doce died: its job is there, or has been done since."""
        if not claim.attempts:
            return False
        found: ProjectView = self.perform(person, "projects.get", project=project)
        return self.services.productions.asked(found.id, person.id, since=claim.at)

    async def act(self, claim: Claim, person: Person, name: str, /, **given: Any) -> None:
        """One action, and the end of the claim."""
        await self.settle(claim, name, lambda: self.perform(person, name, **given), outside=name in OUTSIDE)

    async def seen(self, person: Person, project_id: str, asker: Asker) -> None:
        """Somebody who speaks or clicks in a thread watches its project."""
        viewer = f"slack:{asker.workspace.team}:{asker.user}"
        with contextlib.suppress(DoceError):
            await self.do(self.perform, person, "presence.touch", project=project_id, viewer_id=viewer, door="slack")

    # Settling

    async def settle(self, claim: Claim, outcome: str, work: Callable[[], object] | None = None, *, outside: bool = False) -> bool:
        """`work` and the end of the claim in one transaction; `outside`: one after the other, for what must not hold the database.

        False when it was settled before. Raises what `work` raises, and then it is not settled.
        """
        settled: bool = await self.do(self._settle, claim, outcome, work, outside)
        return settled

    def _go_on(self, claim: Claim, work: Callable[[], object]) -> bool:
        """`work` in one transaction; the claim stays open for what follows. False when it was settled before."""
        with self.services.chats.claims.going_on(claim) as mine:
            if mine:
                work()
        return mine

    def _settle(self, claim: Claim, outcome: str, work: Callable[[], object] | None, outside: bool) -> bool:
        if outside and work is not None:
            work()
            faults.point("slack.acted")
            work = None
        with self.services.chats.claims.settling(claim, outcome) as mine:
            if mine and work is not None:
                work()
            faults.point("slack.settle")
        faults.point("slack.settled")
        return mine

    def perform(self, person: Person, name: str, /, **given: Any) -> Any:
        chosen = ACTIONS[name]
        return perform(chosen, self.services, person, chosen.input(**given))


def _preformatted(text: str) -> str:
    return f"```{escaped(text[:2900])}```"
