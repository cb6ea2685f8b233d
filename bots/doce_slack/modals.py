"""Dialogs, opened: within the three seconds that Slack gives a click, and only for those who may do what they are for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from doce.actions.projects import OfProject
from doce.actions.registry import ACTIONS, admit
from doce.auth.users import Person
from doce.chats.threads import Thread
from doce.errors import Conflict, DoceError, NotFound
from doce.events.vocabulary import PermissionRequested, QuestionRequested
from doce.projects import templates
from doce.projects.views import ProjectView
from doce_slack import details, forms, heard
from doce_slack.calls import Lost, Refused
from doce_slack.conversation import Conversation
from doce_slack.forms import MANY, NEW, About, Choices
from doce_slack.models import Models
from doce_slack.replies import Asker
from doce_slack.versions import version_at
from doce_slack.workspaces import KIND, Workspace

logger = logging.getLogger(__name__)

#: What does the same as a dialog that could not be opened any more.
WORDS = {
    "new": "`/doce new` and what it should be", "other": "your answer, as a reply in the thread",
    "deny_say": "what it should do instead, as a reply, after pressing Deny", "details": "`logs` in the thread",
    "rollback": "`rollback v2` in the thread, or `/doce rollback NAME v2`", "rename": "`/doce rename NAME NEW-NAME`",
    "model": "`/doce model NAME provider/model`", "delete": "choose it in the menu once more",
    "send": "mention me in the message's thread, with what I should do",
}  # fmt: skip
#: Longest that a dialog waits for lists of models, seconds.
LOOK_S = 1.2
Make = Callable[[Person, About, str], dict[str, Any]]


class Modals:
    """`press`, `shortcut` and `create` open one."""

    def __init__(self, conversation: Conversation, models: Models) -> None:
        self._talk, self._models = conversation, models
        self._services, self._do = conversation.services, conversation.do
        self._makes: dict[str, Make] = {
            "new": self._new, "other": self._answer, "deny_say": self._deny, "details": self._details, "rollback": self._rollback,
            "rename": self._rename, "model": self._model, "delete": self._delete,
        }  # fmt: skip

    async def press(self, body: dict[str, Any], workspace: Workspace) -> None:
        """A button, or what was chosen in a menu."""
        name, value = heard.action(body)
        asker = Asker.of(body, workspace)
        about = About(channel=asker.channel, root=asker.root)
        await self._open(asker, str(body.get("trigger_id")), name, lambda person: self._makes[name](person, about, value))

    async def shortcut(self, body: dict[str, Any], workspace: Workspace) -> None:
        """From the menu of a message, or from everywhere."""
        name = str(body["callback_id"]).removeprefix("doce:")
        asker = Asker.of(body, workspace)
        if name == "send":
            author = str((body.get("message") or {}).get("user") or "")
            known = await self._talk.people.name(workspace, author) if author else "an app"

        def make(person: Person) -> dict[str, Any]:
            if name == "new":
                return self._new(person, About(), "")
            if name == "send":
                return self._send(person, asker, body, known)
            return self._back_to(person, asker, body)

        await self._open(asker, str(body.get("trigger_id")), name, make)

    async def create(self, asker: Asker, person: Person, trigger: str, name: str = "") -> bool:
        """The dialog for a new site, in answer to a command. False when it cannot be opened any more."""
        await self._models.look_up(person, LOOK_S)
        view = await self._do(self._new, person, About(channel=asker.channel), name)
        return await self._show(asker, trigger, view)

    async def _open(self, asker: Asker, trigger: str, name: str, make: Callable[[Person], dict[str, Any]]) -> None:
        try:
            person, _ = await self._talk.people.acting(asker.workspace.team, asker.user, asker.channel)
            if name in ("new", "model"):
                await self._models.look_up(person, LOOK_S)
            view = await self._do(make, person)
            if not await self._show(asker, trigger, view):
                await asker.tell(f"Slack could not open the dialog any more. Press again, or write: {WORDS.get(name, 'it in the thread')}.")
        except DoceError as error:
            await asker.error(error)

    async def _show(self, asker: Asker, trigger: str, view: dict[str, Any]) -> bool:
        try:
            await asker.workspace.call("views.open", trigger_id=trigger, view=view, urgent=True)
        except (Refused, Lost) as error:
            logger.info("a dialog could not be opened: %s", error, extra={"answer": getattr(error, "answer", None)})
            return False
        return True

    # What each one shows. Raises what its action would raise for this person.

    def allowed(self, person: Person, action: str, project_id: str) -> ProjectView:
        """The project, if this person may do `action` with it. Raises NotFound, Forbidden."""
        return admit(ACTIONS[action], self._services, person, OfProject(project=project_id)).project

    def _new(self, person: Person, about: About, name: str) -> dict[str, Any]:
        starters = [(one.name, f"{one.name}: {one.description}") for one in templates.all_templates()]
        return forms.create(about, Choices(starters, self._services.projects.default_template()), self._models.choices(person), name=name)

    def _answer(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project_id, _, request_id = value.partition(":")
        project = self.allowed(person, "questions.answer", project_id)
        asked = self.waiting(project.id, request_id)
        assert isinstance(asked, QuestionRequested)
        return forms.answer(_on(about, project, request_id), asked)

    def _deny(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project_id, _, request_id = value.partition(":")
        project = self.allowed(person, "permissions.answer", project_id)
        asked = self.waiting(project.id, request_id)
        assert isinstance(asked, PermissionRequested)
        return forms.deny(_on(about, project, request_id), asked)

    def waiting(self, project_id: str, request_id: str) -> PermissionRequested | QuestionRequested:
        """What the agent asked, while it waits. Raises Conflict."""
        found = next((one for one in self._services.requests.pending(project_id) if one.request_id == request_id), None)
        if found is None:
            raise Conflict("This was already answered.", hint="The message in the thread says by whom.")
        return found

    def _details(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project_id, _, prompt_id = value.partition(":")
        project = self.allowed(person, "projects.get", project_id)
        prompt = self._services.prompts.get(prompt_id)
        if prompt.project_id != project.id:
            raise NotFound("There is no such turn.")
        return details.details(_on(about, project, prompt_id), details.turn_of(prompt))

    def _rollback(self, person: Person, about: About, value: str, chosen: str = "") -> dict[str, Any]:
        project = self.allowed(person, "productions.rollback", value)
        production = self._services.productions.view(project.id)
        live = production.url is not None
        if not [one for one in production.releases if not one.pruned and not (one.current and live)]:
            raise Conflict(f"{project.name} has no other version.", hint="Each deploy of something new makes one.")
        now = self._services.clock.now_ms()
        return forms.rollback(_on(about, project), project, production.releases, live=live, now=now, chosen=chosen)

    def _rename(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project = self.allowed(person, "projects.rename", value)
        return forms.rename(_on(about, project), project)

    def _model(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project = self.allowed(person, "projects.updateModel", value)
        return forms.model(_on(about, project), project, self._models.choices(person, project.model))

    def _delete(self, person: Person, about: About, value: str) -> dict[str, Any]:
        project = self.allowed(person, "projects.delete", value)
        return forms.delete(_on(about, project), project)

    # Shortcuts of messages

    def _send(self, person: Person, asker: Asker, body: dict[str, Any], author: str) -> dict[str, Any]:
        message = body.get("message") or {}
        here = self._thread(asker)
        rules = self._services.chats.channels.rules(KIND, asker.workspace.team, asker.channel)
        mine = self._services.projects.list(person.id, limit=MANY - 1).items
        options = [(NEW, "A new site"), *((one.id, one.name) for one in mine)]
        default = here.project_id if here else rules.project_id
        choices = Choices(options, default if default in {value for value, _ in options} else NEW)
        files = tuple(str(one["id"]) for one in message.get("files", []) if one.get("id"))[:5]
        about = About(
            channel=asker.channel, root=asker.root, about=str(message.get("ts", "")), user=str(message.get("user", "")), files=files
        )
        text = heard.spoken(str(message.get("text") or ""), bot_user="")
        return forms.send(about, choices, author=author, text=text[:3000])

    def _thread(self, asker: Asker) -> Thread | None:
        return self._services.chats.threads.at(KIND, asker.workspace.team, asker.channel, asker.root or "")

    def _back_to(self, person: Person, asker: Asker, body: dict[str, Any]) -> dict[str, Any]:
        """The version that a message is about: of a deploy what it put online, of a turn what was deployed after it."""
        ts = str(body.get("message_ts") or (body.get("message") or {}).get("ts"))
        found = self._services.chats.messages.find(KIND, asker.workspace.team, asker.channel, ts)
        thread = self._services.chats.threads.get(found.thread_id) if found else None
        if found is None or thread is None:
            raise NotFound("That message is no turn and no deploy of mine.", hint="Choose it on one of those.")
        project = self.allowed(person, "productions.rollback", thread.project_id)
        version = version_at(self._services, project.id, found.about)
        if version is None:
            raise Conflict(
                "What was made there was never deployed by itself, so there is no version to go back to.",
                hint="`rollback` in the thread shows the versions there are; or say what to change back.",
            )
        return self._rollback(person, About(channel=asker.channel, root=asker.root), project.id, f"v{version}")

    # Long lists

    async def suggest(self, body: dict[str, Any], workspace: Workspace) -> list[dict[str, Any]]:
        """Models with the letters that somebody typed into a list of too many."""
        person = await self._talk.people.who(workspace.team, str(body["user"]["id"]))
        if person is None:
            return []
        await self._models.look_up(person, LOOK_S)
        wanted = str(body.get("value") or "").lower()
        choices: Choices = await self._do(self._models.choices, person)
        return [one for one in choices.blocks() if wanted in one["value"].lower() or wanted in one["text"]["text"].lower()][:MANY]


def _on(about: About, project: ProjectView, id: str = "") -> About:
    return About(channel=about.channel, root=about.root, project=project.id, about=id)
