"""Requests nobody thought of, generated from the description of the API and sent to a real `doce serve`.

What comes back must be what the description says: no 500, no status, header or shape that is not written there.
No job is done meanwhile (DOCE_WORKERS=0): what the generator creates by the thousand must not start agents.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from doce.client import Doce
from doce.db import choices

from .house import House, house

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(3600)]

#: Checks of schemathesis that are off, and why.
OFF = {
    "positive_data_acceptance": "what a schema cannot say (there is no such model, the zip file holds nothing) is refused with 400",
    "use_after_free": "deleting a project is a job (202), and no job is done here; tests/system/test_loop.py deletes for real",
    "ignored_auth": "SPEC 1: the sixth wrong token of a minute is answered 429, where this check wants 401; tests/web walks every route "
    "without a token and with wrong ones",
}
#: What is left out, and why. What is no operation of this doce (yet) is ignored.
LEFT_OUT = {
    "tokens.revoke": "finds its own token in the list and locks itself out; tests/web revokes tokens",
}
#: What has a pass of its own, and why.
APART = {"settings.update": "asks for more free disk than there is, and all that starts something is then a documented 503"}
#: Examples for each operation and pass: (while developing, before every release).
FEW, MANY = 2, 120
STREAMS = ("events.stream", "logs.stream", "jobs.follow", "jobs.stream")


@dataclass
class Api:
    """A doce with a project that has files, and everybody's tokens."""

    house: House
    project: str
    folder: Path

    @property
    def names(self) -> set[str]:
        """Every operation there is."""
        paths = self.house.doce.request("GET", "/api/openapi.json")["paths"]
        return {operation["operationId"] for item in paths.values() for operation in item.values()}

    def run(self, name: str, examples: int, *, parameters: dict[str, str] | None = None, only: set[str] | None = None) -> dict[str, Any]:
        """One pass; returns what schemathesis says about it. `parameters` are given to every operation that has them.

        With them all data is as described: one that should be wrong, and was replaced, would be taken for accepted.
        """
        described = self.folder / "openapi.json"
        described.write_text(json.dumps(self.house.doce.request("GET", "/api/openapi.json")))
        (self.folder / f"{name}.toml").write_text(_config(parameters or {}))
        report, token = self.folder / f"{name}.json", json.loads((self.house.folder / "cli.json").read_text())["token"]
        command = [
            str(Path(sys.executable).parent / "st"), "--config-file", str(self.folder / f"{name}.toml"), "--no-color",
            "run", str(described),
            "--url", f"http://127.0.0.1:{self.house.port}", "-H", f"Authorization: Bearer {token}", "-n", str(examples), "--seed", "1",
            "--phases", "examples,coverage,fuzzing,stateful", "--exclude-checks", ",".join(OFF), "--continue-on-failure",
            "--suppress-health-check", "all", "--request-timeout", "60", "--generation-database", "none",
            "--mode", "positive" if parameters else "all",
            "--report", "json", "--report-json-path", str(report),
        ]  # fmt: skip
        for left_out in sorted((set(LEFT_OUT) | set(APART)) & self.names - (only or set())):
            command += ["--exclude-operation-id", left_out]
        for chosen in sorted(only or ()):
            command += ["--include-operation-id", chosen]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=3000, check=False)
        (self.folder / f"{name}.txt").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, f"{name}:\n{done.stdout[-12_000:]}{done.stderr[-2000:]}"
        found: dict[str, Any] = json.loads(report.read_text())
        print(f"{name}: {found['test_cases']['generated']} requests to {found['operations']['tested']} operations")
        return found


