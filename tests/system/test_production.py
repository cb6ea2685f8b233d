"""Deployments for real: what visitors get through deploys, rollbacks, failures and kill -9 of doce."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doce.client.reading import Event
from doce.docker.engine import Engine
from doce.errors import Conflict, NotFound, Unavailable

from .conftest import docked
from .house import House, house

pytestmark = [pytest.mark.system, pytest.mark.slow]

PATH = "/api/projects/{}/production"


def production(home: House, project: str) -> dict[str, Any]:
    found: dict[str, Any] = home.doce.request("GET", PATH.format(project))
    return found


def settled(home: House, project: str, after: int) -> dict[str, Any]:
    """How it is once the pipeline has ended, well or not."""
    home.until(
        project,
        lambda event: event.type == "production.status" and event.payload["status"] in ("running", "failed", "stopped"),
        after=after,
    )
    return production(home, project)


def stop(home: House, project: str) -> None:
    """Until nothing is served; what the stop cancelled tells its own end first."""
    asked = home.doce.request("POST", PATH.format(project) + "/stop")
    home.until(project, lambda event: event.type == "production.status" and event.payload["status"] == "stopped", after=asked["seq"])
    assert production(home, project)["status"] == "stopped"


def deploy(home: House, project: str) -> dict[str, Any]:
    asked = home.doce.request("POST", PATH.format(project))
    return settled(home, project, asked["seq"])


def rollback(home: House, project: str, version: str | None = None) -> dict[str, Any]:
    asked = home.doce.request("POST", PATH.format(project) + "/rollback", body={"version": version} if version else {})
    return settled(home, project, asked["seq"])


def write(home: House, project: str, path: str, text: str) -> None:
    place = home.folder / "projects" / project / "workspace" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


class Visitors:
    """Ask for the page all the time, some on one connection, some on a new one each; every answer is counted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.counted: Counter[str] = Counter()
        self.pages: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(kept,)) for kept in (True, True, False)]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, kept: bool) -> None:
        with httpx.Client(trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=5 if kept else 0)) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(self._url)
                    self.counted[str(answer.status_code)] += 1
                    self.pages.add(answer.text)
                    # A hundred a second of each: they share the processors with what they look at.
                    self._stop.wait(0.01)
                except httpx.HTTPError as error:
                    self.counted[repr(error)] += 1


