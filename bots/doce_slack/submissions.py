"""Dialogs, filled in: looked at before Slack closes them, so that what is wrong is said beside its field; then done, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from doce.actions.projects import Create
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.errors import BadRequest, DoceError
from doce.events.vocabulary import QuestionRequested
from doce.projects import templates
from doce.projects.lifecycle import checked_name
from doce.projects.prompts import checked_text
from doce_slack import blocks, forms, places
from doce_slack.attachments import Taken, fetch
from doce_slack.calls import Lost
from doce_slack.context import UNTRUSTED
from doce_slack.conversation import Conversation
from doce_slack.forms import HERE, NEW, About
from doce_slack.modals import Modals
from doce_slack.replies import Asker, quoted
from doce_slack.text import escaped
from doce_slack.workspaces import KIND, Workspace

#: A look at what is wrong, and one whether a channel takes posts, must not keep Slack waiting for longer, seconds.
LOOK_S = 1.2
Given = dict[str, Any]
Look = Callable[[Person, About, Given], dict[str, str] | None]
Perform = Callable[[Claim, Asker, Person, About, Given], Awaitable[None]]
#: What each dialog asks may be done by whoever may do this.
ACTION_OF = {
    "answer": "questions.answer", "deny": "permissions.answer", "rollback": "productions.rollback", "rename": "projects.rename",
    "model": "projects.updateModel", "delete": "projects.delete",
}  # fmt: skip


class Submissions:
    """`check` says what is wrong; `submit` does what one asks, and settles its claim."""

    def __init__(self, conversation: Conversation, modals: Modals) -> None:
        self._talk, self._modals = conversation, modals
        self._services, self._do = conversation.services, conversation.do
        self._looks: dict[str, Look] = {
            "create": self._look_create, "answer": self._look_answer, "deny": self._look_deny, "rollback": self._look_rollback,
            "rename": lambda person, about, given: tried({}, "name", checked_name, given.get("name", "")),
            "model": lambda person, about, given: tried({}, "model", self._services.projects.checked_model, given.get("model", "")),
            "delete": self._look_delete, "send": self._look_send,
        }  # fmt: skip
        self._performs: dict[str, Perform] = {
            "create": self._create, "answer": self._answer, "deny": self._deny, "rollback": self._rollback, "rename": self._rename,
            "model": self._model, "delete": self._delete, "send": self._send,
        }  # fmt: skip

    async def check(self, body: dict[str, Any], workspace: Workspace) -> dict[str, str]:
        """Field → what is wrong with it; nothing is done if there is any."""
        view = body["view"]
        name, about, given = _name(view), About.of(view), forms.filled(view)
        fields = forms.inputs(view)
        if name not in self._looks or not fields:
            return {}
        asker = Asker.of(body, workspace)
        try:
            person, _ = await self._talk.people.acting(workspace.team, asker.user, asker.channel)
            async with asyncio.timeout(LOOK_S):
                wrong: dict[str, str] = await self._do(self._look, name, person, about, given)
            if name == "create" and not wrong:
                wrong = await self._look_place(asker, about, given)
        except TimeoutError:
            # A provider that is asked for its models, say: what is wrong is told afterwards.
            return {}
        except DoceError as error:
            wrong = {fields[0]: str(error)}
        return {known if known in fields else fields[0]: text[:2000] for known, text in wrong.items()}

    async def _look_place(self, asker: Asker, about: About, given: Given) -> dict[str, str]:
        """Whether doce may speak where it should, as far as Slack says so in time."""
        place = _place(about, given)
        try:
            async with asyncio.timeout(LOOK_S):
                if place:
                    await places.may_post(Asker(asker.workspace, place, asker.user))
        except (TimeoutError, Lost):
            return {}
        except BadRequest as error:
            return {"place" if given.get("place") else "where": str(error)}
        return {}

    def _look(self, name: str, person: Person, about: About, given: Given) -> dict[str, str]:
        if name in ACTION_OF:
            self._modals.allowed(person, ACTION_OF[name], about.project)
        return self._looks[name](person, about, given) or {}

    async def submit(self, claim: Claim, workspace: Workspace) -> None:
        """Settles the claim in any case but a line to Slack that broke."""
        view = claim.payload["view"]
        name, about, given = _name(view), About.of(view), forms.filled(view)
        asker = Asker.of(claim.payload, workspace)
        try:
            person, _ = await self._talk.people.acting(claim.team, asker.user, asker.channel)
            if name not in self._performs:
                raise BadRequest("This dialog is from an older doce.", hint="Open it again.")
            await self._performs[name](claim, asker, person, about, given)
        except Lost:
            raise
        except DoceError as error:
            if await self._talk.settle(claim, error.code):
                written = given.get("prompt") or given.get("text") or ""
                await asker.error(error, [blocks.context(quoted(written))] if written else None)

    # What can be wrong

    def _look_create(self, person: Person, about: About, given: Given) -> dict[str, str]:
        wrong = tried({}, "prompt", checked_text, given.get("prompt", ""))
        if "name" in given:
            tried(wrong, "name", checked_name, given["name"])
        if "template" in given:
            tried(wrong, "template", templates.get, given["template"])
        if "model" in given:
            tried(wrong, "model", self._services.projects.checked_model, given["model"])
        return wrong

    def _look_answer(self, person: Person, about: About, given: Given) -> dict[str, str]:
        asked = self._modals.waiting(about.project, about.about)
        assert isinstance(asked, QuestionRequested)
        return forms.answers(asked, given)[1]

    def _look_deny(self, person: Person, about: About, given: Given) -> None:
        self._modals.waiting(about.project, about.about)

    def _look_rollback(self, person: Person, about: About, given: Given) -> dict[str, str]:
        wrong = tried({}, "version", self._services.productions.releases.find, about.project, str(given.get("version", "")))
        production = self._services.productions.view(about.project)
        if production.url and given.get("version") == f"v{production.version}":
            wrong["version"] = f"v{production.version} is online already. Choose another one."
        return wrong

    def _look_delete(self, person: Person, about: About, given: Given) -> dict[str, str]:
        project = self._services.projects.get(about.project)
        typed = str(given.get("name", "")).lower()
        return {} if typed in (project.slug, project.name.lower()) else {"name": f"Type {project.slug}, as it stands here."}

    def _look_send(self, person: Person, about: About, given: Given) -> dict[str, str]:
        if (project := given.get("project")) != NEW:
            self._modals.allowed(person, "prompts.add", str(project))
        return tried({}, "prompt", checked_text, _with_quotation(given, ""))

    # What is done

    async def _create(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        place = _place(about, given)
        if place:
            await places.may_post(Asker(asker.workspace, place, asker.user))
        else:
            place = await places.direct(asker.workspace, asker.user)
        wanted = Create(
            prompt=given["prompt"], name=given.get("name"), template=given.get("template"), model=given.get("model"), attachments=[]
        )
        await self._talk.begin.project(claim, Asker(asker.workspace, place, asker.user), person, wanted, root=None, ts=None)

    async def _answer(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        asked = await self._do(self._modals.waiting, about.project, about.about)
        answers, _ = forms.answers(asked, given)
        await self._talk.act(claim, person, "questions.answer", project=about.project, request=about.about, answers=answers)

    async def _deny(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        wish = {"project": about.project, "request": about.about, "reply": "reject", "message": given.get("text")}
        await self._talk.act(claim, person, "permissions.answer", **wish)

    async def _rollback(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        await self._talk.act(claim, person, "productions.rollback", project=about.project, version=given["version"])

    async def _rename(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        await self._talk.act(claim, person, "projects.rename", project=about.project, name=given["name"])
        await asker.tell(f"It is called *{escaped(given['name'])}* now.")

    async def _model(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        await self._talk.act(claim, person, "projects.updateModel", project=about.project, model=given["model"])
        await asker.tell(f"`{escaped(given['model'])}` is used from the next message on.")

    async def _delete(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        name = (await self._do(self._modals.allowed, person, "projects.delete", about.project)).name
        await self._talk.act(claim, person, "projects.delete", project=about.project)
        await asker.tell(f"*{escaped(name)}* is being deleted.")

    async def _send(self, claim: Claim, asker: Asker, person: Person, about: About, given: Given) -> None:
        """To the thread of the message where doce may speak there, else directly."""
        author = await self._talk.people.name(asker.workspace, about.user) if about.user else "an app"
        text = _with_quotation(given, author)
        taken = await self._files(asker.workspace, about)
        project, root, place = str(given["project"]), about.root, about.channel
        try:
            await places.may_post(Asker(asker.workspace, place, asker.user))
        except BadRequest:
            place, root = await places.direct(asker.workspace, asker.user), None
        there = await self._do(self._services.chats.threads.at, KIND, claim.team, place, root) if root else None
        at = Asker(asker.workspace, place, asker.user, root)
        if there is not None and there.project_id == project and there.closed_at is None:
            await self._talk.prompt(claim, at, person, there, text, taken.attached, ts=None)
        else:
            root = None if there is not None else root
            if project == NEW:
                wanted = Create(prompt=text, name=None, template=None, model=None, attachments=taken.attached)
                await self._talk.begin.project(claim, at, person, wanted, root=root, ts=None)
            else:
                await self._talk.begin.chat(claim, at, person, project, text, taken.attached, root=root, ts=None)
        await self._talk.tell_skipped(at, taken)

    async def _files(self, workspace: Workspace, about: About) -> Taken:
        found = []
        for id in about.files:
            answer = await workspace.attempt("files.info", fine=("file_not_found",), file=id)
            found.append((answer or {}).get("file") or {"name": f"file {id}"})
        return await fetch(workspace, found)


def tried(wrong: dict[str, str], field: str, look: Callable[..., object], *given: object) -> dict[str, str]:
    """`wrong`, with what `look` says of a field."""
    try:
        look(*given)
    except DoceError as error:
        wrong[field] = str(error)
    return wrong


def _name(view: dict[str, Any]) -> str:
    return str(view.get("callback_id", "")).removeprefix("doce:")


def _place(about: About, given: Given) -> str:
    """The channel that was chosen; none: directly."""
    return about.channel if given.get("where") == HERE else str(given.get("place") or "")


def _with_quotation(given: Given, author: str) -> str:
    said = str(given.get("quoted") or "")
    if not said:
        return str(given.get("prompt", ""))
    lines = f"{author}: {said}".replace("\n", "\n> ")
    return f"{given.get('prompt', '')}\n\n{UNTRUSTED}\n> {lines}"
