"""The starters as they are installed: manifests, no addresses of registries, and a dev server that works."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doce.errors import BadRequest
from doce.projects import templates
from doce.settings import load, machine_path
from doce.toolchain import Toolchain

node = Toolchain(load().cache, path=machine_path()).find("node")


@pytest.mark.parametrize("name", templates.names())
def test_manifest_and_workspace_fit(name: str) -> None:
    template = templates.get(name)
    assert template.description
    assert template.dev.command
    assert (template.workspace / "AGENTS.md").exists()
    assert (template.workspace / ".gitignore").exists()
    assert not (template.workspace / "node_modules").exists()
    assert not (template.workspace / ".git").exists()


def test_there_are_two_and_an_unknown_one_names_them() -> None:
    assert set(templates.names()) >= {"astro-starter", "static"}
    with pytest.raises(BadRequest, match="no template"):
        templates.get("../static")


@pytest.mark.parametrize("name", templates.names())
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    for path in templates.get(name).workspace.rglob("*"):
        if path.is_file() and path.suffix in (".html", ".css", ".astro", ".yaml", ".json", ".mjs", ".js"):
            outside = re.findall(r"https?://(?!www\.w3\.org/|127\.0\.0\.1|localhost|\$\{|\[)[\w.-]+", path.read_text("utf-8"))
            assert not outside, f"{path.name}: {outside}"
            assert "tarball:" not in path.read_text("utf-8")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The static template's dev server on a copy: (workspace, port)."""
    with running("static", "dev-server.mjs", tmp_path) as served:
        yield served


@contextlib.contextmanager
def running(template: str, program: str, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A copy of a template, served by one of its programs: (workspace, port). It must end well when asked to."""
    if node is None:
        pytest.skip("no Node here; `doce demo` fetches one")
    workspace = tmp_path / "site"
    shutil.copytree(templates.get(template).workspace, workspace)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [str(node.path), program], cwd=workspace, env={"PORT": str(port), "HOST": "127.0.0.1", "PATH": os.defpath},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if "ready on" in line:
            break
    yield workspace, port
    process.terminate()
    assert process.wait(5) in (0, -15, 143)
    process.stdout.close()


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_dev_server_serves_the_site_and_nothing_else(server: tuple[Path, int]) -> None:
    workspace, port = server
    status, headers, body = get(port, "/")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/html")
    assert b"A site is being made" in body
    assert get(port, "/styles.css")[1]["content-type"].startswith("text/css")
    (workspace / "public" / "out").symlink_to("/etc/passwd")
    (workspace / "public" / ".env").write_text("SECRET=1")
    for path in (
        "/nope",
        "/../package.json",
        "/%2e%2e/package.json",
        "/..%2fpackage.json",
        "/.env",
        "/out",
        "/dev-server.mjs",
        "//etc/passwd",
    ):
        assert get(port, path)[0] in (400, 403, 404), path
    status, headers, body = get(port, "/styles.css", Range="bytes=0-9")
    assert (status, len(body)) == (206, 10)


def test_the_example_server_serves_its_pages_and_nothing_else(tmp_path: Path) -> None:
    with running("node-server", "server.mjs", tmp_path) as (workspace, port):
        health = get(port, templates.get("node-server").start.health)
        assert (health[0], health[2]) == (200, b'{"ok":true}')
        status, headers, body = get(port, "/")
        assert (status, headers["content-type"], len(body)) == (200, "text/html; charset=utf-8", int(headers["content-length"]))
        (workspace / "public" / "out").symlink_to("/etc/passwd")
        (workspace / "public" / ".env").write_text("SECRET=1")
        for path in (
            "/nope",
            "/%2e%2e/package.json",
            "/..%2fpackage.json",
            "/../server.mjs",
            "/.env",
            "/out",
            "//etc/passwd",
            "/%00",
            "/%ff",
        ):
            status, _, body = get(port, path)
            assert (status in (400, 404), b"root:" in body, b"SECRET" in body) == (True, False, False), path
        assert get(port, "/api/time")[1]["cache-control"] == "no-store"


def test_a_change_is_told_to_the_open_page(server: tuple[Path, int]) -> None:
    workspace, port = server
    page = get(port, "/")[2].decode()
    live = re.search(r'src="(/__doce/[^"]+)"', page)
    assert live
    script = get(port, live[1])[2].decode()
    stream = re.search(r"/__doce/[\w/-]*(?:events|changes|stream|live|reload)[\w/-]*", script.replace(live[1].split("?")[0], ""))
    assert stream, script
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", stream[0])
        answer = connection.getresponse()
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        (workspace / "public" / "index.html").write_text("<h1>changed</h1>")
        while b"index.html" not in (line := answer.readline()):
            assert line
    assert b"<h1>changed</h1>" in get(port, "/")[2]
