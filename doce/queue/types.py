"""What a job is: its types and their payloads, its states and which may follow which, and the job itself as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from doce.errors import BadRequest


class JobType(StrEnum):
    """Everything the queue can do."""

    PROJECT_CREATE = "project.create"
    PROJECT_DELETE = "project.delete"
    PROJECTS_DELETE_ALL_FOR_USER = "projects.deleteAllForUser"
    DOCKER_COMPOSE_UP = "docker.composeUp"
    DOCKER_WAIT_READY = "docker.waitReady"
    DOCKER_ENSURE_RUNNING = "docker.ensureRunning"
    DOCKER_STOP = "docker.stop"
    OPENCODE_SESSION_CREATE = "opencode.sessionCreate"
    OPENCODE_SEND_USER_PROMPT = "opencode.sendUserPrompt"
    PRODUCTION_BUILD = "production.build"
    PRODUCTION_START = "production.start"
    PRODUCTION_WAIT_READY = "production.waitReady"
    PRODUCTION_STOP = "production.stop"
    PRODUCTION_ROLLBACK = "production.rollback"


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Nothing follows."""
        return not TRANSITIONS[self]


#: Which state may follow which. Running goes back to queued by a retry, a reschedule, a stop or a lost worker.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class JobPayload(BaseModel):
    """What a job of `type` has to know; camelCase where it is stored. Small: ids and choices, never contents of files."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
    type: ClassVar[JobType]

    def wire(self) -> str:
        """As it is stored: JSON, camelCase."""
        return self.model_dump_json(by_alias=True)

    def dedupe_key(self) -> str:
        """At most one active job has this key."""
        return f"{self.type.value}:{self.subject()}"

    def subject(self) -> str:
        """The id of what the job is about."""
        raise NotImplementedError


class ProjectPayload(JobPayload):
    """A job about one project; at most one of those runs at a time."""

    project_id: str

    def subject(self) -> str:
        return self.project_id


class ProjectCreate(ProjectPayload):
    type = JobType.PROJECT_CREATE
    prompt: str
    template: str
    model: str | None = None
    attachment_ids: tuple[str, ...] = ()


class ProjectDelete(ProjectPayload):
    type = JobType.PROJECT_DELETE
    requested_by: str


class ProjectsDeleteAllForUser(JobPayload):
    type = JobType.PROJECTS_DELETE_ALL_FOR_USER
    user_id: str

    def subject(self) -> str:
        return self.user_id


class DockerComposeUp(ProjectPayload):
    type = JobType.DOCKER_COMPOSE_UP
    reason: Literal["bootstrap", "presence", "user"]
    preserve_production: bool = True


class DockerWaitReady(ProjectPayload):
    type = JobType.DOCKER_WAIT_READY
    #: epoch ms: what the give-up time is counted from
    started_at: int


class DockerEnsureRunning(ProjectPayload):
    type = JobType.DOCKER_ENSURE_RUNNING
    reason: Literal["bootstrap", "presence", "user"]
    #: Only these of a project that runs, which stays running meanwhile; none: all of it.
    services: tuple[str, ...] = ()


class DockerStop(ProjectPayload):
    type = JobType.DOCKER_STOP
    reason: Literal["idle", "user"]


class OpencodeSessionCreate(ProjectPayload):
    type = JobType.OPENCODE_SESSION_CREATE


class OpencodeSendUserPrompt(ProjectPayload):
    """Sends the oldest queued prompt of the project, so that no retry or dedupe can reorder or drop one."""

    type = JobType.OPENCODE_SEND_USER_PROMPT


class ProductionBuild(ProjectPayload):
    type = JobType.PRODUCTION_BUILD
    requested_by: str
    #: commit of doce's own history that is built
    snapshot: str


class ReleasePayload(ProjectPayload):
    """A job about one release: while the last one still lets its old visitors go, the next is on its way."""

    production_hash: str

    def subject(self) -> str:
        return f"{self.project_id}:{self.production_hash}"


class ProductionStart(ReleasePayload):
    type = JobType.PRODUCTION_START


class ProductionWaitReady(ReleasePayload):
    type = JobType.PRODUCTION_WAIT_READY
    #: epoch ms: what the give-up time is counted from
    started_at: int


class ProductionStop(ProjectPayload):
    type = JobType.PRODUCTION_STOP


class ProductionRollback(ReleasePayload):
    type = JobType.PRODUCTION_ROLLBACK


def _leaves(kind: type[JobPayload]) -> list[type[JobPayload]]:
    return [leaf for below in kind.__subclasses__() for leaf in _leaves(below)] or [kind]


PAYLOADS: dict[JobType, type[JobPayload]] = {payload.type: payload for payload in _leaves(JobPayload)}


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the queue, as it was when it was read. The order of the fields is the order of the columns."""

    #: Counts up; breaks ties of order, and never comes back.
    id: int
    #: One of `JobType`, or what somebody else wrote there.
    type: str
    #: Where it is in its life.
    state: JobState
    #: The project it is about; at most one job of a project runs.
    project_id: str | None
    #: Who caused it.
    user_id: str | None
    #: JSON as stored; `understand` makes it a value.
    payload: str
    #: Higher goes first.
    priority: int
    #: Times it was begun and not given back; counted at the claim, so that a killed worker counts too.
    attempts: int
    #: After this many, an error is final.
    max_attempts: int
    #: Times it asked to be looked at again later since it was last begun afresh.
    polls: int
    #: Epoch ms before which nobody may begin it.
    run_at: int
    #: ``host:pid:start of process:claim``, while it runs.
    locked_by: str | None
    #: Epoch ms until when its worker is believed alive without a sign.
    lease_expires_at: int | None
    #: No other queued or running job may have the same.
    dedupe_key: str | None
    #: Epoch ms when somebody asked a running job to end.
    cancel_requested_at: int | None
    #: What went wrong last, one sentence for a person.
    last_error: str | None
    #: Epoch ms.
    created_at: int
    #: Epoch ms of the last change of state.
    updated_at: int
    #: Epoch ms when it was begun (the first look of a job that polls).
    started_at: int | None
    #: Epoch ms when it ended.
    finished_at: int | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Job:
        """The value of a row selected as `doce.queue.model.COLUMNS`."""
        return cls(row[0], row[1], JobState(row[2]), *row[3:])

    def values(self) -> dict[str, Any]:
        """The payload for showing; empty when it is not a JSON object."""
        try:
            values = json.loads(self.payload)
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}

    def log_context(self) -> dict[str, Any]:
        """The ids that every log line of this job carries."""
        return {"job_id": self.id, "job_type": self.type, "project_id": self.project_id, "user_id": self.user_id, "attempt": self.attempts}


def understand(job: Job) -> JobPayload:
    """The typed payload of `job`. Raises BadRequest for a type nobody knows or a payload that does not fit it."""
    if job.type not in PAYLOADS:
        raise BadRequest(f"There is no job type {job.type!r}.", hint="It may be from another version of doce; start the work again.")
    try:
        return PAYLOADS[JobType(job.type)].model_validate_json(job.payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = f"The payload of this {job.type} job is not valid: {where}: {first['msg']}."
        raise BadRequest(message, hint="Start the work again.") from None
