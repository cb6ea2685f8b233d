"""What doctor finds, and when it fails."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from doce.doctor import Finding, examine
from doce.settings import Settings, load
from tests.cli.conftest import Doce

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DOCE_URL", "DOCE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return load({}, data=tmp_path / "data", cache=tmp_path / "cache", port=port)


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_a_bare_machine(settings: Settings) -> None:
    nobody = settings.model_copy(update={"docker_host": "unix:///nonexistent/docker.sock"})
    findings = examine(nobody, path="/nonexistent")
    git = named(findings, "git")
    assert (git.ok, git.present) == (False, False)
    assert git.hint
    assert "Install git" in git.hint
    for name in ("node", "opencode", "pnpm", "docker", "chromium", "doce", "providers", "data folder"):
        assert (named(findings, name).ok, named(findings, name).present) == (True, False), name
    assert not settings.data.exists()


def test_a_data_folder_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = named(examine(settings.model_copy(update={"data": Path("/proc/doce")})), "data folder")
    assert not found.ok
    assert found.hint == "Set DOCE_DATA to a folder of yours."


def test_a_full_disk(settings: Settings) -> None:
    assert not named(examine(settings.model_copy(update={"min_free_mb": 10**9})), "disk").ok


def test_a_port_somebody_else_has(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.port)) as taken:
        taken.settimeout(0)
        found = named(examine(settings), "port")
    assert (found.ok, found.said) == (False, f"{settings.port} is taken by another program")


def test_the_command(doce: Doce) -> None:
    as_json = doce("doctor", "--json")
    told = json.loads(as_json.stdout)
    assert as_json.returncode == (0 if told["ok"] else 1)
    assert {"name", "said", "ok", "present", "hint"} == set(told["findings"][0])
    assert "python" in doce("doctor").stdout
