from __future__ import annotations

from pathlib import Path

import pytest

from doce.errors import Unavailable
from doce.productions.snapshot import export
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.settings import machine_path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "prj")
    layout.workspace.mkdir(parents=True)
    return layout


def test_a_commit_is_laid_out_without_links_and_as_it_was_kept(layout: Layout, tmp_path: Path) -> None:
    (layout.workspace / "src").mkdir()
    (layout.workspace / "src" / "ünï.html").write_bytes(b"a\r\nb" * 100_000)
    (layout.workspace / "run.sh").write_text("#!/bin/sh\n")
    (layout.workspace / "run.sh").chmod(0o755)
    (layout.workspace / "out").symlink_to("/etc/passwd")
    history = History(layout, machine_path())
    history.begin()
    commit = history.commit("as it is")
    assert commit
    (layout.workspace / "later.html").touch()
    target = tmp_path / "production" / "src"
    export(layout, commit, target, machine_path())
    assert {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()} == {"src/ünï.html", "run.sh"}
    assert (target / "src" / "ünï.html").read_bytes() == b"a\r\nb" * 100_000
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755
    assert not (target / "out").is_symlink()


def test_a_commit_that_is_not_there(layout: Layout, tmp_path: Path) -> None:
    History(layout, machine_path()).begin()
    with pytest.raises(Unavailable, match="could not be read"):
        export(layout, "0" * 40, tmp_path / "src", machine_path())
    assert not (tmp_path / "src").exists()
