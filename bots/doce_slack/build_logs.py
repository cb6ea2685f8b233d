"""Why a deploy failed: at which step, and the last lines of that job's log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from doce.logger import mask
from doce.productions.deployments import PIPELINE
from doce.queue import jobs
from doce.queue.types import JobState, JobType

#: Lines that are shown at once, and how many of a project's jobs are looked through.
SHOWN, LOOKED = 15, 50
STAGES: dict[str, str] = {
    JobType.PRODUCTION_BUILD: "building", JobType.PRODUCTION_START: "starting the new version",
    JobType.PRODUCTION_WAIT_READY: "checking its health", JobType.PRODUCTION_ROLLBACK: "rolling back",
}  # fmt: skip


@dataclass(frozen=True)
class Failed:
    """The job that failed. `lines` are the last of its log, secrets masked."""

    job_id: int
    stage: str
    lines: list[str] = field(default_factory=list)


def failed(project_id: str, most: int = SHOWN) -> Failed | None:
    """The last deploy's failure; None when it did not fail."""
    last = next((job for job in jobs.list(project_id=project_id, limit=LOOKED) if job.type in PIPELINE), None)
    if last is None or last.state is not JobState.FAILED:
        return None
    return Failed(last.id, STAGES[last.type], [mask(one) for one in deque(lines(last.id), maxlen=most)])


def lines(job_id: int) -> Iterator[str]:
    """What a job wrote, line by line."""
    after = 0
    while page := jobs.logs(job_id, after):
        yield from (one.message for one in page)
        after = page[-1].id
