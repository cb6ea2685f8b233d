"""Buttons: what a click asks is done as if its words had been said, by whoever clicked, if they may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from doce.actions import words
from doce.actions.jobs import visible
from doce.actions.projects import OfProject
from doce.actions.registry import ACTIONS, Call, perform
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.chats.threads import Thread
from doce.errors import BadRequest, Conflict, DoceError, NotFound
from doce.events.vocabulary import QuestionRequested
from doce.logger import mask
from doce_slack import build_logs, heard, saying, showing
from doce_slack.calls import Lost, Refused
from doce_slack.commands import Commands
from doce_slack.conversation import Conversation
from doce_slack.details import full_log, turn_of
from doce_slack.files import upload_text
from doce_slack.home import Home
from doce_slack.places import may_post
from doce_slack.posting import Place
from doce_slack.replies import Asker
from doce_slack.workspaces import KIND, Workspace

#: Lines of a failed deploy's log that the agent gets to mend it.
FIXED_BY = 40
Click = Callable[[Claim, Asker, Person, str], Awaitable[None]]


class Clicks:
    """`click` does one and settles its claim. Values of buttons are ids with colons between them, the project's first."""

    def __init__(self, conversation: Conversation, commands: Commands, home: Home) -> None:
        self._talk, self._commands, self._home = conversation, commands, home
        self._services, self._do = conversation.services, conversation.do
        self._uploading = asyncio.Lock()
        self._known: dict[str, Click] = {
            "stop": self._stop, "deploy": self._deploy, "start": self._start, "again": self._again, "fix": self._fix,
            "allow": self._permit, "always": self._permit, "deny": self._permit, "skip": self._skip, "send_now": self._send_now,
            "unqueue": self._unqueue, "logs": self._say("logs"), "versions": self._say("versions"), "build_log": self._build_log,
            "full_log": self._full_log, "rollback_to": self._rollback_to, "continue": self._continue, "page": self._page,
            "page_first": self._page,
            "mention": self._mention, "set_model": self._prefers("model"), "set_verbosity": self._prefers("verbosity"),
            "set_notices": self._prefers("notifications"),
        }  # fmt: skip

    async def click(self, claim: Claim, workspace: Workspace) -> None:
        """Settles the claim in any case but a line to Slack that broke."""
        body = claim.payload
        name, value = heard.action(body)
        asker = Asker.of(body, workspace)
        try:
            if name.startswith("run"):
                await self._commands.run(claim, asker, value)
                return
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
        reason = await self._do(build_logs.failed, value, FIXED_BY)
        said = "\n".join(reason.lines if reason else [])
        text = f"The deploy failed: {production.error or 'nobody knows why'} Find out why and mend it."
        text += f" The end of its log:\n\n```\n{said[-4000:]}\n```" if said else ""
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

    async def _rollback_to(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, _, version = value.partition(":")
        await self._act(claim, person, "productions.rollback", project=project_id, version=version)

    async def _continue(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        await may_post(asker)
        await self._talk.begin.silently(claim, asker, person, value)

    async def _page(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        which, _, before = value.partition(":")
        await showing.projects(self._talk, claim, asker, person, which, before or None, replace=True)

    # App Home

    def _prefers(self, field: str) -> Click:
        async def change(claim: Claim, asker: Asker, person: Person, value: str) -> None:
            await self._act(claim, person, "account.update", **{field: value})
            self._home.changed(claim.team, asker.user)

        return change

    async def _mention(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        channel, _, on = value.partition(":")
        where = {"kind": KIND, "team": claim.team, "channel": channel}
        await self._talk.act(claim, person, "channels.set", **where, mention="on" if on == "1" else "off")
        self._home.changed(claim.team, asker.user)

    # Logs, put into the thread

    async def _full_log(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, _, prompt_id = value.partition(":")
        place = await self._place(asker, person, project_id, prompt_id)
        prompt = await self._do(self._services.prompts.get, prompt_id)
        if prompt.project_id != place.thread.project_id:
            raise NotFound("There is no such turn.")
        turn = await self._do(turn_of, prompt)
        # Of a turn that goes on there can be more to read later.
        about = f"log:{prompt_id}" if turn.over else f"log:{prompt_id}:{turn.seq}"
        text = await self._do(full_log, turn)
        await self._upload(claim, asker, place, about, "turn.txt", text, "Everything of this turn")

    async def _build_log(self, claim: Claim, asker: Asker, person: Person, value: str) -> None:
        project_id, _, job = value.partition(":")
        place = await self._place(asker, person, project_id)
        if not job.isdigit():
            raise NotFound("This button means nothing any more.", hint="It is from an older message; use the newest one.")
        await self._do(visible, self._services, person, int(job))
        text = await self._do(lambda: mask("\n".join(build_logs.lines(int(job)))))
        await self._upload(claim, asker, place, f"build:{job}", "deploy.txt", text or "It wrote nothing.", "The log of the deploy")

    async def _place(self, asker: Asker, person: Person, project_id: str, prompt_id: str = "") -> Place:
        """The thread that was clicked in, else the one of the turn, else the project's first. Raises NotFound, Forbidden."""

        def find() -> Thread | None:
            threads = self._services.chats.threads
            project = perform(ACTIONS["projects.get"], self._services, person, OfProject(project=project_id))
            here = threads.at(KIND, asker.workspace.team, asker.channel, asker.root) if asker.root else None
            if here is None and prompt_id and (asked := threads.asked_in(prompt_id)):
                here = threads.get(asked.thread_id)
            if here is None or here.project_id != project.id:
                here = next((one for one in threads.of_project(KIND, project.id) if one.team == asker.workspace.team), None)
            return here

        thread = await self._do(find)
        if thread is None or thread.root is None:
            raise NotFound("This project has no thread here to put it into.", hint="`/doce open NAME` begins one.")
        return Place(thread, asker.workspace, self._services.chats.messages, self._do)

    async def _upload(self, claim: Claim, asker: Asker, place: Place, about: str, name: str, text: str, title: str) -> None:
        """Once: a file that is there already is only pointed at."""
        # Two who press at the same time press for one file.
        async with self._uploading:
            await place.open()
            there = place.last(about)
            try:
                await upload_text(place, about, name, text, title)
            except Refused as error:
                raise BadRequest("Slack does not take the file.", hint=f"It says {error.code}; `doce slack check` says more.") from None
        if await self._talk.settle(claim, "log"):
            done = there is not None and there.state == "closed"
            await asker.tell("It is in the thread already." if done else "It is in the thread now.")

    def _say(self, word: str) -> Click:
        async def say(claim: Claim, asker: Asker, person: Person, value: str) -> None:
            parsed = await self._do(words.parse, word, Call(self._services, person), here=value)
            await self._talk.simple(claim, asker, person, parsed)

        return say

    async def _act(self, claim: Claim, person: Person, name: str, **given: object) -> None:
        await self._talk.act(claim, person, name, **given)
