"""Every event doce knows, in one file. What is not here is never logged and never sent.

The envelope on the wire is ``{seq, type, projectId, sessionId?, promptId?, time, payload}``; `time` is epoch
milliseconds UTC. Payload fields are camelCase on the wire. Text offsets and lengths count Unicode characters.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Payload(BaseModel):
    """What an event says; `type` is its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
    type: ClassVar[str]

    def wire(self) -> dict[str, Any]:
        """As it is stored and sent: camelCase, absent optionals left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Tokens(BaseModel):
    """Tokens of one model call or turn."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0


class SessionStatus(Payload):
    """What the agent is doing. `retry` carries attempt, message and the time of the next try."""

    type = "chat.session.status"
    status: Literal["busy", "idle", "retry", "awaiting_input", "error"]
    attempt: int | None = None
    message: str | None = None
    next_at: int | None = None


class MessagePartAdded(Payload):
    """A piece of the answer; the joined pieces of a part are its text."""

    type = "chat.message.part.added"
    message_id: str
    part_id: str
    offset: int
    delta_text: str


class MessageFinal(Payload):
    """The whole text of an assistant message that has ended; replaces its pieces, never appends."""

    type = "chat.message.final"
    message_id: str
    text: str
    finish: str | None = None
    error: str | None = None
    tokens: Tokens = Tokens()
    cost: float = 0


class MessageDiscarded(Payload):
    """The text of this part was orphaned by a retry of the model: forget it."""

    type = "chat.message.discarded"
    message_id: str
    part_id: str


class ReasoningPart(Payload):
    """A piece of the agent's reasoning."""

    type = "chat.reasoning.part"
    message_id: str
    part_id: str
    offset: int
    delta_text: str


class ToolStart(Payload):
    """A tool begins; paths in `input` are relative to the workspace."""

    type = "chat.tool.start"
    tool_call_id: str
    name: str
    title: str
    input: dict[str, Any]


class ToolProgress(Payload):
    """Output so far of a tool that is running (whole, not a piece)."""

    type = "chat.tool.progress"
    tool_call_id: str
    output: str


class ToolFinish(Payload):
    """A tool has ended. A shell command that failed ends here too, with `metadata.exit`."""

    type = "chat.tool.finish"
    tool_call_id: str
    name: str
    title: str
    output: str
    metadata: dict[str, Any]


class ToolError(Payload):
    """A tool could not do its work."""

    type = "chat.tool.error"
    tool_call_id: str
    name: str
    error: str


class FileChanged(Payload):
    """A file of the workspace changed; `path` is relative to it."""

    type = "chat.file.changed"
    path: str
    additions: int | None = None
    deletions: int | None = None


class PromptQueued(Payload):
    """A prompt waits for the agent."""

    type = "chat.prompt.queued"
    text: str
    position: int


class PromptEdited(Payload):
    """A waiting prompt was edited or removed (`text` absent)."""

    type = "chat.prompt.edited"
    text: str | None = None


class PromptSent(Payload):
    """The agent has the prompt."""

    type = "chat.prompt.sent"
    message_id: str
    text: str


class PromptCompleted(Payload):
    """The turn has ended well. Duration in ms."""

    type = "chat.prompt.completed"
    duration_ms: int
    files: list[str] = []
    tokens: Tokens = Tokens()
    cost: float = 0


class PromptStopped(Payload):
    """Somebody stopped the turn; what was done stays."""

    type = "chat.prompt.stopped"
    by: str | None = None


class PromptFailed(Payload):
    """The turn ended with an error; what was done stays."""

    type = "chat.prompt.failed"
    error: str
    hint: str | None = None


class PromptInterrupted(Payload):
    """The agent died or was restarted during the turn; the text so far is kept and nothing is resent by itself."""

    type = "chat.prompt.interrupted"
    reason: str
    hint: str | None = None


class SessionError(Payload):
    """The agent reports an error."""

    type = "chat.session.error"
    name: str
    message: str


class SessionTitle(Payload):
    """The session has a new title."""

    type = "chat.session.title"
    title: str


