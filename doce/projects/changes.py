"""What a turn did to the files, from doce's own history: whatever the agent did it with."""

from __future__ import annotations

from doce.errors import Conflict
from doce.projects.history import History
from doce.projects.views import PromptView, View

#: Most characters of one file's diff.
DIFF_LIMIT = 20_000
#: Files with more changed lines than this are counted, not shown.
LINES_LIMIT = 5_000


class FileChange(View):
    """A file that a turn changed; binary files count no lines and have no diff."""

    path: str
    additions: int
    deletions: int
    #: unified, without heading lines; cut at 20,000 characters, empty when it is too long to be looked at
    diff: str


def of_turn(history: History, prompt: PromptView, *, idle: bool) -> list[FileChange]:
    """Sorted by path; `idle`: no later turn is under way. Raises Conflict while the turn goes on, Unavailable without git."""
    if prompt.sent_at is None or prompt.finished_at is None:
        raise Conflict("This turn has not ended.", hint="What it changed can be seen when it has.")
    span = history.span(prompt.sent_at // 1000)
    if span is None and idle:
        # It has only just ended, and nobody kept it yet.
        history.commit("After a prompt")
        span = history.span(prompt.sent_at // 1000)
    if span is None:
        return []
    counted = history.changed(*span)
    diffs = history.diffs(*span, [path for path, added, removed in counted if 0 < added + removed <= LINES_LIMIT])
    return [
        FileChange(path=path, additions=added, deletions=removed, diff=diffs.get(path, "")[:DIFF_LIMIT]) for path, added, removed in counted
    ]
