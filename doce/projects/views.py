"""What is shown of projects and prompts: values, camelCase on the wire, computed where that can be."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from doce.projects.status import ProjectStatus, PromptState


class View(BaseModel):
    """Something the API answers."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class UsageView(View):
    """Tokens and US dollars, summed."""

    input: int = 0
    output: int = 0
    cost: float = 0


class ProjectView(View):
    """A project. Times are epoch ms."""

    id: str
    owner_user_id: str
    name: str
    slug: str
    description: str
    prompt: str
    template: str
    status: ProjectStatus
    #: what the pipeline is doing, while it does
    step: str | None
    error: str | None
    error_hint: str | None
    #: ``provider/model``
    model: str
    preview_port: int | None
    opencode_port: int | None
    #: address of the live preview, when it runs
    preview_url: str | None
    path: str
    bootstrap_session_id: str | None
    stopped_by_user: bool
    last_viewed_at: int | None
    created_at: int
    updated_at: int
    #: the first prompt has been handed to the agent
    initial_prompt_sent: bool
    #: OpenCode's id of the first prompt's message
    user_prompt_message_id: str | None
    user_prompt_completed: bool
    #: what the agent is doing: ``working`` or ``idle``
    agent: str
    queued_prompts: int
    usage: UsageView


class AttachmentView(View):
    """A file that came with a prompt. `size` in bytes."""

    id: str
    name: str
    mime: str
    size: int


class PromptView(View):
    """A prompt. Times are epoch ms; `position` orders the queue.

    `seq` is the number of the event that told of it: its whole turn is in the log from there on.
    """

    id: str
    project_id: str
    user_id: str | None
    session_id: str | None
    text: str
    model: str | None
    state: PromptState
    position: int
    seq: int
    message_id: str | None
    error: str | None
    stopped_by: str | None
    created_at: int
    sent_at: int | None
    finished_at: int | None
    #: where prompts are looked at; work with them needs no list of their files
    attachments: list[AttachmentView] = []


Item = TypeVar("Item")


class Page(View, Generic[Item]):
    """Part of a list; `next` is the cursor of the part that follows, None at the end."""

    items: list[Item]
    next: str | None = None
