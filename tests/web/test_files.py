"""Files over HTTP: uploads as bytes and as forms, downloads that cannot run as doce, and what hostile ones meet."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from doce.client import Doce, calls
from doce.errors import Conflict, NotFound, Unavailable
from doce.projects import assets

from .house import House
from .test_routes import refused

pytestmark = pytest.mark.slow


@pytest.fixture
def ada(house: House) -> tuple[str, dict[str, str], Path]:
    """(address of her project, her headers, its workspace)"""
    house.person("root", "admin")
    person, headers = house.person("ada")
    project = house.services.projects.create(person.id, "a site about tea")
    workspace = house.services.projects.layout(project.id).workspace
    (workspace / "public").mkdir(parents=True)
    return f"/api/projects/{project.id}", headers, workspace


def nothing_left(house: House) -> bool:
    folder = house.services.incoming.folder
    return not folder.exists() or not list(folder.iterdir())


def test_an_upload_as_bytes_and_as_a_form(house: House, ada: Any) -> None:
    url, headers, workspace = ada
    made = house.http.post(f"{url}/assets?name=My%20logo.svg", content=b"<svg/>", headers=headers)
    assert made.status_code == 201
    assert made.json()["name"] == "My-logo.svg"
    named = {**headers, "content-disposition": "attachment; filename*=UTF-8''caf%C3%A9.txt"}
    assert house.http.post(f"{url}/assets", content=b"menu", headers=named).json()["name"] == "cafe.txt"
    form = house.http.post(f"{url}/assets", files={"file": ("photo.JPG", b"\xff\xd8\xff", "image/jpeg")}, headers=headers)
    assert form.json()["name"] == "photo.jpg"
    assert (workspace / "public" / "photo.jpg").read_bytes() == b"\xff\xd8\xff"
    refused(house.http.post(f"{url}/assets", files={"file": ("photo.jpg", b"x")}, headers=headers), 409, "CONFLICT")
    listed = house.http.get(f"{url}/assets", headers=headers).json()
    assert [one["name"] for one in listed["items"]] == ["My-logo.svg", "cafe.txt", "photo.jpg"]
    assert nothing_left(house)


def test_a_download_cannot_run_as_doce(house: House, ada: Any) -> None:
    url, headers, workspace = ada
    (workspace / "public" / "evil.svg").write_text("<svg onload='alert(1)'/>")
    (workspace / 'ev"il\n.html').write_text("<script>alert(1)</script>")
    for answer in (
        house.http.get(f"{url}/assets/evil.svg", headers=headers),
        house.http.get(f"{url}/files/raw", params={"path": 'ev"il\n.html'}, headers=headers),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith('attachment; filename="ev')
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-type"] == "application/octet-stream"
    head = house.http.head(f"{url}/assets/evil.svg", headers=headers)
    assert head.status_code == 200
    assert head.content == b""


def test_what_is_too_large_is_refused_before_it_has_come(house: House, ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, headers, workspace = ada
    most = assets.MAX_SIZE
    raw = house.connect(f"{url}/assets?name=a.mp4", {**headers, "content-length": str(most + 1)}, method="POST")
    assert b" 413 " in raw.until(b"\r\n")

    # and one that does not say how large it is
    def endless() -> Any:
        for _ in range(60):
            yield b"x" * 1024**2

    answer = house.http.post(f"{url}/assets?name=a.mp4", content=endless(), headers=headers)
    assert "50 MiB" in refused(answer, 413, "PAYLOAD_TOO_LARGE")["message"]
    answer = house.http.post(f"{url}/assets", files={"file": ("a.mp4", b"x" * (most + 1))}, headers=headers)
    refused(answer, 413)
    whole = house.http.post(f"{url}/assets?name=a.mp4", content=b"x" * most, headers=headers)
    assert whole.json()["size"] == most
    assert [path.name for path in (workspace / "public").iterdir()] == ["a.mp4"]
    assert nothing_left(house)


FORMS = [
    (b"", "application/octet-stream"),
    (b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n\r\n--x--\r\n', "multipart/form-data; boundary=x"),
    (b"", "multipart/form-data; boundary=x"),
    (b"--x\r\n", "multipart/form-data"),
    (b"--x\r\n", "multipart/form-data; boundary="),
    (b"--x--\r\n", "multipart/form-data; boundary=x"),
    (b"nothing of it", "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--x--\r\n', "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; filename="a.png"\r\n\r\nno name\r\n--x--\r\n', "multipart/form-data; boundary=x"),
    (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n1\r\n' * 2 + b"--x--\r\n",
        "multipart/form-data; boundary=x",
    ),
    (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 20 + b"--x--\r\n", "multipart/form-data; boundary=x"),
    (b"--x\r\n" + b"A" * 100_000 + b": b\r\n\r\n", "multipart/form-data; boundary=x"),
    (b"--x\r\nContent-Type: text/plain; charset=nothing\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x; charset=nothing"),
]


@pytest.mark.parametrize(("content", "kind"), FORMS)
def test_bad_forms_are_told_so(house: House, ada: Any, content: bytes, kind: str) -> None:
    url, headers, workspace = ada
    refused(house.http.post(f"{url}/assets?name=a.png", content=content, headers={**headers, "content-type": kind}), 400, "BAD_REQUEST")
    assert list((workspace / "public").iterdir()) == []
    assert nothing_left(house)


def test_a_sender_that_leaves_leaves_nothing(house: House, ada: Any) -> None:
    url, headers, workspace = ada
    raw = house.connect(f"{url}/assets?name=a.png", {**headers, "content-length": "5000000"}, method="POST")
    raw.sock.sendall(b"x" * 100_000)
    house.until(lambda: not nothing_left(house))
    raw.close()
    house.until(lambda: nothing_left(house))
    assert list((workspace / "public").iterdir()) == []


def test_of_many_uploads_of_one_name_one_is_kept_whole(house: House, ada: Any) -> None:
    url, headers, workspace = ada
    contents = [bytes([number]) * 300_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda data: house.http.post(f"{url}/assets?name=a.png", content=data, headers=headers), contents))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert (workspace / "public" / "a.png").read_bytes() == contents[[answer.status_code for answer in answers].index(201)]
    assert [path.name for path in (workspace / "public").iterdir()] == ["a.png"]
    assert nothing_left(house)


def test_a_viewer_without_the_right_sends_nothing(house: House, ada: Any) -> None:
    url, _, _ = ada
    _, eve = house.person("eve")
    raw = house.connect(f"{url}/assets?name=a.png", {**eve, "content-length": "5000000"}, method="POST")
    assert b" 403 " in raw.until(b"\r\n")
    assert nothing_left(house)


def test_a_reader_that_leaves_gives_the_file_back(house: House, ada: Any) -> None:
    url, headers, workspace = ada
    with (workspace / "large").open("wb") as file:
        file.truncate(200 * 1024**2)
    before = _descriptors()
    raw = house.connect(f"{url}/files/raw?path=large", headers, buffer=4096)
    raw.until(b"\r\n\r\n")
    assert _descriptors() > before
    raw.close()
    house.until(lambda: _descriptors() <= before)


def _descriptors() -> int:
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            found += path.readlink().name == "large"
        except OSError:
            continue
    return found


def test_the_client_carries_files_both_ways(house: House, ada: Any, tmp_path: Path) -> None:
    url, headers, workspace = ada
    (workspace / "public" / "index.html").write_text("<h1>Tea</h1>")
    (tmp_path / "logo.png").write_bytes(b"x" * 700_000)
    with Doce(f"http://127.0.0.1:{house.port}", token=headers["authorization"].removeprefix("Bearer ")) as doce:
        project = url.rpartition("/")[2]
        assert doce.upload_asset(project, tmp_path / "logo.png")["size"] == 700_000
        fetched = io.BytesIO()
        assert doce.download(calls.asset(project, "logo.png"), fetched) == 700_000
        with (tmp_path / "export.zip").open("wb") as file:
            doce.download(calls.export(project), file)
        assert set(zipfile.ZipFile(tmp_path / "export.zip").namelist()) == {"public/index.html", "public/logo.png"}
        made = doce.import_project(tmp_path / "export.zip", template="static")
        assert (made["name"], made["prompt"]) == ("export", "")
        with pytest.raises(NotFound):
            doce.download(calls.asset(project, "none.png"), io.BytesIO())
        with pytest.raises(Conflict):
            doce.upload_asset(project, tmp_path / "logo.png")
    assert {entry.name for entry in house.services.incoming.folder.iterdir()} == {made["id"]}


class Losing(httpx.HTTPTransport):
    """Sends everything on and loses the first answer."""

    lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if not self.lost:
            self.lost += 1
            answer.read()
            answer.close()
            raise httpx.ReadError("the answer was lost")
        return answer


def test_a_project_whose_answer_was_lost_is_made_once(house: House, ada: Any) -> None:
    _, headers, _ = ada
    address = f"http://127.0.0.1:{house.port}"
    doce = Doce(address, token=headers["authorization"].removeprefix("Bearer "), pause=lambda seconds: None)
    doce.close()
    with httpx.Client(base_url=address, headers=headers, transport=Losing()) as doce._http:
        made = doce.create("a site about coffee")
        assert [item["name"] for item in doce.projects()["items"]][1:] == ["About Tea"], "hers, and this one once"
    with httpx.Client(base_url=address, headers=headers, transport=Losing()) as doce._http, pytest.raises(Unavailable):
        doce.stop(made["id"])
