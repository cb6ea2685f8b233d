"""Folders that an agent wrote, in ways nobody would by accident, and what doce does in them as itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.docker.ownership import give
from doce.errors import BadRequest
from doce.opencode.home import prepare_home
from doce.productions.digest import measure
from doce.projects import history as histories
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.projects.removal import remove_tree
from doce.settings import machine_path

#: Deeper than Python recurses, and than a process has descriptors.
DEEP = 3000


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path / "prj")
    layout.workspace.mkdir(parents=True)
    (layout.workspace / "index.html").write_text("<h1>one</h1>\n")
    yield layout
    # pytest's own clean-up would fail on what these tests make.
    remove_tree(layout.root)


@pytest.fixture
def history(layout: Layout) -> History:
    history = History(layout, machine_path())
    history.begin()
    return history


def dig(folder: Path, depth: int) -> None:
    """Folders in folders, as `mkdir d; cd d` in a loop makes them: no path leads to the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("last", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def kept(layout: Layout, path: str) -> bytes:
    return subprocess.run(["git", f"--git-dir={layout.history}", "show", f"main:{path}"], capture_output=True, check=True).stdout


def test_a_home_full_of_links_is_put_right_and_nothing_is_written_through_them(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "package.json").write_text("precious")
    for place in (".config", ".config/opencode", ".config/opencode/package.json", ".config/opencode/node_modules"):
        home = tmp_path / place.replace("/", "_")
        (home / place).parent.mkdir(parents=True)
        target = victim / "package.json" if place.endswith(".json") else victim
        (home / place).symlink_to(target)
        prepare_home(home)
        assert (home / ".config" / "opencode" / "package.json").read_text().startswith("{")
        assert not (home / place).is_symlink()
        assert (victim / "package.json").read_text() == "precious"
        assert [one.name for one in victim.iterdir()] == ["package.json"]


def test_a_home_where_files_and_pipes_stand_in_the_way(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".config").write_text("a file")
    prepare_home(home)
    lock = home / ".config" / "opencode" / "package-lock.json"
    lock.unlink()
    os.mkfifo(lock)
    prepare_home(home)
    assert lock.is_file()


def test_a_file_that_becomes_a_link_while_doce_looks_is_not_followed(
    history: History, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening an agent may put a link to any file that doce can read."""
    for name in ("secret.key", "page.html"):
        (tmp_path / name).write_text("the key of doce")
    (layout.workspace / "folder").mkdir()
    for name in ("page.html", "folder/page.html"):
        (layout.workspace / name).write_text("harmless")
    real, swapped = histories.looked, []

    def looked(name: str, here: int) -> os.stat_result | None:
        found = real(name, here)
        if name not in swapped and os.stat(here).st_ino == layout.workspace.stat().st_ino:
            swapped.append(name)
            if name == "page.html":
                (layout.workspace / name).unlink()
                (layout.workspace / name).symlink_to(tmp_path / "secret.key")
            if name == "folder":
                (layout.workspace / name).rename(layout.workspace / "gone")
                (layout.workspace / name).symlink_to(tmp_path)
        return found

    monkeypatch.setattr(histories, "looked", looked)
    assert history.commit("raced")
    assert {"page.html", "folder"} <= set(swapped)
    objects = subprocess.run(
        ["git", f"--git-dir={layout.history}", "cat-file", "--batch-all-objects", "--batch"], capture_output=True, check=True
    ).stdout
    assert b"the key of doce" not in objects
    assert kept(layout, "index.html") == b"<h1>one</h1>\n"


def test_a_file_that_shrinks_while_it_is_kept_does_not_break_the_history(history: History, layout: Layout) -> None:
    big = layout.workspace / "big.bin"
    big.write_bytes(b"x" * 3_000_000)

    class Shrinking(History):
        def _measure(self, item: histories.Item) -> tuple[int, bytes] | None:
            found = super()._measure(item)
            if item.path == b"big.bin":
                os.truncate(big, 10)
            return found

    assert Shrinking(layout, machine_path()).commit("shrunk")
    assert len(kept(layout, "big.bin")) == 3_000_000
    assert history.commit("as it is now")
    assert kept(layout, "big.bin") == b"x" * 10
    assert history.commit("again") is None


def test_names_of_every_kind_are_kept_as_they_are(history: History, layout: Layout) -> None:
    names = [b"with space", b'quo"te', b"back\\slash", b"new\nline", b"tab\t", b"-rf", "ünï".encode(), b"\xff\xfe", b"D a", b".git.html"]
    for name in names:
        with open(os.fsencode(layout.workspace) + b"/" + name, "wb") as file:  # noqa: PTH123 - names that no text can hold
            file.write(name)
    (layout.workspace / "run.sh").write_text("#!/bin/sh\n")
    (layout.workspace / "run.sh").chmod(0o755)
    assert history.commit("names")
    listed = subprocess.run(["git", f"--git-dir={layout.history}", "ls-tree", "-z", "main"], capture_output=True, check=True).stdout
    rows = dict(reversed(row.split(b"\t", 1)) for row in listed.split(b"\0") if row)
    assert set(names) <= set(rows)
    assert rows[b"run.sh"].startswith(b"100755")
    assert history.commit("again") is None
    # A folder becomes a file, and a file a folder.
    (layout.workspace / "a").mkdir()
    (layout.workspace / "a" / "b").write_text("b")
    assert history.commit("folder")
    (layout.workspace / "a" / "b").unlink()
    (layout.workspace / "a").rmdir()
    (layout.workspace / "a").write_text("a")
    (layout.workspace / "run.sh").unlink()
    assert history.commit("file")
    assert kept(layout, "a") == b"a"
    assert history.commit("again") is None


def test_folders_without_end_stop_neither_history_nor_start_nor_delete(history: History, layout: Layout) -> None:
    dig(layout.workspace, DEEP)
    (layout.workspace / "zebra.html").write_text("kept all the same")
    assert history.commit("deep")
    assert kept(layout, "zebra.html") == b"kept all the same"
    assert history.commit("again") is None
    give(layout.workspace, os.geteuid() or 1234)
    if os.geteuid() == 0:
        assert (layout.workspace / "zebra.html").stat().st_uid == 1234
    breaths: list[int] = []
    remove_tree(layout.root, lambda: breaths.append(1))
    assert not layout.root.exists()
    assert breaths


def test_what_was_made_unwritable_and_what_links_lead_to(tmp_path: Path, layout: Layout) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    locked = layout.workspace / "locked" / "inner"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    (layout.workspace / "link").symlink_to(outside)
    (locked / "link").symlink_to(outside)
    locked.chmod(0)
    locked.parent.chmod(0)
    remove_tree(layout.root)
    assert not layout.root.exists()
    assert (outside / "precious").exists()
    remove_tree(layout.root)


def test_an_output_without_end_is_refused_and_not_walked(layout: Layout) -> None:
    dig(layout.workspace, DEEP)
    with pytest.raises(BadRequest, match="more than 64 deep"):
        measure(layout.workspace)