@pytest.fixture(scope="module", params=[*(pytest.param(one, marks=pytest.mark.nightly) for one in ("nginx", "own")), "docker"])
def home(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("production")
    settings = {"DOCE_DRAIN_S": "1", "DOCE_HEALTHY_TIMEOUT_S": "15"}
    made_by = house
    if request.param == "docker":
        request.getfixturevalue("images")
        made_by = docked
    if request.param == "own":
        # A machine without nginx: only the folders of what else is needed.
        tools = folder / "bin"
        tools.mkdir()
        for name in ("git", "node", "npm", "sh", "bash", "ls", "cat"):
            if found := shutil.which(name):
                (tools / name).symlink_to(found)
        settings["PATH"] = str(tools)
    with made_by(folder / "data", cache, **settings) as made:
        yield made
        for project in made.doce.projects()["items"]:
            made.doce.delete(project["id"])
            made.until(project["id"], lambda event: event.type == "project.deleted", timeout_s=30)


def services(home: House, project: str) -> set[str]:
    """Those that run."""
    found = home.doce.request("GET", "/api/monitor")["projects"]
    return {one["service"] for row in found if row["id"] == project for one in row["services"] if one["state"] == "running"}


def kill_web(home: House, project: str) -> None:
    """As a crash would."""
    for process in home.agents(project, "web"):
        process.kill()
    if home.environment.get("DOCE_RUNTIME") == "docker":
        with contextlib.closing(Engine()) as engine:
            engine.client.containers.get(f"doce_{project}-web-1").kill()


@pytest.fixture(scope="module")
def site(home: House) -> str:
    """Deployed, so that each test can be run alone."""
    project = home.create("a lighthouse museum")[0]
    assert deploy(home, project)["status"] == "running"
    return project


def test_visitors_notice_nothing_of_deploys_and_rollbacks(home: House, site: str) -> None:
    first = deploy(home, site)
    assert (first["status"], first["version"]) == ("running", 1)
    with Visitors(first["url"]) as visitors:
        for number in range(2, 5):
            write(home, site, "public/index.html", f"<!doctype html><title>{number}</title><p>version {number}</p>")
            assert deploy(home, site)["version"] == number
        assert rollback(home, site)["version"] == 3
        assert rollback(home, site, "v1")["version"] == 1
        assert rollback(home, site, "v4")["version"] == 4
    assert set(visitors.counted) == {"200"}, visitors.counted
    assert visitors.counted["200"] > 50
    assert len(visitors.pages) == 4
    with pytest.raises(NotFound, match="no version"):
        rollback(home, site, "v9")


#: Names of files, and what a browser takes them for.
TYPED = {
    "app.js": "text/javascript", "module.mjs": "text/javascript", "style.css": "text/css",
    "data.json": "application/json", "app.webmanifest": "application/manifest+json", "code.wasm": "application/wasm",
    "notes.md": "text/markdown", "prices.csv": "text/csv", "words.txt": "text/plain", "captions.vtt": "text/vtt",
    "letters.woff2": "font/woff2", "letters.ttf": "font/ttf", "picture.avif": "image/avif", "picture.webp": "image/webp",
    "drawing.svg": "image/svg+xml", "a picture ü.png": "image/png", "sound.mp3": "audio/mpeg", "sound.wav": "audio/wav",
    "film.mp4": "video/mp4", "film.webm": "video/webm", "paper.pdf": "application/pdf",
}  # fmt: skip


def test_what_is_served_and_how(home: House, site: str) -> None:
    write(home, site, "public/404.html", "<!doctype html><title>Lost</title>")
    write(home, site, "public/.secret", "no")
    write(home, site, "public/assets/app-0a1b2c3d4e.js", "console.log(1)\n" * 100)
    write(home, site, "public/sub/index.html", "<!doctype html><title>Sub</title>")
    for name in TYPED:
        write(home, site, f"public/{name}", "x")
    url = deploy(home, site)["url"].rstrip("/")
    with httpx.Client(base_url=url, trust_env=False) as client:
        page = client.get("/")
        assert (page.headers["content-type"], page.headers["cache-control"]) == ("text/html; charset=utf-8", "no-cache")
        assert client.get("/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        script = client.get("/assets/app-0a1b2c3d4e.js", headers={"accept-encoding": "gzip"})
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-encoding"] == "gzip"
        for name, kind in TYPED.items():
            assert client.get(f"/{name}").headers["content-type"].split(";")[0] == kind, name
        assert client.head("/").headers["content-length"]
        assert client.post("/").status_code == 405
        part = client.get("/assets/app-0a1b2c3d4e.js", headers={"range": "bytes=0-6", "accept-encoding": "identity"})
        assert (part.status_code, part.text) == (206, "console")
        assert "<title>Sub</title>" in client.get("/sub/", follow_redirects=True).text
        lost = client.get("/nothing/here")
        assert (lost.status_code, "<title>Lost</title>" in lost.text) == (404, True)
        for path in ("/.secret", "/.git/config", "/sub/.git", "/%2e%2e/%2e%2e/secret.key", "/..%2f..%2fsecret.key", "/assets/"):
            answer = client.get(path)
            assert answer.status_code in (400, 404), path
            assert "Index of" not in answer.text


def test_the_files_of_the_version_before_are_still_there(home: House, site: str) -> None:
    url = production(home, site)["url"]
    (home.folder / "projects" / site / "workspace" / "public" / "assets" / "app-0a1b2c3d4e.js").unlink()
    write(home, site, "public/assets/app-ffffffffff.js", "console.log(2)\n")
    assert deploy(home, site)["status"] == "running"
    for name in ("app-0a1b2c3d4e.js", "app-ffffffffff.js"):
        assert httpx.get(f"{url}assets/{name}", trust_env=False).status_code == 200


def test_the_same_output_makes_no_second_release(home: House, site: str) -> None:
    before = production(home, site)["releases"]
    again = deploy(home, site)
    assert (again["status"], again["releases"]) == ("running", before)


def test_a_link_in_the_output_is_not_deployed_and_what_was_live_stays(home: House, site: str) -> None:
    before = production(home, site)
    place = home.folder / "projects" / site / "workspace" / "public" / "passwd"
    place.symlink_to("/etc/passwd")
    after = deploy(home, site)
    place.unlink()
    # The snapshot leaves links out; whatever becomes of it, the file behind is never served.
    assert httpx.get(f"{before['url']}passwd", trust_env=False).status_code == 404
    assert after["url"] == before["url"]


def test_an_empty_output_fails_with_the_reason_and_the_next_deploy_works(home: House, site: str) -> None:
    before = production(home, site)
    workspace = home.folder / "projects" / site / "workspace"
    (workspace / "public").rename(workspace / "elsewhere")
    after = deploy(home, site)
    (workspace / "elsewhere").rename(workspace / "public")
    assert after["status"] == "failed"
    assert "no folder 'public'" in after["error"]
    assert (after["hash"], after["url"]) == (before["hash"], before["url"])
    assert httpx.get(before["url"], trust_env=False).status_code == 200
    write(home, site, "public/fresh.txt", "fresh")
    assert deploy(home, site)["status"] == "running"
    assert httpx.get(f"{before['url']}fresh.txt", trust_env=False).text == "fresh"


def test_a_deploy_ships_what_was_kept_and_not_what_is_half_written(home: House, site: str) -> None:
    prompt = home.doce.chat(site, "[[rehearse slow 30]] [[rehearse long 3000]]")
    home.until(site, lambda event: event.type == "chat.message.part.added" and event.prompt_id == prompt["id"], after=prompt["seq"])
    write(home, site, "public/half.txt", "half")
    url = deploy(home, site)["url"]
    assert httpx.get(f"{url}half.txt", trust_env=False).status_code == 404
    home.doce.stop(site)
    home.until(site, lambda event: event.type == "chat.prompt.stopped", after=prompt["seq"])
    (home.folder / "projects" / site / "workspace" / "public" / "half.txt").unlink()


def test_a_server_release_takes_over_only_when_it_is_healthy(home: House) -> None:
    project = home.create("a tea shop", template="node-server")[0]
    first = deploy(home, project)
    assert (first["status"], first["version"]) == ("running", 1)
    server = (home.folder / "projects" / project / "workspace" / "server.mjs").read_text()
    with Visitors(f"{first['url']}api/time") as visitors:
        write(home, project, "server.mjs", server.replace('"/api/time": () => ({', '"/api/time": () => ({ second: true,'))
        second = deploy(home, project)
        assert (second["status"], second["version"]) == ("running", 2)
        write(home, project, "server.mjs", "console.error('it cannot be'); process.exit(3)")
        ended = deploy(home, project)
        assert ended["status"] == "failed"
        assert "exit code 3" in ended["error"]
        write(
            home, project, "server.mjs", server.replace('"/health": () => ({ ok: true }),', '"/health": () => { throw new Error("ill") },')
        )
        ill = deploy(home, project)
        assert ill["status"] == "failed"
        assert "did not become healthy" in ill["error"]
        assert production(home, project)["version"] == 2
        assert rollback(home, project)["version"] == 1
    assert set(visitors.counted) == {"200"}, visitors.counted
    slow = server.replace("server.listen(", "await new Promise((go) => setTimeout(go, 3000));\nserver.listen(")
    write(home, project, "server.mjs", slow)
    assert deploy(home, project)["status"] == "running", "while the version before it lets its visitors go, it is left alone"
    live = f"release-{production(home, project)['hash']}"
    assert {name for name in services(home, project) if name.startswith("release-")} >= {live}


@pytest.mark.skipif(shutil.which("wrk") is None, reason="NO WRK here: Debian's package wrk is it")
def test_a_server_answers_as_many_as_ask(home: House) -> None:
    """The web server has a connection of its own for each request, and a port that was used for one is not free for a minute: more
    than there are ports, or a minute of what this machine can."""
    project = home.create("a soup kitchen", template="node-server")[0]
    url, answered = deploy(home, project)["url"], 0
    for _ in range(12):
        words = ["wrk", "-t1", "-c16", "-d5s", f"{url}api/time"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
        assert "Non-2xx" not in said, said
        answered += int(said.split(" requests in")[0].split()[-1])
        if answered > 45_000:
            break
    assert answered


def test_two_deploys_at_once_one_runs_and_the_other_is_told_which(home: House, site: str) -> None:
    home.doce.request("POST", "/api/queue/pause")
    try:
        first = home.doce.request("POST", PATH.format(site))
        with pytest.raises(Conflict, match=f"job {first['activeJob']}"):
            home.doce.request("POST", PATH.format(site))
    finally:
        home.doce.request("POST", "/api/queue/resume")
    assert settled(home, site, first["seq"])["status"] == "running"


def test_taken_off_and_put_back_at_the_same_address(home: House, site: str) -> None:
    before = production(home, site)
    stop(home, site)
    with pytest.raises(httpx.ConnectError):
        httpx.get(before["url"], trust_env=False)
    again = home.doce.request("POST", PATH.format(site) + "/stop")
    assert (again["status"], again["activeJob"]) == ("stopped", None), "there is nothing to do"
    assert "is not served" in home.command("production", "stop", site, "--follow").stdout
    after = deploy(home, site)
    assert (after["status"], after["url"]) == ("running", before["url"])


def test_it_is_served_while_doce_is_away_and_started_again_when_it_is_gone(home: House, site: str) -> None:
    url = production(home, site)["url"]
    home.kill()
    assert httpx.get(url, trust_env=False).status_code == 200
    home.start()
    assert httpx.get(url, trust_env=False).status_code == 200
    kill_web(home, site)
    bell = threading.Event()
    for _ in range(200):
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                break
        except httpx.HTTPError:
            bell.wait(0.1)
    else:
        raise AssertionError("nobody serves it again")
    # By one server at the same address, not by one that doce no longer knows beside a new one.
    assert production(home, site)["url"] == url


@pytest.mark.parametrize(
    "point", ["production.laid", "production.built", "production.started", "production.switched", "production.stopped"]
)
def test_killed_at_any_point_the_old_version_serves_and_the_deploy_goes_on(home: House, site: str, point: str) -> None:
    url = production(home, site)["url"]
    home.stop()
    home.start(DOCE_FAULT=f"{point}=kill")
    write(home, site, "public/index.html", f"<!doctype html><title>{point}</title>")
    after = max(event.seq for event in home.doce.events(site, follow=False))
    # A quick worker dies before the answer is sent.
    with contextlib.suppress(Unavailable):
        home.doce.request("POST", PATH.format(site) + ("/stop" if point == "production.stopped" else ""))
    assert home.process
    assert home.process.wait(30) == -signal.SIGKILL
    if point != "production.stopped":
        assert httpx.get(url, trust_env=False).status_code == 200
    home.start()

    def over(event: Event) -> bool:
        wanted = "stopped" if point == "production.stopped" else "running"
        return event.type == "production.status" and event.payload["status"] == wanted

    home.until(site, over, after=after, timeout_s=60)
    if point == "production.stopped":
        assert deploy(home, site)["status"] == "running"
    assert point in httpx.get(url, trust_env=False).text or point == "production.stopped"
    assert httpx.get(url, trust_env=False).status_code == 200
