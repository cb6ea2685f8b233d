"""Talking to a project's agent: prompts, stop, permissions, questions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from doce.actions.paging import Paging, cut
from doce.actions.projects import PROMPT, Attached, OfProject
from doce.actions.registry import Call, Done, action
from doce.errors import Conflict, DoceError, NotFound
from doce.projects.changes import FileChange, of_turn
from doce.projects.history import History
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import Page, PromptView, View
from doce.settings import machine_path

#: How many of the agent's latest messages are looked at for one that answers a prompt.
ANSWERS = 5


class Chat(OfProject):
    text: str = Field(description="What the agent should do: 1-32,000 characters.", examples=["make it dark"], json_schema_extra=PROMPT)
    model: str | None = Field(None, description="Model for this prompt only.", examples=["rehearsal/site-builder"])
    attachments: list[Attached] = Field([], max_length=5, description="Up to 5 files for the agent.")


class PromptListing(OfProject):
    limit: int = Field(50, ge=1, le=200, description="How many.")
    before: str | None = Field(None, pattern=r"^-?\d{1,15}$", description="Cursor: `next` of the page before.")


class OfPrompt(OfProject):
    prompt: str = Field(max_length=100, description="Id of the prompt.")


class Edit(OfPrompt):
    text: str = Field(description="The new text.", examples=["make it light"], json_schema_extra=PROMPT)


class Stopped(View):
    """What was stopped."""

    #: the turn that was going on, or ``project`` when there was none and the services were stopped
    stopped: Literal["turn", "project"]
    message: str


@action(
    "prompts.add", input=Chat, output=PromptView, role="editor", method="POST", path="/api/projects/{project}/prompts", status=202,
    repeatable=True, words=("chat",), positional=("project", "text"), examples=("chat ceramic-portfolio make it dark",),
)  # fmt: skip
def add(call: Call, given: Chat) -> PromptView:
    """Ask a project's agent for something; prompts are done one after the other."""
    uploads = [attached.upload() for attached in given.attachments]
    return call.services.projects.prompt(call.project.id, call.user.id, given.text, model=given.model, attached=uploads)


@action(
    "prompts.list", input=PromptListing, output=Page[PromptView], role="viewer", method="GET", path="/api/projects/{project}/prompts"
)  # fmt: skip
def list_prompts(call: Call, given: PromptListing) -> Page[PromptView]:
    """List a project's prompts, newest first."""
    return call.services.prompts.page(call.project.id, given.limit, given.before)


def _own(call: Call, prompt_id: str) -> PromptView:
    prompt = call.services.prompts.get(prompt_id)
    if prompt.project_id != call.project.id:
        raise NotFound("There is no such prompt.")
    return prompt


class ChangeListing(OfPrompt, Paging):
    """Of a prompt."""


@action(
    "prompts.changes", input=ChangeListing, output=Page[FileChange], role="viewer",
    method="GET", path="/api/projects/{project}/prompts/{prompt}/changes",
)  # fmt: skip
def changes(call: Call, given: ChangeListing) -> Page[FileChange]:
    """List the files that a turn changed, with their diffs."""
    history = History(call.services.projects.layout(call.project.id), machine_path())
    found = of_turn(history, _own(call, given.prompt), idle=call.project.agent != "working")
    items, following = cut(found, given, lambda one: one.path)
    return Page(items=items, next=following)


@action(
    "prompts.edit", input=Edit, output=PromptView, role="editor", method="PATCH", path="/api/projects/{project}/prompts/{prompt}"
)  # fmt: skip
def edit(call: Call, given: Edit) -> PromptView:
    """Change a prompt that still waits."""
    _own(call, given.prompt)
    return call.services.projects.edit_prompt(given.prompt, given.text)


@action(
    "prompts.remove", input=OfPrompt, output=PromptView, role="editor", method="DELETE", path="/api/projects/{project}/prompts/{prompt}"
)  # fmt: skip
def remove(call: Call, given: OfPrompt) -> PromptView:
    """Take a prompt that still waits out of the queue."""
    _own(call, given.prompt)
    return call.services.prompts.remove(given.prompt)


