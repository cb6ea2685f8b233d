"""What OpenCode answers, typed as far as doce uses it; what else it says is ignored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A value that OpenCode gave."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Health(Answer):
    """The server is up."""

    healthy: bool
    version: str = ""


class Times(Answer):
    """Epoch milliseconds. `completed` is absent while an answer is being written, and for ever when the agent died."""

    created: int | None = None
    updated: int | None = None
    completed: int | None = None


class Session(Answer):
    """A conversation; a sub-agent's has a parent."""

    id: str
    title: str = ""
    parent_id: str | None = Field(None, alias="parentID")
    directory: str = ""
    time: Times = Times()


class ErrorInfo(Answer):
    """Why a message ended badly."""

    name: str
    data: dict[str, Any] = {}


class MessageInfo(Answer):
    """The head of a message. Assistant messages name the user message they answer as `parent_id`."""

    id: str
    session_id: str = Field(alias="sessionID")
    role: Literal["user", "assistant"]
    parent_id: str | None = Field(None, alias="parentID")
    time: Times = Times()
    finish: str | None = None
    error: ErrorInfo | None = None
    cost: float = 0


class Part(Answer):
    """A piece of a message. The text of one that is still being written is empty here."""

    id: str
    type: str
    text: str | None = None


class Message(Answer):
    """A message and its parts."""

    info: MessageInfo
    parts: list[Part] = []


class Status(Answer):
    """What a session does; `next` is the time of the next try (epoch ms)."""

    type: Literal["busy", "idle", "retry"]
    attempt: int | None = None
    message: str | None = None
    next: int | None = None


class ToolCall(Answer):
    """The call that a request is about."""

    message_id: str = Field("", alias="messageID")
    call_id: str = Field("", alias="callID")


class Permission(Answer):
    """A permission that waits for an answer."""

    id: str
    session_id: str = Field(alias="sessionID")
    permission: str
    patterns: list[str] = []
    always: list[str] = []
    tool: ToolCall | None = None


class Question(Answer):
    """Questions that wait for an answer."""

    id: str
    session_id: str = Field(alias="sessionID")
    questions: list[dict[str, Any]] = []
    tool: ToolCall | None = None


class PromptFile(BaseModel):
    """A file sent with a prompt; `url` is a data: or file:// address."""

    model_config = ConfigDict(frozen=True)
    name: str
    mime: str
    url: str
