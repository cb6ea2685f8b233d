"""The states of projects and prompts, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class ProjectStatus(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"
    DELETING = "deleting"


#: created → starting → running ⇄ stopping → stopped; error and deleting from any; deleting is final.
PROJECT_TRANSITIONS: dict[ProjectStatus, frozenset[ProjectStatus]] = {
    ProjectStatus.CREATED: frozenset({ProjectStatus.STARTING, ProjectStatus.STOPPING, ProjectStatus.ERROR, ProjectStatus.DELETING}),
    ProjectStatus.STARTING: frozenset({ProjectStatus.RUNNING, ProjectStatus.STOPPING, ProjectStatus.ERROR, ProjectStatus.DELETING}),
    ProjectStatus.RUNNING: frozenset({ProjectStatus.STARTING, ProjectStatus.STOPPING, ProjectStatus.ERROR, ProjectStatus.DELETING}),
    ProjectStatus.STOPPING: frozenset({ProjectStatus.RUNNING, ProjectStatus.STOPPED, ProjectStatus.ERROR, ProjectStatus.DELETING}),
    ProjectStatus.STOPPED: frozenset({ProjectStatus.STARTING, ProjectStatus.ERROR, ProjectStatus.DELETING}),
    ProjectStatus.ERROR: frozenset({ProjectStatus.CREATED, ProjectStatus.STARTING, ProjectStatus.STOPPING, ProjectStatus.DELETING}),
    ProjectStatus.DELETING: frozenset(),
}


class PromptState(StrEnum):
    #: Waits for its turn; may be edited and removed.
    QUEUED = "queued"
    #: Its message id is recorded and the call to the agent is being made.
    SENDING = "sending"
    #: The agent has it.
    SENT = "sent"
    COMPLETED = "completed"
    #: A person stopped it.
    STOPPED = "stopped"
    FAILED = "failed"
    #: The agent died or doce cannot know whether it got it; never resent.
    INTERRUPTED = "interrupted"
    #: Taken out of the queue by a person.
    REMOVED = "removed"


_ENDS = frozenset({PromptState.COMPLETED, PromptState.STOPPED, PromptState.FAILED, PromptState.INTERRUPTED})

PROMPT_TRANSITIONS: dict[PromptState, frozenset[PromptState]] = {
    PromptState.QUEUED: frozenset({PromptState.SENDING, PromptState.REMOVED, PromptState.FAILED}),
    PromptState.SENDING: frozenset({PromptState.SENT}) | _ENDS,
    PromptState.SENT: _ENDS,
    **{end: frozenset() for end in (*_ENDS, PromptState.REMOVED)},
}

#: The agent may be working on it.
ACTIVE = (PromptState.SENDING, PromptState.SENT)
