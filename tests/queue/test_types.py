"""Types, payloads, states: the tables, and what is not in them."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from doce.clock import ManualClock
from doce.db.connection import database
from doce.db.models import Job as JobRow
from doce.errors import BadRequest, Conflict
from doce.queue import jobs, model
from doce.queue.enqueue import enqueue
from doce.queue.types import (
    PAYLOADS,
    TRANSITIONS,
    DockerComposeUp,
    Job,
    JobState,
    JobType,
    OpencodeSessionCreate,
    ProjectCreate,
    understand,
)

#: Written out by hand from the specification, so that a change of the table has to be meant.
ALLOWED = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("running", "queued"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(JobState, JobState)))
def test_every_pair_of_states(source: JobState, target: JobState, clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    database.execute_sql("UPDATE jobs SET state = ? WHERE id = ?", (source.value, job.id))
    if (source.value, target.value) in ALLOWED:
        moved = model.move(job.id, source, target, now=clock.now_ms())
        assert moved is not None
        assert moved.state is target
    else:
        with pytest.raises(Conflict):
            model.move(job.id, source, target, now=clock.now_ms())
        assert jobs.get(job.id).state is source


def test_a_move_needs_the_state_it_starts_from(clock: ManualClock) -> None:
    job = enqueue(OpencodeSessionCreate(project_id="p"), clock=clock).job
    assert model.move(job.id, JobState.RUNNING, JobState.SUCCEEDED, now=clock.now_ms()) is None
    assert jobs.get(job.id).state is JobState.QUEUED


def test_terminal_states_are_those_that_nothing_follows() -> None:
    assert {state for state in JobState if state.terminal} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    assert set(TRANSITIONS) == set(JobState)


def test_every_type_has_a_payload_of_that_type() -> None:
    assert set(PAYLOADS) == set(JobType)
    assert all(payload.type is type_ for type_, payload in PAYLOADS.items())


def test_the_names_on_the_wire() -> None:
    fields = {type_.value: {field.alias for field in payload.model_fields.values()} for type_, payload in PAYLOADS.items()}
    assert fields == {
        "project.create": {"projectId", "prompt", "template", "model", "attachmentIds"},
        "project.delete": {"projectId", "requestedBy"},
        "projects.deleteAllForUser": {"userId"},
        "docker.composeUp": {"projectId", "reason", "preserveProduction"},
        "docker.waitReady": {"projectId", "startedAt"},
        "docker.ensureRunning": {"projectId", "reason", "services"},
        "docker.stop": {"projectId", "reason"},
        "opencode.sessionCreate": {"projectId"},
        "opencode.sendUserPrompt": {"projectId"},
        "production.build": {"projectId", "requestedBy", "snapshot"},
        "production.start": {"projectId", "productionHash"},
        "production.waitReady": {"projectId", "productionHash", "startedAt"},
        "production.stop": {"projectId"},
        "production.rollback": {"projectId", "productionHash"},
    }


def test_a_payload_survives_the_row(clock: ManualClock) -> None:
    payload = ProjectCreate(project_id="p1", prompt="ein Käse\u2028Blog", template="static", attachment_ids=("a", "b"))
    job = enqueue(payload, clock=clock).job
    assert understand(job) == payload
    assert json.loads(job.payload)["attachmentIds"] == ["a", "b"]
    assert job.values()["prompt"] == payload.prompt


@pytest.mark.parametrize(
    ("type_", "payload", "says"),
    [
        ("project.fold", "{}", "no job type 'project.fold'"),
        ("docker.composeUp", "{}", "projectId"),
        ("docker.composeUp", '{"projectId":"p","reason":"whim"}', "reason"),
        ("docker.composeUp", '{"projectId":"p","reason":"user","extra":1}', "extra"),
        ("docker.composeUp", "not json", "Invalid JSON"),
        ("docker.composeUp", "[]", "the whole"),
    ],
)
def test_what_cannot_be_understood_says_why(type_: str, payload: str, says: str) -> None:
    job = enqueue(DockerComposeUp(project_id="p", reason="user")).job
    with pytest.raises(BadRequest, match=says.replace("(", r"\(")):
        understand(dataclasses.replace(job, type=type_, payload=payload))


def test_the_value_and_the_row_have_the_same_columns() -> None:
    assert {field.name for field in dataclasses.fields(Job)} == set(JobRow._meta.fields)