def _config(parameters: dict[str, str]) -> str:
    """Streams are read to what there is now: one that follows has no end."""
    given = "".join(f'"{place}" = "{value}"\n' for place, value in parameters.items())
    lines = [f"[parameters]\n{given}" if given else ""]
    lines += [f'[[operations]]\ninclude-operation-id = "{name}"\nparameters = {{ "query.follow" = "false" }}\n' for name in STREAMS]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    with house(folder / "data", cache, DOCE_WORKERS="0", DOCE_LOG_LEVEL="warning") as made:
        project = made.doce.create("a site about tea", name="Tea")["id"]
        public = folder / "data" / "projects" / project / "workspace" / "public"
        public.mkdir(parents=True)
        (public / "index.html").write_text("<h1>Tea</h1>")
        (public / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        yield Api(made, project, folder)


def _passes(api: Api, examples: int) -> int:
    """Everything once, then what is about one project with a project that is there. Returns how many requests."""
    me = api.house.doce.request("GET", "/api/me")["id"]
    everything = api.run("everything", examples)
    apart = api.run("apart", examples, only=set(APART))
    api.house.doce.change_settings(**{to_camel(name): None for name in choices.changeable()})
    prompt = api.house.doce.chat(api.project, "make it dark")["id"]
    job = api.house.doce.request("GET", "/api/jobs", query={"project": api.project})["items"][-1]["id"]
    about = {
        "path.project": api.project,
        "path.asset": "logo.png",
        "path.prompt": prompt,
        "path.job": str(job),
        "query.path": "public/index.html",
    }
    paths = api.house.doce.request("GET", "/api/openapi.json")["paths"]
    inside = {one["operationId"] for path, item in paths.items() for one in item.values() if "{project}" in path or "{job}" in path}
    near = api.run("one-project", examples, parameters=about, only=inside - {"projects.delete", "assets.delete", "jobs.delete"})
    assert api.house.doce.request("GET", "/api/me")["id"] == me, "it is still the one that asks, whatever the name is by now"
    api.house.doce.project(api.project)
    log = (api.house.folder / "serve.log").read_text()
    assert "an answer broke" not in log
    return sum(int(found["test_cases"]["generated"]) for found in (everything, apart, near))


def test_the_description_holds(api: Api) -> None:
    assert _passes(api, FEW) > 1000


@pytest.mark.nightly
def test_the_description_holds_for_ten_thousand_requests(api: Api) -> None:
    assert _passes(api, MANY) > 10_000


def test_the_description_is_valid_openapi(api: Api) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(api.house.doce.request("GET", "/api/openapi.json"), cls=validator.OpenAPIV31SpecValidator)


def test_a_project_goes_out_and_comes_back_and_runs(tmp_path: Path, cache: Path) -> None:
    """With workers, the real template and a real dev server: export, import, duplicate, and an asset that the site serves."""
    with house(tmp_path / "data", cache) as made:
        doce: Doce = made.doce
        first, _ = made.create("a site about tea", name="Tea")
        (tmp_path / "note.txt").write_text("from a person")
        doce.upload_asset(first, tmp_path / "note.txt")
        assert made.page(first, "note.txt") == "from a person"
        packed = io.BytesIO()
        doce.download(doce_export(first), packed)
        names = set(zipfile.ZipFile(packed).namelist())
        assert {"public/index.html", "public/note.txt", "dev-server.mjs"} <= names
        assert not any(name.startswith((".git/", "node_modules/")) for name in names)
        (tmp_path / "tea.zip").write_bytes(packed.getvalue())
        imported = doce.import_project(tmp_path / "tea.zip", template="static", name="Imported")["id"]
        copied = doce.duplicate(first)["id"]
        for project in (imported, copied):
            made.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "running")
            assert made.page(project, "note.txt") == "from a person"
            assert doce.file(project, "public/index.html")["text"] == doce.file(first, "public/index.html")["text"]
        _, events = made.ask(imported, "make it dark")
        assert events[-1].type == "chat.prompt.completed"


def test_an_import_survives_kill_9(tmp_path: Path, cache: Path) -> None:
    """Answered, not yet begun, and killed: the project comes with its files; what else was arriving is gone."""
    (tmp_path / "tea.zip").write_bytes(_zip({"public/index.html": b"<h1>Mine</h1>"}))
    with house(tmp_path / "data", cache, DOCE_WORKERS="0") as made:
        project = made.doce.import_project(tmp_path / "tea.zip", template="static")["id"]
        incoming = tmp_path / "data" / "incoming"
        assert [path.name for path in incoming.iterdir()] == [project]
        (incoming / "prj_never").mkdir()
        (incoming / "file-half").write_bytes(b"half an upload")
        made.kill()
        made.start(DOCE_WORKERS="4")
        made.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "running")
        assert "<h1>Mine</h1>" in made.page(project)
        assert list(incoming.iterdir()) == []


def _zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def doce_export(project: str) -> Any:
    from doce.client import calls

    return calls.export(project)
