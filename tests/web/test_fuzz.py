"""Uploads, zip files, forms and headers that nobody would send in good faith: refused or taken, but never any harm."""

from __future__ import annotations

import io
import socket
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .house import PATIENCE_S, House, Raw

pytestmark = pytest.mark.slow

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
CANARY = "what the host has beside doce"
#: What the API says an upload or an import may come to.
DOCUMENTED = {200, 201, 400, 404, 405, 409, 413}


@dataclass
class Ground:
    """A doce, a project, and files around it that nobody may touch."""

    house: House
    folder: Path
    headers: dict[str, str]
    project: str

    def unharmed(self) -> None:
        """What is beside doce is as it was; nothing is left half-way; doce still answers."""
        assert (self.folder / "canary").read_text() == CANARY
        assert {path.name for path in self.folder.iterdir()} <= {"canary", "data", "cache"}
        for path in self.folder.rglob("*"):
            assert not path.is_symlink(), path
            assert "evil" not in path.name or (self.folder / "data") in path.parents
        known = {item.id for item in self.house.services.projects.list(None, limit=200).items}
        incoming = self.house.services.incoming.folder
        # A sender that left is noticed, and what it sent removed, a moment after its connection is gone.
        self.house.until(lambda: not incoming.exists() or {path.name for path in incoming.iterdir()} <= known)
        assert self.house.http.get("/api/me", headers=self.headers).status_code == 200

    def forget(self) -> None:
        """Imports of one example must not make the next one slow."""
        for item in self.house.services.projects.list(None, limit=200).items:
            if item.id != self.project:
                self.house.services.incoming.forget(item.id)


@pytest.fixture
def ground(house: House, tmp_path: Path) -> Ground:
    owner, headers = house.person("root", "admin")
    project = house.services.projects.create(owner.id, "a site about tea")
    (house.services.projects.layout(project.id).workspace / "public").mkdir(parents=True)
    (tmp_path / "canary").write_text(CANARY)
    return Ground(house, tmp_path, headers, project.id)


PART = st.sampled_from(
    ["..", ".", "", "a", "b", "evil", "public", ".git", "node_modules", "C:", "\\", "ü", "a\n", "x" * 300, "~", "\u202e", "NUL"]
)
NAME = st.one_of(st.lists(PART, min_size=1, max_size=6).map("/".join), st.text(min_size=1, max_size=40), st.just("../" * 8 + "canary"))
MODE = st.sampled_from([0, 0o100644, 0o100755, stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666, stat.S_IFBLK | 0o666, stat.S_IFDIR | 0o755])
ENTRY = st.tuples(NAME, MODE, st.one_of(st.binary(max_size=200), st.just(b"../../../canary"), st.just(b"\0" * 100_000)))
#: Bytes changed in the finished file: (place, value).
DAMAGE = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6)


