"""Nothing leads out of a workspace: not a path, not a link, not one that is swapped while doce looks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from doce.errors import BadRequest, Conflict, DoceError, Forbidden, NotFound, PayloadTooLarge
from doce.projects import assets, files, inside
from doce.projects.incoming import Incoming, Received
from doce.settings import Settings

SECRET = "the secret of the host"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    made = tmp_path / "workspace"
    (made / "src" / "pages").mkdir(parents=True)
    (made / "src" / "pages" / "index.html").write_text("<h1>Tea</h1>")
    (made / "public").mkdir()
    (made / "node_modules").mkdir()
    return made


def received(tmp_path: Path, data: bytes = b"a picture", name: str | None = None) -> Received:
    path, file = Incoming(Settings(data=tmp_path)).begin()
    with file:
        file.write(data)
    return Received(path, name, "application/octet-stream", len(data))


def test_a_folder_is_listed_one_at_a_time(workspace: Path) -> None:
    top = files.entries(workspace, "", limit=10)
    assert [(entry.name, entry.kind, entry.heavy) for entry in top.items] == [
        ("node_modules", "folder", True),
        ("public", "folder", False),
        ("src", "folder", False),
    ]
    pages = files.entries(workspace, "src/./pages/", limit=10)
    assert [(entry.path, entry.size) for entry in pages.items] == [("src/pages/index.html", 12)]
    assert pages.path == "src/pages"


def test_pages_of_a_folder_have_no_gap_and_no_double(workspace: Path) -> None:
    for number in range(25):
        (workspace / "src" / f"{number}.txt").write_text("x")
        (workspace / "src" / f"d{number}").mkdir()
    seen: list[str] = []
    after = None
    while True:
        page = files.entries(workspace, "src", limit=7, after=after)
        seen += [entry.name for entry in page.items]
        after = page.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 51
    assert seen[:26] == sorted(seen[:26])


def test_a_folder_too_full_is_cut_and_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 2)
    found = files.entries(workspace, "", limit=10)
    assert found.truncated
    assert len(found.items) == 2


def test_contents(workspace: Path) -> None:
    found = files.content(workspace, "src/pages/index.html")
    assert (found.text, found.base64, found.size) == ("<h1>Tea</h1>", None, 12)
    (workspace / "bytes").write_bytes(b"\xff\x00")
    found = files.content(workspace, "bytes")
    assert (found.text, found.base64) == (None, "/wA=")
    (workspace / "large").write_bytes(b"x" * (files.MAX_CONTENT + 1))
    with pytest.raises(PayloadTooLarge):
        files.content(workspace, "large")
    name, size, pieces = files.download(workspace, "large")
    assert (name, size) == ("large", files.MAX_CONTENT + 1)
    assert sum(map(len, pieces)) == size


@pytest.mark.parametrize("path", ["../secret.txt", "src/../../secret.txt", "/etc/passwd", "..", "src/pages/../../../outside/secret.txt"])
def test_a_path_that_leaves_is_forbidden(workspace: Path, path: str) -> None:
    for look in (files.content, files.download, lambda where, path: files.entries(where, path, limit=10)):
        with pytest.raises(Forbidden):
            look(workspace, path)


@pytest.mark.parametrize("path", ["a\0b", "x" * 2000, "a/" * 40])
def test_what_is_no_path_is_refused(workspace: Path, path: str) -> None:
    with pytest.raises(BadRequest):
        files.content(workspace, path)


def test_links_are_not_followed_anywhere(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file").symlink_to(tmp_path / "secret.txt")
    (workspace / "folder").symlink_to(tmp_path / "outside")
    (workspace / "inner").symlink_to("src")
    for path in ("file", "folder/secret.txt", "inner/pages/index.html", "folder", "inner"):
        with pytest.raises(Forbidden):
            files.content(workspace, path)
    with pytest.raises(Forbidden):
        files.entries(workspace, "folder", limit=10)
    assert {entry.kind for entry in files.entries(workspace, "", limit=10).items if entry.name in ("file", "folder", "inner")} == {"link"}


def test_pipes_sockets_and_devices_are_no_files(workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    with pytest.raises(Forbidden):
        files.content(workspace, "pipe")
    with pytest.raises(Forbidden):
        files.content(workspace, "src")
    with pytest.raises(NotFound):
        files.content(workspace, "nothing")
    with pytest.raises(NotFound):
        files.content(workspace, "src/pages/index.html/deeper")


def test_a_workspace_that_is_a_link_is_none(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(Conflict):
        files.content(tmp_path / "linked", "secret.txt")


def test_swapping_a_folder_for_a_link_never_shows_the_outside(workspace: Path, tmp_path: Path) -> None:
    """The agent renames a folder and a link back and forth while doce reads."""
    (workspace / "a").mkdir()
    (workspace / "a" / "secret.txt").write_text("the project's own")
    (workspace / "b").symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, other in (("a", "c"), ("b", "a"), ("a", "b"), ("c", "a")):
                (workspace / one).rename(workspace / other)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[str] = set()
    try:
        for _ in range(3000):
            try:
                seen.add(str(files.content(workspace, "a/secret.txt").text))
            except DoceError as error:
                seen.add(type(error).__name__)
    finally:
        stop.set()
        swapping.join()
    assert SECRET not in seen
    assert seen <= {"the project's own", "Forbidden", "NotFound"}


NAMES = [
    ("logo.png", "logo.png"),
    ("Mein Löwe (1).PNG", "Mein-Lowe-1.png"),
    ("../../etc/passwd.txt", "passwd.txt"),
    ("C:\\tmp\\a b.csv", "a-b.csv"),
    ("陶.webp", "asset.webp"),
    (".htaccess.txt", "htaccess.txt"),
    ("x" * 300 + ".mp4", "x" * 96 + ".mp4"),
    ("a\0\n<script>.svg", "a-script.svg"),
]


@pytest.mark.parametrize(("said", "called"), NAMES)
def test_names_of_assets_are_cleaned(said: str, called: str) -> None:
    assert assets.cleaned(said) == called


@pytest.mark.parametrize("name", ["", "png", "a.html", "a.php", "a.png.exe", "a.", ".gitignore", "a.js"])
def test_other_types_are_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        assets.cleaned(name)


def test_the_life_of_an_asset(workspace: Path, tmp_path: Path) -> None:
    (workspace / "public").rmdir()
    assert assets.assets(workspace, limit=10).items == []
    made = assets.add(workspace, "My Logo.png", received(tmp_path))
    assert (made.name, made.path, made.size, made.media_type) == ("My-Logo.png", "public/My-Logo.png", 9, "image/png")
    with pytest.raises(Conflict):
        assets.add(workspace, "My Logo.png", received(tmp_path, b"another"))
    assert (workspace / "public" / "My-Logo.png").read_bytes() == b"a picture"
    assert (workspace / "public" / "My-Logo.png").stat().st_mode & 0o777 == 0o644
    with pytest.raises(BadRequest):
        assets.rename(workspace, "My-Logo.png", "logo.gif")
    assert assets.rename(workspace, "My-Logo.png", "brand.png").name == "brand.png"
    assets.add(workspace, "a.png", received(tmp_path))
    with pytest.raises(Conflict):
        assets.rename(workspace, "a.png", "brand.png")
    assert [asset.name for asset in assets.assets(workspace, limit=10).items] == ["a.png", "brand.png"]
    page = assets.assets(workspace, limit=1)
    assert [asset.name for asset in assets.assets(workspace, limit=1, after=page.next).items] == ["brand.png"]
    _, pieces = assets.download(workspace, "brand.png")
    assert b"".join(pieces) == b"a picture"
    assets.delete(workspace, "brand.png")
    for act in (lambda: assets.delete(workspace, "brand.png"), lambda: assets.rename(workspace, "brand.png", "x.png")):
        with pytest.raises(NotFound):
            act()


def test_assets_are_never_written_through_a_link(workspace: Path, tmp_path: Path) -> None:
    (workspace / "public").rmdir()
    (workspace / "public").symlink_to(tmp_path / "outside")
    with pytest.raises(Forbidden):
        assets.add(workspace, "a.png", received(tmp_path))
    (workspace / "public").unlink()
    (workspace / "public").mkdir()
    (workspace / "public" / "secret.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Conflict):
        assets.add(workspace, "secret.txt", received(tmp_path, b"overwritten"))
    with pytest.raises(Forbidden):
        assets.rename(workspace, "secret.txt", "mine.txt")
    with pytest.raises(Forbidden):
        assets.delete(workspace, "secret.txt")
    with pytest.raises(Forbidden):
        assets.download(workspace, "secret.txt")
    for name in ("../secret.txt", "a/b.txt", "x.html"):
        with pytest.raises(NotFound):
            assets.delete(workspace, name)
    assert assets.assets(workspace, limit=10).items == []
    assert (tmp_path / "secret.txt").read_text() == SECRET
    assert {path.name for path in (tmp_path / "outside").iterdir()} == {"secret.txt"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_doce_makes_belongs_to_the_workspace(workspace: Path, tmp_path: Path) -> None:
    (workspace / "public").rmdir()
    os.chown(workspace, 1234, 1235)
    assets.add(workspace, "a.png", received(tmp_path))
    for path in (workspace / "public", workspace / "public" / "a.png"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_file_that_shrinks_is_not_whole(workspace: Path) -> None:
    (workspace / "log").write_bytes(b"x" * 200_000)
    _, _, pieces = files.download(workspace, "log")
    next(pieces)
    (workspace / "log").write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        list(pieces)


def test_descriptors_are_given_back(workspace: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        files.entries(workspace, "src/pages", limit=1)
        files.content(workspace, "src/pages/index.html")
        with pytest.raises(NotFound):
            files.content(workspace, "src/nothing/x")
        files.download(workspace, "src/pages/index.html")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert inside.parts_of("a//b/./c") == ("a", "b", "c")


def test_what_arrived_when_doce_was_killed_is_swept(tmp_path: Path) -> None:
    incoming = Incoming(Settings(data=tmp_path))
    incoming.sweep(())
    path, file = incoming.begin()
    file.close()
    for name in ("prj_kept", "prj_gone"):
        incoming.workspace(name).mkdir(parents=True)
    incoming.sweep({"prj_kept"})
    assert not path.exists()
    assert [entry.name for entry in incoming.folder.iterdir()] == ["prj_kept"]
