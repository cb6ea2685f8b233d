"""The disk watch: a project that takes too much, or a machine with too little left, stops agents before the disk is full.

What a project takes is measured in the background, a folder at a time with rests between, without following links; how
much is free is asked every round, since that costs nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from doce.clock import Clock
from doce.db import choices
from doce.db.connection import database
from doce.errors import DoceError
from doce.projects.stack import OPENCODE
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.handlers.work import Work
from doce.stacks.logs import LogFile

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
#: Entries measured between two rests, and how long a rest is, seconds.
STRIDE, REST_S = 2_000, 0.02
#: A project is measured again after this long, ms, and after this many times what the last measuring took.
MEASURE_MS, MEASURE_TIMES = 60_000, 20
#: Disk that was filled since the last look which makes every project worth measuring, as a part of what one may take.
FILLED_PART = 10


@dataclass(frozen=True, slots=True)
class Measure:
    """What a folder takes."""

    #: bytes on the disk
    size: int
    #: epoch ms at which it is worth measuring again
    due: int


class DiskWatch:
    """`look` is one round. `rest` waits so many seconds and says whether to end."""

    def __init__(self, work: Work, rest: Callable[[float], bool] | None = None) -> None:
        self._work = work
        self._clock: Clock = work.clock
        self._stopping = threading.Event()
        self._rest = rest or self._stopping.wait
        self._measures: dict[str, Measure] = {}
        self._free: int | None = None

    def stop(self) -> None:
        """End a measuring under way."""
        self._stopping.set()

    def look(self) -> None:
        projects = self._work.store.live(ProjectStatus.RUNNING, ProjectStatus.STARTING)
        free = shutil.disk_usage(self._work.settings.data).free
        least = choices.current(self._work.settings, "min_free_mb") * MIB
        if free < least:
            for project in projects:
                self._guarded_stop(
                    project,
                    error=f"The disk of this machine is almost full: {free // MIB:,} MiB are free, {least // MIB:,} are needed. "
                    "The agent was stopped; everything written so far is kept.",
                    hint=f"Free some space, then `doce start {project.slug}`.",
                )
            return
        limit = choices.current(self._work.settings, "project_disk") * MIB
        if not limit:
            return
        hurry = self._free is not None and self._free - free > limit // FILLED_PART
        self._free = free
        for project in projects:
            if self._stopping.is_set():
                return
            size = self._size(project, hurry)
            if size > limit:
                self._guarded_stop(
                    project,
                    error=f"{project.name} takes {size // MIB:,} MiB of disk; {limit // MIB:,} is the most. "
                    "The agent was stopped; everything written so far is kept.",
                    hint=f"Delete what is not needed, or raise DOCE_PROJECT_DISK; then `doce start {project.slug}`.",
                )
        self._measures = {one: measure for one, measure in self._measures.items() if any(project.id == one for project in projects)}

    def _size(self, project: ProjectView, hurry: bool) -> int:
        now, known = self._clock.now_ms(), self._measures.get(project.id)
        if known and now < known.due and not hurry:
            return known.size
        began = self._clock.monotonic()
        size = measure(self._work.layout(project.id).root, self._rest)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        self._measures[project.id] = Measure(size, self._clock.now_ms() + max(MEASURE_MS, MEASURE_TIMES * took_ms))
        return size

    def _guarded_stop(self, project: ProjectView, *, error: str, hint: str) -> None:
        """One project's trouble does not save the others' agents."""
        try:
            self._stop_agent(project, error=error, hint=hint)
        except DoceError as trouble:
            logger.warning("an agent could not be stopped in order", extra={"project_id": project.id, "cause": str(trouble)})

    def _stop_agent(self, project: ProjectView, *, error: str, hint: str) -> None:
        """First the sentence, so that nothing starts it again; then the end, also when the disk takes no sentence any more."""
        self._measures.pop(project.id, None)
        logger.warning("an agent is stopped for its disk", extra={"project_id": project.id, "cause": error})
        try:
            self._record(project, error, hint)
        finally:
            self._work.runtime.stop(project.id, [OPENCODE])
        try:
            LogFile(self._work.layout(project.id).log_file).append("host", f"stopped the agent: {error}\n")
        except OSError as full:
            # The disk may be what is full: the row and the event say it.
            logger.info("the log of a project cannot be written", extra={"project_id": project.id, "cause": str(full)})

    def _record(self, project: ProjectView, error: str, hint: str) -> None:
        with database.atomic():
            for job in jobs.active(project.id):
                if not job.type.startswith("production."):
                    jobs.cancel(job.id, clock=self._clock)
            self._work.store.set_status(project.id, ProjectStatus.ERROR, error=error, hint=hint)
            active = self._work.prompts.active(project.id)
            if active:
                self._work.prompts.end(active.id, PromptState.INTERRUPTED, reason=error, hint=hint)


def measure(root: Path, rest: Callable[[float], bool] = lambda seconds: False) -> int:
    """What `root` takes on its disk, bytes: every file once, whatever its links, nothing behind a link or on another disk.

    What vanishes or cannot be read meanwhile counts nothing. `rest` is called now and then; True ends the measuring.
    """
    try:
        top = root.lstat()
    except OSError:
        return 0
    size, seen, several = 0, 0, set[int]()
    waiting = [str(root)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                seen += 1
                if seen % STRIDE == 0 and rest(REST_S):
                    return size
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if found.st_dev != top.st_dev:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif found.st_nlink > 1:
                    if found.st_ino in several:
                        continue
                    several.add(found.st_ino)
                size += found.st_blocks * 512
    return size