def packed(entries: list[tuple[str, int, bytes]], damage: list[tuple[int, int]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, data in entries:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = mode << 16
            archive.writestr(info, data)
    whole = bytearray(file.getvalue())
    for place, value in damage:
        whole[place % len(whole)] = value
    return bytes(whole)


def import_does_no_harm(ground: Ground, entries: list[tuple[str, int, bytes]], damage: list[tuple[int, int]]) -> None:
    content = packed(entries, damage)
    answer = ground.house.http.post("/api/imports?name=Fuzz", content=content, headers=ground.headers)
    assert answer.status_code in DOCUMENTED, answer.text
    ground.unharmed()
    ground.forget()


def upload_does_no_harm(ground: Ground, name: str, content: bytes, kind: str) -> None:
    url = f"/api/projects/{ground.project}/assets"
    answer = ground.house.http.post(url, params={"name": name}, content=content, headers={**ground.headers, "content-type": kind})
    assert answer.status_code in DOCUMENTED, answer.text
    public = ground.house.services.projects.layout(ground.project).workspace / "public"
    for path in public.iterdir():
        assert path.is_file()
        assert set(path.name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
        path.unlink()
    ground.unharmed()


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
VALUE = st.binary(max_size=60).map(lambda data: bytes(byte for byte in data if byte >= 32 and byte != 127))
KNOWN = st.sampled_from(
    ["content-type", "content-length", "content-disposition", "transfer-encoding", "expect", "host", "last-event-id", "idempotency-key",
     "accept", "cookie", "origin", "x-forwarded-for", "range", "if-none-match", "upgrade", "authorization"]
)  # fmt: skip
HEADERS = st.lists(st.tuples(st.one_of(KNOWN, TOKEN), VALUE), max_size=6)
PATHS = st.sampled_from(["/api/me", "/api/projects", "/api/imports", "/api/projects/{project}/assets", "/api/jobs/stream?follow=false"])


def headers_do_no_harm(ground: Ground, method: str, path: str, headers: list[tuple[str, bytes]], body: bytes) -> None:
    raw = _sent(ground, method, path, headers, body)
    said = raw.rest()
    raw.close()
    if said:
        status = int(said.split(b" ", 2)[1])
        assert status < 500, said[:500]
    ground.house.clock.advance(s=61)
    ground.unharmed()


def _sent(ground: Ground, method: str, path: str, headers: list[tuple[str, bytes]], body: bytes) -> Raw:
    """A request as it is, with whatever it contradicts itself in, from a sender that then says no more."""
    sock = socket.create_connection(("127.0.0.1", ground.house.port), PATIENCE_S)
    lines = [f"{method} {path.format(project=ground.project)} HTTP/1.1".encode(), b"connection: close"]
    lines += [b"authorization: " + ground.headers["authorization"].encode()]
    lines += [name.encode() + b": " + value for name, value in headers]
    sock.sendall(b"\r\n".join([*lines, b"", b""]) + body)
    sock.shutdown(socket.SHUT_WR)
    ground.house.connections.append(Raw(sock))
    return ground.house.connections[-1]


FORM = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from([
            b"--x\r\n", b"--x--\r\n", b"\r\n", b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n', b"\xff\0",
            b'Content-Disposition: form-data; name="a"\r\n', b"Content-Type: image/png\r\n", b"data", b"A" * 2000, b": \r\n", b"--x",
            b'Content-Disposition: form-data; name="file"; filename="../../canary"\r\n', b"Content-Transfer-Encoding: base64\r\n",
        ]),
        max_size=12,
    ).map(b"".join),
)  # fmt: skip
KIND = st.sampled_from([
    "multipart/form-data; boundary=x", "multipart/form-data", "application/zip", "application/json",
    "multipart/form-data; boundary=" + "x" * 300,
    'multipart/form-data; boundary="x', "multipart/form-data; boundary=x; charset=utf-7", "multipart/mixed; boundary=x",
])  # fmt: skip
METHOD = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT", "TRACE"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
@FEW
@given(entries=st.lists(ENTRY, max_size=8), damage=DAMAGE)
def test_zip_files(ground: Ground, entries: list[tuple[str, int, bytes]], damage: list[tuple[int, int]]) -> None:
    import_does_no_harm(ground, entries, damage)


@FEW
@given(name=NAME, content=FORM, kind=KIND)
def test_uploads_and_forms(ground: Ground, name: str, content: bytes, kind: str) -> None:
    upload_does_no_harm(ground, name, content, kind)


@FEW
@given(method=METHOD, path=PATHS, headers=HEADERS, body=st.one_of(st.just(b""), FORM))
def test_headers(ground: Ground, method: str, path: str, headers: list[tuple[str, bytes]], body: bytes) -> None:
    headers_do_no_harm(ground, method, path, headers, body)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:Duplicate name")
@MANY
@given(entries=st.lists(ENTRY, max_size=8), damage=DAMAGE)
def test_many_zip_files(ground: Ground, entries: list[tuple[str, int, bytes]], damage: list[tuple[int, int]]) -> None:
    import_does_no_harm(ground, entries, damage)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@MANY
@given(name=NAME, content=FORM, kind=KIND)
def test_many_uploads_and_forms(ground: Ground, name: str, content: bytes, kind: str) -> None:
    upload_does_no_harm(ground, name, content, kind)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@MANY
@given(method=METHOD, path=PATHS, headers=HEADERS, body=st.one_of(st.just(b""), FORM))
def test_many_headers(ground: Ground, method: str, path: str, headers: list[tuple[str, bytes]], body: bytes) -> None:
    headers_do_no_harm(ground, method, path, headers, body)
