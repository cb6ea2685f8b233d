"""The queue: look at jobs, cancel, retry; pause and concurrency for admins."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from doce.actions.registry import Call, Done, Input, action, check_role, find_project
from doce.actions.services import Services
from doce.auth.users import Person
from doce.errors import Forbidden
from doce.projects.views import Page, View
from doce.queue import jobs
from doce.queue.types import Job, JobState, JobType


class JobView(View):
    """A job. Times are epoch ms."""

    id: int
    type: str
    state: JobState
    project_id: str | None
    user_id: str | None
    payload: dict[str, Any]
    priority: int
    attempts: int
    max_attempts: int
    run_at: int
    cancel_requested_at: int | None
    last_error: str | None
    created_at: int
    updated_at: int
    started_at: int | None
    finished_at: int | None


class JobListing(Input):
    project: str | None = Field(None, description="Only jobs of this project.")
    type: JobType | None = Field(None, description="Only jobs of this type.")
    state: JobState | None = Field(None, description="Only jobs in this state: queued, running, succeeded, failed, cancelled.")
    limit: int = Field(50, ge=1, le=200, description="How many.")
    before: int | None = Field(None, ge=1, le=2**53, description="Cursor: `next` of the page before.")


class OfJob(Input):
    job: int = Field(ge=1, le=2**53, description="Number of the job.")


class JobLogListing(OfJob):
    after: int = Field(0, ge=0, le=2**53, description="Only lines after this one.")
    limit: int = Field(1000, ge=1, le=1000, description="How many.")


class JobLine(View):
    id: int
    level: str
    message: str
    at: int


class JobLines(Page[JobLine]):
    """Lines, oldest first; the `id` of the last is the cursor also where there is no `next` yet."""


class QueueState(View):
    """The queue as a whole."""

    paused: bool
    #: jobs at a time in each worker process; None: as each process was started
    concurrency: int | None
    counts: dict[str, int]


class Concurrency(Input):
    jobs: int = Field(description="Jobs at a time, 1-20.", examples=[4], json_schema_extra={"minimum": 1, "maximum": jobs.MAX_CONCURRENCY})


class Nothing(Input):
    """No input."""


def view(job: Job) -> JobView:
    fields = {name: getattr(job, name) for name in JobView.model_fields if name != "payload"}
    payload = job.values()
    if isinstance(payload.get("prompt"), str):
        payload["prompt"] = payload["prompt"][:200]
    return JobView(**fields, payload=payload)


def _visible(call: Call, job_id: int) -> Job:
    return visible(call.services, call.user, job_id)


def visible(services: Services, person: Person, job_id: int) -> Job:
    """The job, if this person may look at it. Raises NotFound, Forbidden."""
    job = jobs.get(job_id)
    own = job.user_id == person.id or (job.project_id is not None and job.project_id in services.projects.ids_of(person.id))
    if not person.is_admin and not own:
        raise Forbidden("This job is somebody else's.")
    return job


def _mine(call: Call, job_id: int) -> Job:
    """The job, if this person may change it: of a project it takes an editor."""
    job = _visible(call, job_id)
    if job.project_id is not None and call.services.projects.exists(job.project_id):
        check_role(call.services, call.user, call.services.projects.get(job.project_id), "editor")
    return job


def _own_projects(call: Call) -> set[str]:
    return call.services.projects.ids_of(call.user.id)


@action("jobs.list", input=JobListing, output=Page[JobView], role="member", method="GET", path="/api/jobs", words=("jobs",))
def list_jobs(call: Call, given: JobListing) -> Page[JobView]:
    """List jobs, newest first."""

    project_id = find_project(call.services, call.user, given.project).id if given.project else None
    own = None if call.user.is_admin else _own_projects(call)
    found = jobs.list(
        project_id=project_id, type=given.type.value if given.type else None, state=given.state,
        project_ids=own, user_id=call.user.id if own is not None else None, before=given.before, limit=given.limit + 1,
    )  # fmt: skip
    following = str(found[given.limit - 1].id) if len(found) > given.limit else None
    return Page(items=[view(job) for job in found[: given.limit]], next=following)


@action("jobs.get", input=OfJob, output=JobView, role="member", method="GET", path="/api/jobs/{job}", words=("job",), positional=("job",))
def get(call: Call, given: OfJob) -> JobView:
    """Show a job."""
    return view(_visible(call, given.job))


@action("jobs.logs", input=JobLogListing, output=JobLines, role="member", method="GET", path="/api/jobs/{job}/logs")
def logs(call: Call, given: JobLogListing) -> JobLines:
    """Show what a job wrote."""
    _visible(call, given.job)
    lines = jobs.logs(given.job, given.after, given.limit + 1)
    items = [JobLine(id=line.id, level=line.level, message=line.message, at=line.at) for line in lines[: given.limit]]
    return JobLines(items=items, next=str(items[-1].id) if len(lines) > given.limit else None)


@action("jobs.cancel", input=OfJob, output=JobView, role="member", method="POST", path="/api/jobs/{job}/cancel", status=202)
def cancel(call: Call, given: OfJob) -> JobView:
    """Cancel a job; a running one ends within seconds."""
    _mine(call, given.job)
    return view(jobs.cancel(given.job, clock=call.services.clock))


@action("jobs.retry", input=OfJob, output=JobView, role="member", method="POST", path="/api/jobs/{job}/retry", status=202)
def retry(call: Call, given: OfJob) -> JobView:
    """Try a failed or cancelled job again, as a new job."""
    _mine(call, given.job)
    return view(jobs.retry(given.job, user_id=call.user.id, clock=call.services.clock).job)


@action("jobs.runNow", input=OfJob, output=JobView, role="member", method="POST", path="/api/jobs/{job}/now", status=202)
def run_now(call: Call, given: OfJob) -> JobView:
    """End the wait of a queued job."""
    _mine(call, given.job)
    return view(jobs.run_now(given.job, clock=call.services.clock))


@action("jobs.delete", input=OfJob, output=Done, role="member", method="DELETE", path="/api/jobs/{job}")
def delete(call: Call, given: OfJob) -> Done:
    """Delete a job that has ended."""
    _mine(call, given.job)
    jobs.delete(given.job)
    return Done(message=f"Job {given.job} is deleted.")


@action("queue.get", input=Nothing, output=QueueState, role="member", method="GET", path="/api/queue", words=("queue",))
def state(call: Call, given: Nothing) -> QueueState:
    """Show how the queue is doing."""
    return QueueState(paused=jobs.paused(), concurrency=jobs.concurrency(), counts={str(name): n for name, n in jobs.counts().items()})


@action("queue.pause", input=Nothing, output=QueueState, role="admin", method="POST", path="/api/queue/pause")
def pause(call: Call, given: Nothing) -> QueueState:
    """Begin no more jobs; those that run go on."""
    jobs.pause()
    return state(call, given)


@action("queue.resume", input=Nothing, output=QueueState, role="admin", method="POST", path="/api/queue/resume")
def resume(call: Call, given: Nothing) -> QueueState:
    """Begin jobs again."""
    jobs.resume()
    return state(call, given)


@action("queue.concurrency", input=Concurrency, output=QueueState, role="admin", method="POST", path="/api/queue/concurrency")
def concurrency(call: Call, given: Concurrency) -> QueueState:
    """Set how many jobs run at a time, effective at once."""
    jobs.set_concurrency(given.jobs)
    return state(call, Nothing())
