"""Buttons: what a click asks is done as if its words had been said, by whoever clicked, if they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from doce.actions import words
from doce.actions.registry import Call
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.errors import Conflict, DoceError, NotFound
from doce.events.vocabulary import QuestionRequested
from doce_slack import heard, saying
from doce_slack.calls import Lost
from doce_slack.conversation import Conversation
from doce_slack.replies import Asker
from doce_slack.workspaces import Workspace

Click = Callable[[Claim, Asker, Person, str], Awaitable[None]]


class Clicks:
    """`click` does one and settles its claim. Values of buttons are ids with colons between them, the project's first."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._services, self._do = conversation.services, conversation.do
        self._known: dict[str, Click] = {
            "stop": self._stop, "deploy": self._deploy, "start": self._start, "again": self._again, "fix": self._fix,
            "allow": self._permit, "always": self._permit, "deny": self._permit, "skip": self._skip, "send_now": self._send_now,
            "unqueue": self._unqueue, "logs": self._say("logs"), "versions": self._say("versions"), "build_log": self._say("logs"),
        }  # fmt: skip

    async def click(self, claim: Claim, workspace: Workspace) -> None:
        """Settles the claim in any case but a line to Slack that broke."""
        body = claim.payload
        name, value = heard.action(body)
        asker = Asker.of(body, workspace)
        try:
            person, _ = await self._talk.people.acting(claim.team, asker.user, asker.channel)
            if name.startswith("choose"):
                await self._choose(claim, asker, person, value)
            elif name in self._known:
                await self._known[name](claim, asker, person, value)
            else:
                raise NotFound("This button means nothing any more.", hint="It is from an older message; use the newest one.")
            await self._talk.seen(person, value.partition(":")[0], asker)
        except Lost:
            raise
        except DoceError as error:
            if await self._talk.settle(claim, error.code):
                await asker.error(error)

    async def _stop(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, _, prompt_id = value.partition(":")
        if prompt_id:
            active = await self._do(self._services.prompts.active, project_id)
            if active and active.id != prompt_id:
                raise Conflict("That button is from an older turn.", hint="The newest message has the one that counts.")
        await self._talk.stop(claim, person, project_id)

    async def _deploy(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        await self._talk.command(claim, asker, person, value, saying.Saying("deploy"))

    async def _start(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        await self._act(claim, person, "projects.start", project=value)

    async def _again(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, _, prompt_id = value.partition(":")
        await self._talk.again(claim, asker, person, project_id, prompt_id)

    async def _fix(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        production = await self._do(self._services.productions.view, value)
        text = f"The deploy failed. Find out why and mend it. What the build said:\n\n{production.error or 'nothing'}"
        await self._act(claim, person, "prompts.add", project=value, text=text)

    async def _permit(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, request_id, reply = value.split(":")
        await self._act(claim, person, "permissions.answer", project=project_id, request=request_id, reply=reply)

    async def _skip(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, request_id = value.split(":")
        await self._act(claim, person, "questions.answer", project=project_id, request=request_id, answers=None)

    async def _choose(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, request_id, number = value.split(":")
        waiting = await self._do(self._services.requests.pending, project_id)
        asked = next((one for one in waiting if isinstance(one, QuestionRequested) and one.request_id == request_id), None)
        if asked is None:
            raise Conflict("This was already answered.")
        label = asked.questions[0].options[int(number)].label
        await self._act(claim, person, "questions.answer", project=project_id, request=request_id, answers=[[label]])

    async def _send_now(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, prompt_id = value.split(":")
        await self._act(claim, person, "prompts.sendNow", project=project_id, prompt=prompt_id)
        await asker.tell("It is next.", replace=True)

    async def _unqueue(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, prompt_id = value.split(":")
        await self._act(claim, person, "prompts.remove", project=project_id, prompt=prompt_id)
        await asker.tell("Taken out of the queue.", replace=True)

    def _say(self, word: str) -> Click:
        async def say(claim: Claim, asker: Asker, person: Person, value: str) -> None:
            parsed = await self._do(words.parse, word, Call(self._services, person), here=value)
            await self._talk.simple(claim, asker, person, parsed)

        return say

    async def _act(self, claim: Claim, person: Person, name: str, **given: object) -> None:
        await self._talk.act(claim, person, name, **given)
