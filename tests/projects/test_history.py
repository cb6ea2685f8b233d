from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from doce.errors import Unavailable
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.settings import machine_path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "prj")
    layout.workspace.mkdir(parents=True)
    (layout.workspace / "index.html").write_text("<h1>one</h1>\n")
    return layout


@pytest.fixture
def history(layout: Layout) -> History:
    history = History(layout, machine_path())
    history.begin()
    return history


def test_commits_only_what_changed_and_says_what(history: History, layout: Layout) -> None:
    first = history.commit("one")
    assert first == history.head()
    assert history.commit("same") is None
    (layout.workspace / "index.html").write_text("<h1>two</h1>\n<p>more</p>\n")
    (layout.workspace / "logo.png").write_bytes(b"\x89PNG\0\0")
    (layout.workspace / "node_modules" / "x").mkdir(parents=True)
    (layout.workspace / "node_modules" / "x" / "big.js").write_text("x")
    (layout.workspace / ".env").write_text("KEY=secret")
    second = history.commit("two")
    assert history.changed(first, second) == [("index.html", 2, 1), ("logo.png", 0, 0)]
    history.begin()
    assert history.head() == second


def test_the_workspace_is_a_repository_of_its_own(history: History, layout: Layout) -> None:
    assert (layout.workspace / ".git" / "HEAD").exists()
    assert (layout.history / "HEAD").exists()


def test_nothing_in_a_hostile_workspace_runs(history: History, layout: Layout, tmp_path: Path) -> None:
    """Hooks, filters, fsmonitor, nested repositories and links of the agent's must not run or reach out."""
    mark = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    config = "\n".join(
        [
            f"[core]\n fsmonitor = {script}\n hooksPath = {tmp_path}\n sshCommand = {script}",
            f'[filter "x"]\n clean = {script}\n smudge = {script}\n process = {script}',
            f'[diff "x"]\n command = {script}\n textconv = {script}',
        ]
    )
    for repository in (layout.workspace / ".git", layout.workspace / "nested" / ".git"):
        (repository / "hooks").mkdir(parents=True, exist_ok=True)
        (repository / "objects").mkdir(exist_ok=True)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "HEAD").write_text("ref: refs/heads/main\n")
        (repository / "config").write_text(config)
        for hook in ("pre-commit", "post-index-change", "reference-transaction", "post-commit"):
            shutil.copy(script, repository / "hooks" / hook)
    (layout.workspace / ".gitattributes").write_text("* filter=x diff=x working-tree-encoding=UTF-16 text=auto\n")
    (layout.workspace / "nested" / "page.html").write_bytes(b"a\r\nb\n")
    (layout.workspace / ".gitignore").write_text("*\n")
    os.mkfifo(layout.workspace / "pipe")
    (layout.workspace / ".gitmodules").write_text(f'[submodule "a"]\n path = a\n url = ext::{script}\n update = !{script}\n')
    (layout.workspace / "out").symlink_to("/etc/passwd")
    before = history.head()
    commit = history.commit("hostile")
    assert commit
    assert ("nested/page.html", 2, 0) in history.changed(before, commit)
    assert history.commit("again") is None
    assert not mark.exists()


def test_without_git_it_says_what_to_do(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="git is not installed"):
        History(layout, str(tmp_path / "empty")).begin()


def test_two_that_keep_it_at_once_both_do(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "prj")
    layout.workspace.mkdir(parents=True)
    History(layout, machine_path()).begin()
    failures: list[Exception] = []

    def keep(number: int) -> None:
        try:
            for turn in range(5):
                (layout.workspace / f"{number}.txt").write_text(f"{number} {turn}")
                History(layout, machine_path()).commit(f"{number} {turn}")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    History(layout, machine_path()).commit("the last")
    assert {path for path, _, _ in History(layout, machine_path()).changed(None)} >= {"0.txt", "1.txt", "2.txt"}
