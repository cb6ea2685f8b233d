"""What this machine may do to a deployment: a port that somebody else has, a disk that is full."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .conftest import docked
from .house import House, house
from .test_production import deploy, stop, write

# Several start a doce, images and agents of their own, on a machine that may be slow.
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

MIB = 1024 * 1024


@pytest.mark.parametrize("runtime", [pytest.param("process", marks=pytest.mark.nightly), "docker"])
def test_a_port_that_somebody_else_took_meanwhile_is_changed_and_told(
    request: pytest.FixtureRequest, cache: Path, tmp_path: Path, runtime: str
) -> None:
    if runtime == "docker":
        request.getfixturevalue("images")
    with (docked if runtime == "docker" else house)(tmp_path / "data", cache, DOCE_DRAIN_S="1") as home:
        project = home.create("[[rehearse only: hello]] a page about harbours", template="static")[0]
        before = deploy(home, project)
        stop(home, project)
        with socket.socket() as other:
            other.bind(("127.0.0.1", before["port"]))
            other.listen()
            after = deploy(home, project)
            assert after["status"] == "running"
            assert after["port"] != before["port"]
            assert httpx.get(after["url"], trust_env=False).status_code == 200
            jobs = home.doce.request("GET", "/api/jobs", query={"project": project})["items"]
            told = [line for job in jobs for line in lines(home, job["id"])]
            assert any(f"port {before['port']} was taken by somebody else" in line for line in told)
        assert deploy(home, project)["url"] == after["url"], "and it stays where it is now"


def lines(home: House, job: int) -> list[str]:
    """What a job wrote."""
    return [line["message"] for line in home.doce.request("GET", f"/api/jobs/{job}/logs")["items"]]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose deployments have a disk of 32 MiB of their own."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root can mount the small disk that this test fills")
    place = tmp_path / "data" / "production"
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: no small disk can be mounted here: {mounted.stderr.strip()}")
    yield tmp_path / "data"
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("size", [pytest.param(40, marks=pytest.mark.nightly, id="at the snapshot"), pytest.param(20, id="at the release")])
def test_a_disk_that_fills_in_the_middle_of_a_deploy(small: Path, cache: Path, size: int) -> None:
    """First the commit has no room, then what it made; what is live is served throughout, and the next deploy works."""
    with house(small, cache, DOCE_DRAIN_S="1") as home:
        project = home.create("[[rehearse only: hello]] a page about barrels", template="static")[0]
        before = deploy(home, project)
        large = home.folder / "projects" / project / "workspace" / "public" / "film.mp4"
        large.write_bytes(os.urandom(size * MIB))
        failed = deploy(home, project)
        assert (failed["status"], failed["hash"], failed["url"]) == ("failed", before["hash"], before["url"])
        assert "No space left" in failed["error"], failed["error"]
        assert httpx.get(before["url"], trust_env=False).status_code == 200
        left = sum(path.stat().st_size for path in (small / "production").rglob("*") if path.is_file())
        assert left < MIB, "nothing half made stays"
        large.unlink()
        write(home, project, "public/index.html", "<!doctype html><title>Barrels</title>")
        assert deploy(home, project)["status"] == "running"
        assert "Barrels" in httpx.get(before["url"], trust_env=False).text
        home.doce.delete(project)
        with contextlib.suppress(AssertionError):
            home.until(project, lambda event: event.type == "project.deleted", timeout_s=30)
