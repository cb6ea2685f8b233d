from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from doce.errors import Conflict
from doce.projects.changes import FileChange, of_turn
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.projects.status import PromptState
from doce.projects.views import PromptView
from doce.settings import machine_path

NOW = int(time.time())
MESSY = "-- a comment\n+plus\n@@ no hunk @@\ndiff --git a/x b/x\n"


def prompt(sent_s: int | None = NOW - 500, finished_s: int | None = NOW) -> PromptView:
    """A turn that began 500 s ago."""
    ms = {"sent_at": sent_s and sent_s * 1000, "finished_at": finished_s and finished_s * 1000}
    return PromptView(
        id="prm_1", project_id="prj_1", user_id=None, session_id=None, text="x", model=None, state=PromptState.COMPLETED, position=1, seq=1,
        message_id=None, error=None, stopped_by=None, created_at=0, **ms,
    )  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "prj")
    layout.workspace.mkdir(parents=True)
    (layout.workspace / "index.html").write_text("one\ntwo\n")
    (layout.workspace / "messy.sql").write_text(MESSY)
    return layout


@pytest.fixture
def history(layout: Layout) -> History:
    history = History(layout, machine_path())
    history.begin()
    return history


def keep(history: History, layout: Layout, at_s: int) -> None:
    """A commit made at `at_s`."""
    assert history.commit("kept")
    date = f"@{at_s} +0000"
    git = ["git", f"--git-dir={layout.history}", "-c", "user.name=doce", "-c", "user.email=doce@localhost"]
    parents = subprocess.check_output([*git, "rev-parse", "main^@"], text=True).split()
    flags = [flag for parent in parents for flag in ("-p", parent)]
    environment = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date, "PATH": machine_path()}
    made = subprocess.check_output([*git, "commit-tree", "main^{tree}", *flags, "-m", "kept"], text=True, env=environment).strip()
    subprocess.check_call([*git, "update-ref", "refs/heads/main", made])


def test_the_files_of_a_turn_and_of_no_other(history: History, layout: Layout) -> None:
    keep(history, layout, NOW - 1000)
    (layout.workspace / "index.html").write_text("one\n2\n")
    (layout.workspace / "messy.sql").write_text(MESSY.replace("-- a comment", "-- another"))
    (layout.workspace / "new file.txt").write_text("hello\n")
    (layout.workspace / "logo.png").write_bytes(b"\x89PNG\0\0")
    keep(history, layout, NOW - 100)
    (layout.workspace / "later.txt").write_text("not of this turn\n")
    keep(history, layout, NOW)
    found = of_turn(history, prompt(), idle=True)
    assert [(one.path, one.additions, one.deletions) for one in found] == [
        ("index.html", 1, 1), ("logo.png", 0, 0), ("messy.sql", 1, 1), ("new file.txt", 1, 0),
    ]  # fmt: skip
    diffs = {one.path: one.diff for one in found}
    assert diffs["index.html"] == "@@ -1,2 +1,2 @@\n one\n-two\n+2"
    assert diffs["messy.sql"].splitlines()[1:3] == ["--- a comment", "+-- another"]
    assert diffs["messy.sql"].endswith(" diff --git a/x b/x"), "content that looks like git's own lines stays content"
    assert (diffs["new file.txt"], diffs["logo.png"]) == ("@@ -0,0 +1 @@\n+hello", "")


def test_a_turn_that_has_just_ended_is_kept_when_somebody_looks(history: History, layout: Layout) -> None:
    keep(history, layout, NOW - 1000)
    (layout.workspace / "index.html").write_text("one\n2\n")
    assert of_turn(history, prompt(), idle=False) == [], "a later turn may be in the middle of its work"
    assert [one.path for one in of_turn(history, prompt(), idle=True)] == ["index.html"]


def test_a_turn_that_changed_nothing_and_one_that_goes_on(history: History, layout: Layout) -> None:
    keep(history, layout, NOW - 1000)
    assert of_turn(history, prompt(), idle=True) == []
    for unfinished in (prompt(finished_s=None), prompt(sent_s=None)):
        with pytest.raises(Conflict, match="has not ended"):
            of_turn(history, unfinished, idle=True)


def test_what_is_long_is_cut_and_what_is_huge_is_counted(history: History, layout: Layout) -> None:
    keep(history, layout, NOW - 1000)
    (layout.workspace / "long.txt").write_text("word " * 10 + "\n" + "x\n" * 2000 + "y" * 30_000)
    (layout.workspace / "huge.txt").write_text("x\n" * 6000)
    found = {one.path: one for one in of_turn(history, prompt(), idle=True)}
    assert len(found["long.txt"].diff) == 20_000
    assert found["huge.txt"] == FileChange(path="huge.txt", additions=6000, deletions=0, diff="")