class SessionCompacted(Payload):
    """The agent shortened its memory of the session."""

    type = "chat.session.compacted"


class PermissionRequested(Payload):
    """The agent asks whether it may; blocks the turn until answered or `expires_at`."""

    type = "chat.permission.requested"
    request_id: str
    permission: str
    patterns: list[str]
    title: str
    always: list[str] = []
    tool_call_id: str | None = None
    expires_at: int | None = None


class PermissionResolved(Payload):
    """A permission was answered, or timed out."""

    type = "chat.permission.resolved"
    request_id: str
    reply: Literal["once", "always", "reject", "timeout", "gone"]
    by: str | None = None


class QuestionOption(BaseModel):
    model_config = ConfigDict(frozen=True)
    label: str
    description: str = ""


class QuestionItem(BaseModel):
    """One question; `multiple`: more than one option may be chosen; `custom`: an own answer is welcome."""

    model_config = ConfigDict(frozen=True)
    question: str
    header: str = ""
    options: list[QuestionOption] = []
    multiple: bool = False
    custom: bool = True


class QuestionRequested(Payload):
    """The agent asks; blocks the turn until answered or `expires_at`."""

    type = "chat.question.requested"
    request_id: str
    questions: list[QuestionItem]
    tool_call_id: str | None = None
    expires_at: int | None = None


class QuestionResolved(Payload):
    """A question was answered, refused, or timed out."""

    type = "chat.question.resolved"
    request_id: str
    reply: Literal["answered", "rejected", "timeout", "gone"]
    answers: list[list[str]] = []
    by: str | None = None


class Todo(BaseModel):
    model_config = ConfigDict(frozen=True)
    content: str
    status: str
    priority: str = ""


class TodoUpdated(Payload):
    """The agent's list of tasks, whole."""

    type = "chat.todo.updated"
    todos: list[Todo]


class SubagentStarted(Payload):
    """A tool call runs an agent of its own, in session `child_session_id`."""

    type = "chat.subagent.started"
    child_session_id: str
    title: str
    tool_call_id: str | None = None


class SubagentFinished(Payload):
    """That agent is done."""

    type = "chat.subagent.finished"
    child_session_id: str


class UsageCounted(Payload):
    """Tokens and money of one model call, as the gateway counted them. Cost in US dollars."""

    type = "chat.usage"
    provider: str
    model: str
    tokens: Tokens
    cost: float


class ProjectStatusChanged(Payload):
    """A project is in another state; `step` is what is being done, `error` why it failed."""

    type = "project.status"
    status: str
    step: str | None = None
    preview_url: str | None = None
    error: str | None = None
    hint: str | None = None


class ProjectUpdated(Payload):
    """A project has another name or model."""

    type = "project.updated"
    name: str
    slug: str
    model: str


class ProjectDeleted(Payload):
    """A project is gone; the last event it has."""

    type = "project.deleted"


class JobState(Payload):
    """A job is in another state."""

    type = "job.state"
    job_id: int
    job_type: str
    state: str
    attempts: int
    error: str | None = None


class ProductionStatus(Payload):
    """What deployment is doing, and what is live."""

    type = "production.status"
    status: str
    url: str | None = None
    hash: str | None = None
    error: str | None = None
    #: what is being done now, in words
    step: str | None = None


class ViewerCount(Payload):
    """How many are watching."""

    type = "viewer.count"
    count: int


PAYLOADS: dict[str, type[Payload]] = {payload.type: payload for payload in Payload.__subclasses__()}


def parse(type_: str, payload: dict[str, Any]) -> Payload:
    """The typed payload of a stored or received event. Raises KeyError for a type that is not listed here."""
    return PAYLOADS[type_].model_validate(payload)


def known(type_: str, payload: dict[str, Any]) -> Payload | None:
    """The same for a reader that may be older than what wrote it: None for a type it does not know, new fields left out."""
    found = PAYLOADS.get(type_)
    return found.model_validate(payload, extra="ignore") if found else None
