"""The scripts for cron, as cron runs them: another process, an address and a token, and nobody who reads what went well."""

from __future__ import annotations

import csv
import datetime
import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .house import House, house
from .test_production import production

pytestmark = [pytest.mark.system, pytest.mark.slow]

SCRIPTS = Path(__file__).parents[2] / "scripts" / "cron"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "common")


@pytest.fixture(scope="module")
def home(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("cron") / "data", cache, DOCE_DRAIN_S="1") as made:
        yield made


@pytest.fixture(scope="module")
def project(home: House) -> str:
    return home.create("[[rehearse only: hello]] a page about clocks", template="static", name="Clocks")[0]


def cron(home: House, script: str, *words: str | Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    address = home.doce.address
    assert address.token
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{script}.py", *words], capture_output=True, text=True, timeout=100, check=False, cwd="/",
        stdin=subprocess.DEVNULL,
        env={
            "PATH": os.environ["PATH"], "HOME": str(home.folder), "DOCE_CACHE": str(home.folder / "cron-cache"),
            "DOCE_URL": address.url, "DOCE_TOKEN": address.token.get_secret_value(), **environment,
        },
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def one_line(found: tuple[int, str, str]) -> str:
    """What a script that failed said."""
    code, out, said = found
    assert (code, out, said.count("\n")) == (1, "", 1), found
    return said


def test_a_project_is_built_anew_every_night(home: House, project: str) -> None:
    assert cron(home, "deploy", "clocks") == (0, "", "")
    assert cron(home, "deploy", "clocks") == (0, "", "")
    view = production(home, project)
    assert (view["status"], view["version"], len(view["releases"])) == ("running", 1, 1), "the same files are the same version"
    home.doce.deploy(project)
    assert cron(home, "deploy", "clocks") == (0, "", ""), "somebody else's deploy is waited for"
    page = home.folder / "projects" / project / "workspace" / "public"
    page.rename(page.with_name("elsewhere"))
    said = one_line(cron(home, "deploy", "nothing-here", "clocks"))
    assert "nothing-here" in said
    assert "clocks was not deployed" in said
    assert httpx.get(view["url"], trust_env=False).status_code == 200
    page.with_name("elsewhere").rename(page)


def test_a_prompt_at_a_fixed_time(home: House, project: str) -> None:
    assert cron(home, "prompt", "--deploy", "clocks", "[[rehearse only: hello]] the hours of this week") == (0, "", "")
    newest = home.doce.prompts(project)["items"][0]
    assert (newest["state"], "hours of this week" in newest["text"]) == ("completed", True)
    assert "failed" in one_line(cron(home, "prompt", "clocks", "[[rehearse 401]] more"))
    assert "no provider 'nobody'" in one_line(cron(home, "prompt", "--model", "nobody/nothing", "clocks", "more"))


WORDS = {"deploy": ["clocks"], "prompt": ["clocks", "again"], "prune": [], "usage": ["usage.csv"], "health": [], "backup": ["backups"]}


@pytest.mark.parametrize("script", NAMES)
def test_the_same_work_is_done_once_at_a_time(home: House, script: str) -> None:
    """Where it runs already, another does not even ask; other words are other work."""
    words, nowhere = WORDS[script], "http://127.0.0.1:9"
    which = hashlib.sha256("\0".join([f"{script}.py", nowhere, *words]).encode()).hexdigest()[:16]
    locks = home.folder / "cron-cache" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{script}.py-{which}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert cron(home, script, *words, DOCE_URL=nowhere) == (0, "", "")
        assert "127.0.0.1:9" in one_line(cron(home, script, "--timeout", "9", *words, DOCE_URL=nowhere))
    assert "127.0.0.1:9" in one_line(cron(home, script, *words, DOCE_URL=nowhere))


def test_usage_of_a_day(home: House, project: str) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    named = home.folder / "reports" / "%Y" / "usage.csv"
    assert cron(home, "usage", "--day", today, named) == (0, "", "")
    with (home.folder / "reports" / today[:4] / "usage.csv").open() as file:
        rows = {row["project"]: row for row in csv.DictReader(file)}
    assert rows["clocks"]["day"] == today
    assert int(rows["clocks"]["input"]) > 0
    assert "more than $-1.00" in one_line(cron(home, "usage", "--day", today, "--limit=-1", named))


def test_health(home: House, project: str) -> None:
    assert cron(home, "health") == (0, "", "")
    home.doce.request("POST", "/api/queue/pause")
    assert "The queue is paused" in one_line(cron(home, "health"))
    home.doce.request("POST", "/api/queue/resume")
    said = one_line(cron(home, "health", DOCE_URL="http://127.0.0.1:9"))
    assert said.startswith("health.py: ")
    assert "127.0.0.1:9" in said
    assert "token" in one_line(cron(home, "health", DOCE_TOKEN="doce_wrong")).lower()


def test_backup(home: House, project: str) -> None:
    folder = home.folder / "backups"
    for day in ("2020-01-01", "2020-01-02", "notes"):
        (folder / day).mkdir(parents=True)
    for _ in range(2):
        assert cron(home, "backup", "--keep", "2", "--data", home.folder, folder) == (0, "", "")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert sorted(path.name for path in folder.iterdir()) == ["2020-01-02", today, "notes"]
    assert "public/index.html" in zipfile.ZipFile(folder / today / "clocks.zip").namelist()
    assert (folder / today).stat().st_mode & 0o077 == 0
    assert (folder / today / "secret.key").read_bytes() == (home.folder / "secret.key").read_bytes()
    copy = sqlite3.connect(folder / today / "db.sqlite")
    assert copy.execute("SELECT slug FROM projects WHERE id = ?", (project,)).fetchall() == [("clocks",)]
    copy.close()


def test_pruning(home: House, project: str) -> None:
    gone, _ = home.create("[[rehearse only: hello]] an old page", template="static", name="Old")
    home.doce.request("POST", f"/api/projects/{gone}/halt")
    home.until(gone, lambda event: event.type == "project.status" and event.payload["status"] == "stopped")
    code, out, said = cron(home, "prune", "--dry-run", "--jobs", "0", "--projects", "1")
    assert (code, "would delete job" in out, "would delete project" in out, said) == (0, True, False, "")
    age(home, gone)
    age(home, project)
    assert "would delete project old\n" in cron(home, "prune", "--dry-run", "--jobs", "0", "--projects", "1")[1]
    assert cron(home, "prune", "--jobs", "0", "--projects", "1") == (0, "", "")
    home.until(gone, lambda event: event.type == "project.deleted")
    assert home.doce.project("clocks")["id"] == project, "what is deployed stays"
    states = {job["state"] for job in home.doce.jobs(project=project)["items"]}
    assert not states & {"succeeded", "failed", "cancelled"}


def age(home: House, project: str) -> None:
    """Let a project be as nobody has touched it for long."""
    with sqlite3.connect(home.folder / "db.sqlite", timeout=10) as database:
        database.execute("UPDATE projects SET updated_at = 1, created_at = 1, last_viewed_at = NULL WHERE id = ?", (project,))
    database.close()


@pytest.mark.parametrize("script", NAMES)
def test_help_and_wrong_words(home: House, script: str) -> None:
    code, out, _ = cron(home, script, "--help")
    assert (code, "* * " in out, "DOCE_TOKEN" in out) == (0, True, True), "a crontab line"
    assert cron(home, script, "--nonsense")[0] == 2
    shutil.rmtree(home.folder / "cron-cache", ignore_errors=True)