@action(
    "prompts.sendNow", input=OfPrompt, output=PromptView, role="editor", method="POST",
    path="/api/projects/{project}/prompts/{prompt}/now", status=202,
)  # fmt: skip
def send_now(call: Call, given: OfPrompt) -> PromptView:
    """Let a waiting prompt be the next, and end the step that is going on."""
    _own(call, given.prompt)
    prompt = call.services.prompts.to_front(given.prompt)
    if call.services.prompts.active(call.project.id):
        _abort(call)
    return prompt


@action(
    "agent.stop", input=OfProject, output=Stopped, role="editor", method="POST", path="/api/projects/{project}/stop", status=202,
    words=("stop",), positional=("project",),
)  # fmt: skip
def stop(call: Call, given: OfProject) -> Stopped:
    """Stop the turn that is going on; with none, stop the project."""
    if _abort(call):
        return Stopped(stopped="turn", message=f"Stopping the turn of {call.project.name}. What was done stays.")
    if call.project.status in (ProjectStatus.STOPPED, ProjectStatus.STOPPING):
        raise Conflict(f"Nothing is running in {call.project.name}.")
    call.services.projects.stop(call.project.id, call.user.id)
    return Stopped(stopped="project", message=f"Stopping {call.project.name}. `doce start {call.project.slug}` starts it again.")


def _abort(call: Call) -> PromptView | None:
    """End the running turn: remembered first, so that it also reaches an agent that has only just begun."""
    active = call.services.prompts.active(call.project.id)
    if active is None:
        return None
    call.services.prompts.request_stop(active.id, call.user.id)
    if active.session_id and active.state is PromptState.SENT:
        try:
            agent = call.services.agent(call.project)
            # One that is told to stop while it still gets ready would never be ready: the relay tells it when it answers.
            if any(message.info.parent_id == active.message_id for message in agent.messages(active.session_id, limit=ANSWERS)):
                agent.abort(active.session_id)
        except DoceError:
            # The agent is away: the reconciler ends the turn, and a stop was asked for, so it ends as stopped.
            return active
    return active


class Answer(OfProject):
    request: str = Field(max_length=100, description="Id of the request.")
    reply: Literal["once", "always", "reject"] = Field(description="once, always or reject.")
    message: str | None = Field(None, max_length=2000, description="With reject: what to do instead.")


class QuestionAnswer(OfProject):
    request: str = Field(max_length=100, description="Id of the request.")
    answers: list[list[str]] | None = Field(
        None, max_length=20, description="For each question the chosen labels or own words; none refuses."
    )


class PendingListing(OfProject, Paging):
    """Of a project."""


class Pending(Page[dict[str, Any]]):
    """``chat.permission.requested`` and ``chat.question.requested`` payloads, each with its `type`; oldest first."""


@action("requests.list", input=PendingListing, output=Pending, role="viewer", method="GET", path="/api/projects/{project}/requests")
def pending(call: Call, given: PendingListing) -> Pending:
    """List what the agent waits for: permissions and questions."""
    waiting = call.services.requests.pending(call.project.id)
    items, following = cut([{"type": one.type, **one.wire()} for one in waiting], given, lambda one: str(one["requestId"]))
    return Pending(items=items, next=following)


@action(
    "permissions.answer", input=Answer, output=Done, role="editor", method="POST", path="/api/projects/{project}/permissions/{request}",
    words=("answer",), positional=("project", "request", "reply"),
)  # fmt: skip
def answer_permission(call: Call, given: Answer) -> Done:
    """Allow or refuse what the agent asks for; the first answer wins."""
    call.services.requests.answer_permission(call.project.id, given.request, given.reply, call.user.id, given.message)
    return Done(message={"once": "Allowed once.", "always": "Allowed from now on.", "reject": "Refused."}[given.reply])


@action(
    "questions.answer", input=QuestionAnswer, output=Done, role="editor", method="POST", path="/api/projects/{project}/questions/{request}"
)  # fmt: skip
def answer_question(call: Call, given: QuestionAnswer) -> Done:
    """Answer the agent's questions, or refuse to; the first answer wins."""
    if given.answers is None:
        call.services.requests.reject_question(call.project.id, given.request, call.user.id)
        return Done(message="Refused.")
    call.services.requests.answer_question(call.project.id, given.request, given.answers, call.user.id)
    return Done(message="Answered.")
