"""What leaves as a zip file and what comes in by one: bombs, traversal, links, secrets, and a crash in between."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from doce.db.models import Project
from doce.errors import BadRequest, Conflict, DoceError, PayloadTooLarge
from doce.projects import contents, export, templates, unpacking
from doce.projects.arrivals import Arrivals, take_over
from doce.projects.incoming import Incoming, Received
from doce.queue import jobs
from doce.queue.types import JobType

from .conftest import Office

STATIC = templates.get("static")
ASTRO = templates.get("astro-starter")


def workspace(root: Path, **files: str) -> Path:
    for path, text in {"public/index.html": "<h1>Tea</h1>", **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def exported(root: Path, template: templates.Template = STATIC) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(export.zipped(root, template))))


def zip_of(folder: Path, entries: dict[str, bytes] | list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    path = folder / "given.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, data)
    return path


def unpacked(tmp_path: Path, entries: dict[str, bytes] | list[tuple[zipfile.ZipInfo | str, bytes]]) -> set[str]:
    target = tmp_path / "target"
    unpacking.unpack(zip_of(tmp_path, entries), target, STATIC)
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}


def test_an_export_holds_the_project_and_no_secret(tmp_path: Path) -> None:
    root = workspace(tmp_path / "w", **{
        ".env": "KEY=1", ".env.production": "KEY=1", ".env.example": "KEY=", "server.PEM": "key", "id_rsa": "key", ".npmrc": "token",
        ".git/config": "x", "node_modules/a/index.js": "x", "dist/index.html": "x", "src/dist/a.js": "x", "src/é.txt": "é", "a.log": "x",
    })  # fmt: skip
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "large.bin").write_bytes(os.urandom(300_000))
    (tmp_path / "secret").write_text("of the host")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    with exported(root) as found:
        assert found.testzip() is None
        assert set(found.namelist()) == {"public/index.html", ".env.example", "src/é.txt", "run", "large.bin"}
        assert found.getinfo("run").external_attr >> 16 == 0o100755
        assert found.read("large.bin") == (root / "large.bin").read_bytes()


def test_build_output_is_what_the_template_says(tmp_path: Path) -> None:
    root = workspace(tmp_path / "w", **{"dist/a.html": "x"})
    assert exported(root, STATIC).namelist() == exported(root, ASTRO).namelist() == ["public/index.html"]


def test_an_export_too_large_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_BYTES", 10)
    with pytest.raises(PayloadTooLarge):
        export.zipped(workspace(tmp_path / "w"), STATIC)
    with pytest.raises(Conflict):
        export.zipped(tmp_path / "nothing", STATIC)


def test_an_export_left_in_the_middle_gives_everything_back(tmp_path: Path) -> None:
    root = workspace(tmp_path / "w")
    (root / "a").write_bytes(os.urandom(500_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    pieces = export.zipped(root, STATIC)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_was_exported_comes_back(tmp_path: Path) -> None:
    root = workspace(tmp_path / "w", **{"package.json": "{}", "src/a b/ü.txt": "ü"})
    (tmp_path / "export.zip").write_bytes(b"".join(export.zipped(root, STATIC)))
    assert unpacking.unpack(tmp_path / "export.zip", tmp_path / "back", STATIC) == 3
    for path in ("public/index.html", "package.json", "src/a b/ü.txt"):
        assert (tmp_path / "back" / path).read_text() == (root / path).read_text()


def test_a_folder_around_everything_is_taken_off(tmp_path: Path) -> None:
    assert unpacked(tmp_path, {"shop-main/package.json": b"{}", "shop-main/public/a.html": b"x"}) == {"package.json", "public/a.html"}


def test_the_templates_own_folder_is_not(tmp_path: Path) -> None:
    assert "public/a.html" in unpacked(tmp_path, {"public/a.html": b"x", "public/b.html": b"x"})


def test_files_without_a_package_get_what_the_template_needs(tmp_path: Path) -> None:
    assert unpacked(tmp_path, {"public/index.html": b"x"}) == {
        "public/index.html", "package.json", "dev-server.mjs", "AGENTS.md", ".gitignore",
    }  # fmt: skip


def test_what_is_made_again_stays_out(tmp_path: Path) -> None:
    entries = {"package.json": b"{}", ".git/hooks/pre-commit": b"x", "a/.GIT/config": b"x", "node_modules/a.js": b"x", "dist/x": b"x"}
    assert unpacked(tmp_path, entries) == {"package.json"}


TRAVERSALS = [
    "../evil", "a/../../evil", "/etc/evil", "\\evil", "..\\evil", "C:\\evil", "c:/evil", "a/..", "a\nb", "a\x1bb", "\u202ea", "x" * 2000,
    "a/" * 40 + "b", "é" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_names_that_lead_elsewhere_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be"):
        unpacked(tmp_path, {"index.html": b"x", name: b"evil"})
    assert {path.name for path in tmp_path.iterdir()} == {"given.zip"}


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path, {"index.html": b"x", "aXb.html": b"x"})
    path.write_bytes(path.read_bytes().replace(b"aXb.html", b"a\0b.html"))
    with pytest.raises(BadRequest):
        unpacking.unpack(path, tmp_path / "target", STATIC)


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def test_links_and_devices_are_not_made(tmp_path: Path) -> None:
    entries: list[tuple[zipfile.ZipInfo | str, bytes]] = [
        ("package.json", b"{}"), (special("link", stat.S_IFLNK), b"/etc/passwd"), (special("up", stat.S_IFLNK), b".."),
        (special("pipe", stat.S_IFIFO), b""), (special("disk", stat.S_IFBLK), b""), ("up/evil", b"in a folder of its own"),
    ]  # fmt: skip
    assert unpacked(tmp_path, entries) == {"package.json", "up/evil"}
    assert not any(path.is_symlink() for path in (tmp_path / "target").rglob("*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_twice_the_same_and_files_as_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="twice"):
        unpacked(tmp_path, [("a.html", b"1"), ("./a.html", b"2")])
    with pytest.raises(BadRequest, match="both as"):
        unpacked(tmp_path, [("a", b"1"), ("a/b", b"2")])


def test_bombs_are_refused_by_what_they_say_and_by_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PayloadTooLarge):
        unpacked(tmp_path, {f"{number}": b"\0" * 30 * 1024**2 for number in range(18)})
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1_000_000)
    path = zip_of(tmp_path, {"bomb": b"\0" * 5_000_000})
    # the entry lies about its size, in both places
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10)))
    with pytest.raises(DoceError):
        unpacking.unpack(path, tmp_path / "target", STATIC)
    assert not (tmp_path / "target").exists()


def test_too_many_entries_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(unpacking.MAX_FILES + 1):
            archive.writestr(str(number), b"")

    def never(*_: object) -> None:
        raise AssertionError("the list was read")

    monkeypatch.setattr(zipfile.ZipFile, "__init__", never)
    with pytest.raises(PayloadTooLarge):
        unpacking.unpack(path, tmp_path / "target", STATIC)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", b"PK\x05\x06" + b"\0" * 18, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_is_told_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises((BadRequest, PayloadTooLarge)):
        unpacking.unpack(tmp_path / "a.zip", tmp_path / "target", STATIC)
    assert not (tmp_path / "target").exists()


def test_an_entry_before_the_beginning_is_told_so(tmp_path: Path) -> None:
    path = zip_of(tmp_path, {"a.html": b"x"})
    data = bytearray(path.read_bytes())
    end = data.index(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", data, end + 16)
    struct.pack_into("<I", data, end + 16, offset + 5)
    path.write_bytes(data)
    with pytest.raises(BadRequest, match="not a zip"):
        unpacking.unpack(path, tmp_path / "target", STATIC)


def test_an_encrypted_zip_is_told_so(tmp_path: Path) -> None:
    path = zip_of(tmp_path, {"a.html": b"x"})
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    path.write_bytes(data)
    with pytest.raises(BadRequest, match="encrypted"):
        unpacking.unpack(path, tmp_path / "target", STATIC)


@pytest.fixture
def arrivals(office: Office) -> Arrivals:
    return Arrivals(
        office.settings,
        office.clock,
        store=office.store,
        prompts=office.prompts,
        projects=office.projects,
        incoming=Incoming(office.settings),
    )


def given(tmp_path: Path, entries: dict[str, bytes], name: str = "tea-shop.zip") -> Received:
    path = zip_of(tmp_path, entries)
    return Received(path, name, "application/zip", path.stat().st_size)


def test_an_import_is_a_project_whose_job_takes_the_files_over(office: Office, arrivals: Arrivals, tmp_path: Path) -> None:
    received = given(tmp_path, {"public/index.html": b"<h1>Mine</h1>", "doce.toml": b'[dev]\ncommand = ["evil"]\n'})
    project = arrivals.unpacked(office.owner, received, prompt="make it dark")
    assert (project.name, project.slug, project.template, project.queued_prompts) == ("Tea Shop", "tea-shop", "static", 1)
    assert [job.type for job in jobs.active(project.id)] == [JobType.PROJECT_CREATE]
    layout, incoming = office.projects.layout(project.id), Incoming(office.settings)
    assert take_over(incoming, project.id, layout)
    assert (layout.workspace / "public" / "index.html").read_text() == "<h1>Mine</h1>"
    assert not take_over(incoming, project.id, layout), "again, after a crash"
    assert list(incoming.folder.iterdir()) == []


def test_files_on_another_disk_are_taken_over_whole(
    office: Office, arrivals: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = arrivals.unpacked(office.owner, given(tmp_path, {"package.json": b"{}", "public/a.html": b"x"}))
    layout, incoming, rename = office.projects.layout(project.id), Incoming(office.settings), Path.rename

    def across(self: Path, target: Path) -> Path:
        if incoming.folder in self.parents:
            raise OSError(errno.EXDEV, "another disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", across)
    layout.root.mkdir(parents=True)
    (layout.root / ".workspace.new").mkdir()
    (layout.root / ".workspace.new" / "half").write_text("of a killed copy")
    assert take_over(incoming, project.id, layout)
    assert {path.name for path in layout.workspace.rglob("*") if path.is_file()} == {"package.json", "a.html"}


def test_an_import_that_is_refused_leaves_nothing(office: Office, arrivals: Arrivals, tmp_path: Path) -> None:
    received = given(tmp_path, {"../evil": b"x"})
    with pytest.raises(BadRequest):
        arrivals.unpacked(office.owner, received)
    good = given(tmp_path, {"a.html": b"x"})
    for options in ({"template": "nothing"}, {"model": "nothing"}, {"name": " "}, {"prompt": ""}):
        with pytest.raises(BadRequest):
            arrivals.unpacked(office.owner, good, **options)
    assert Project.select().count() == 0
    assert not list(Incoming(office.settings).folder.glob("*"))


def test_a_duplicate_has_the_files_and_not_the_secrets(office: Office, arrivals: Arrivals) -> None:
    project = office.projects.create(office.owner, "a site about tea", name="Tea")
    with pytest.raises(Conflict):
        arrivals.duplicate("usr_2", project)
    root = workspace(office.projects.layout(project.id).workspace, **{".env": "KEY=1", "src/a.js": "x"})
    (root / "link").symlink_to("/etc/passwd")
    copy = arrivals.duplicate("usr_2", project)
    assert (copy.name, copy.slug, copy.owner_user_id, copy.queued_prompts) == ("Tea copy", "tea-copy", "usr_2", 0)
    layout = office.projects.layout(copy.id)
    take_over(Incoming(office.settings), copy.id, layout)
    assert {path.relative_to(layout.workspace).as_posix() for path in layout.workspace.rglob("*") if not path.is_dir()} == {
        "public/index.html", "src/a.js",
    }  # fmt: skip
    assert arrivals.duplicate("usr_2", project, name="Another").slug == "another"
