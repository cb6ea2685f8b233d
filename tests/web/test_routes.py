from __future__ import annotations

import io
import itertools
import json
import logging
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from doce.actions.catalog import actions
from doce.errors import all_errors
from doce.logger import JsonFormatter, _attach_context
from doce.projects.attachments import Upload
from doce.projects.members import RANKS
from doce.projects.status import ProjectStatus
from doce.queue import jobs
from doce.web import requests as web_requests
from doce.web.middleware import HEADERS
from doce.web.openapi import document

from .house import House, PlayedAgent

CODES = {(error.code, error.status) for error in all_errors()} | {("BAD_REQUEST", 405)}
STREAMS = {
    "events.stream": "/api/projects/{project}/opencode/event",
    "logs.stream": "/api/projects/{project}/logs",
    "jobs.follow": "/api/jobs/{job}/stream",
    "jobs.stream": "/api/jobs/stream",
}

PASSWORD = "correct horse battery"
#: What each route is asked with, and what the owner and an admin are answered. `P`: about a project, `J`: about a job.
ROUTES: dict[str, tuple[str, dict[str, Any] | None, int, int]] = {
    "health.get": ("public", None, 200, 200),
    "setup.state": ("public", None, 200, 200),
    "setup.create": ("public", {"name": "late", "password": "long enough"}, 409, 409),
    "session.create": ("public", {"name": "ada", "password": PASSWORD}, 201, 201),
    "session.end": ("", None, 200, 200),
    "session.endAll": ("", None, 200, 200),
    "account.password": ("", {"current": PASSWORD, "password": PASSWORD}, 200, 200),
    "account.settings": ("", None, 200, 200),
    "account.update": ("", {"verbosity": "quiet"}, 200, 200),
    "users.list": ("admin", None, 403, 200),
    "users.create": ("admin", {"name": "new"}, 403, 201),
    "users.update": ("admin", {"role": "admin"}, 403, 200),
    "users.resetPassword": ("admin", None, 403, 200),
    "users.delete": ("admin", None, 403, 200),
    "identities.link": ("", None, 201, 201),
    "identities.list": ("", None, 200, 200),
    "identities.unlink": ("T", None, 200, 404),
    "members.list": ("P", None, 200, 200),
    "members.set": ("P", {"role": "viewer"}, 200, 200),
    "members.remove": ("P", None, 200, 200),
    "members.transfer": ("P", None, 200, 200),
    "users.me": ("", None, 200, 200),
    "tokens.create": ("", {"name": "cron"}, 201, 201),
    "tokens.list": ("", None, 200, 200),
    "tokens.revoke": ("T", None, 200, 404),
    "models.list": ("", None, 200, 200),
    "settings.list": ("admin", None, 403, 200),
    "projects.create": ("", {"prompt": "a site about tea"}, 201, 201),
    "projects.list": ("", None, 200, 200),
    "projects.get": ("P", None, 200, 200),
    "projects.usage": ("P", None, 200, 200),
    "logs.tail": ("P", None, 200, 200),
    "health.details": ("", None, 200, 200),
    "projects.open": ("P", None, 200, 200),
    "projects.start": ("P", None, 202, 202),
    "projects.halt": ("P", None, 202, 202),
    "projects.restart": ("P", None, 202, 202),
    "projects.rename": ("P", {"name": "Other"}, 200, 200),
    "projects.updateModel": ("P", {"model": "rehearsal/site-builder"}, 200, 200),
    "projects.delete": ("P", None, 202, 202),
    "projects.deleteAll": ("", None, 202, 202),
    "templates.list": ("", None, 200, 200),
    "prompts.add": ("P", {"text": "make it dark"}, 202, 202),
    "prompts.list": ("P", None, 200, 200),
    "prompts.changes": ("P", None, 409, 409),
    "prompts.edit": ("P", {"text": "make it light"}, 200, 200),
    "prompts.remove": ("P", None, 200, 200),
    "prompts.sendNow": ("P", None, 202, 202),
    "agent.stop": ("P", None, 202, 202),
    "requests.list": ("P", None, 200, 200),
    "permissions.answer": ("P", {"reply": "once"}, 404, 404),
    "questions.answer": ("P", {"answers": [["yes"]]}, 404, 404),
    "files.list": ("P", None, 200, 200),
    "files.get": ("P", {"path": "public/index.html"}, 200, 200),
    "files.download": ("P", {"path": "public/index.html"}, 200, 200),
    "assets.list": ("P", None, 200, 200),
    "assets.upload": ("P", {"name": "new.txt"}, 201, 201),
    "assets.download": ("P", None, 200, 200),
    "assets.rename": ("P", {"newName": "other.txt"}, 200, 200),
    "assets.delete": ("P", None, 200, 200),
    "productions.get": ("P", None, 200, 200),
    "productions.deploy": ("P", None, 409, 409),
    "productions.rollback": ("P", None, 409, 409),
    "productions.stop": ("P", None, 202, 202),
    "monitor.show": ("", None, 200, 200),
    "channels.list": ("admin", None, 403, 200),
    "channels.set": ("admin", {"mention": "on"}, 403, 200),
    # Who is linked nowhere builds in no channel; tests/actions/test_chats.py has the ones who do.
    "channels.use": ("", {"project": None}, 403, 200),
    "workspaces.list": ("admin", None, 403, 200),
    "workspaces.remove": ("admin", None, 403, 404),
    "presence.touch": ("P", {"viewerId": "tab-1"}, 200, 200),
    "projects.events": ("P", None, 200, 200),
    "account.usage": ("", None, 200, 200),
    "settings.update": ("admin", {"template": "static"}, 403, 200),
    "providers.list": ("admin", None, 403, 200),
    "providers.set": ("admin", {"key": "a b"}, 403, 400),
    "providers.test": ("admin", None, 403, 200),
    "providers.remove": ("admin", None, 403, 404),
    "attachments.download": ("P", None, 200, 200),
    "projects.export": ("P", None, 200, 200),
    "projects.import": ("", {"name": "Imported"}, 201, 201),
    "projects.duplicate": ("P", {"name": "Again"}, 201, 201),
    "jobs.list": ("", None, 200, 200),
    "jobs.get": ("J", None, 200, 200),
    "jobs.logs": ("J", None, 200, 200),
    "jobs.cancel": ("J", None, 202, 202),
    "jobs.retry": ("J", None, 409, 409),
    "jobs.runNow": ("J", None, 202, 202),
    "jobs.delete": ("J", None, 409, 409),
    "queue.get": ("", None, 200, 200),
    "queue.pause": ("admin", None, 403, 200),
    "queue.resume": ("admin", None, 403, 200),
    "queue.concurrency": ("admin", {"jobs": 3}, 403, 200),
    "words.say": ("", {"text": "me"}, 200, 200),
    "events.stream": ("P", None, 200, 200),
    "logs.stream": ("P", None, 200, 200),
    "jobs.follow": ("J", None, 200, 200),
    "jobs.stream": ("", None, 200, 200),
    "openapi": ("", None, 200, 200),
}


#: Pages, and whether one must be signed in (`in`) or belong to the project (`P`).
PAGES = {
    "/static/{stamp}/{name}": "public", "/setup": "public", "/sign-in": "public", "/": "in", "/queue": "in", "/settings": "in",
    "/projects/{project}": "P", "/projects/{project}/frame": "P",
}  # fmt: skip


def addresses() -> dict[str, tuple[str, str]]:
    """Every route: its method and path."""
    found = {name: (one.method, one.path) for name, one in actions().items()}
    found.update({name: ("GET", path) for name, path in STREAMS.items()})
    found["openapi"] = ("GET", "/api/openapi.json")
    return {name: (str(method), path) for name, (method, path) in found.items()}


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error of an answer, which has the one shape and every header."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert {"code", "message"} <= set(error) <= {"code", "message", "hint", "details"}
    assert (error["code"], status) in CODES
    assert code is None or error["code"] == code
    enveloped(answer)
    return error


def enveloped(answer: httpx.Response) -> None:
    for name, value in HEADERS.items():
        assert answer.headers[name] == value, name
    assert len(answer.headers["x-request-id"]) == 16
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("public/index.html", "<h1>Tea</h1>")
    return packed.getvalue()


ZIP = _zip()


class Asker:
    """Asks every route, each about a fresh project of `owner`."""

    def __init__(self, house: House, owner: str) -> None:
        self.house = house
        self.owner = owner
        self.numbers = itertools.count()

    def __call__(self, name: str, headers: dict[str, str] | None, *, missing: bool = False) -> httpx.Response:
        house = self.house
        method, path = addresses()[name]
        kind, body, _, _ = ROUTES[name]
        if "{user}" in path and kind == "admin":
            spare = house.services.users.add(f"spare {next(self.numbers)}", "member")
            return self._send(name, method, url(name, path, {"user": spare.id}), headers, body)
        if kind not in ("P", "J", "T") or missing or headers is None:
            return self._send(name, method, url(name, path, MISSING), headers, body)
        project = house.services.projects.create(self.owner, "a site about tea", attached=[Upload("a.txt", "text/plain", b"notes")])
        for who, role in {"vic": "viewer", "ed": "editor", "friend": "viewer"}.items():
            house.services.members.set(project.id, house.services.users.find(who).id, role)  # type: ignore[arg-type]
        house.store.update(project.id, preview_port=41000)
        house.store.set_status(project.id, ProjectStatus.STARTING)
        house.store.set_status(project.id, ProjectStatus.RUNNING)
        prompt = house.services.prompts.next(project.id)
        assert prompt
        job = jobs.active(project.id)[0]
        token, _ = house.services.tokens.create(self.owner, "spare")
        house.services.identities.redeem(house.services.identities.link_code(self.owner)[0], "slack", "T1", "U1")
        values = {
            "user": "friend",
            "identity": house.services.identities.list(self.owner)[0].id,
            "project": project.id,
            "prompt": prompt.id,
            "job": job.id,
            "token": token.id,
            "request": "per_1",
            "asset": "note.txt",
            "provider": "rehearsal",
            "attachment": self._attached(project.id),
        }
        public = house.services.projects.layout(project.id).workspace / "public"
        public.mkdir(parents=True)
        (public / "index.html").write_text("<h1>Tea</h1>")
        (public / "note.txt").write_text("tea")
        return self._send(name, method, url(name, path, values), headers, body)

    def _attached(self, project_id: str) -> str:
        (prompt,) = self.house.services.prompts.page(project_id, 1, None).items
        (file,) = prompt.attachments
        return file.id

    def _send(self, name: str, method: str, url: str, headers: dict[str, str] | None, body: dict[str, Any] | None) -> httpx.Response:
        # Each as somebody new: what an answer had a browser keep is not sent with the next.
        self.house.http.cookies.clear()
        declared = actions().get(name)
        if declared and declared.in_query and body:
            content = ZIP if declared.takes else None
            return self.house.http.request(method, url, headers=headers, params=body, content=content)
        return self.house.http.request(method, url, headers=headers, json=body)


MISSING = {
    "project": "prj_nothing", "prompt": "prm_nothing", "job": 999_999, "token": "tok_nothing", "request": "per_1", "asset": "none.txt",
    "provider": "rehearsal", "attachment": "att_nothing", "user": "usr_nothing", "identity": "idn_nothing",
    "team": "T_nothing", "channel": "C_nothing",
}  # fmt: skip


def url(name: str, path: str, values: dict[str, Any]) -> str:
    return path.format(**values) + ("?follow=false" if name in STREAMS else "")


def test_the_table_knows_every_route(house: House) -> None:
    assert set(ROUTES) == set(addresses()), "a route is not in the table of this test"
    served = {
        (method, route.path)
        for route in house.listener.config.app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[union-attr]
    }
    assert served == set(addresses().values()) | {("GET", path) for path in PAGES}


def test_every_route_to_everybody(house: House) -> None:
    nobody_yet = {name: house.http.request(method, path.format_map(Anything())) for name, (method, path) in addresses().items()}
    for name, answer in nobody_yet.items():
        if ROUTES[name][0] == "public":
            assert answer.status_code == {"GET": 200, "POST": 400}[addresses()[name][0]]
        else:
            assert "doce setup" in refused(answer, 401, "SETUP_REQUIRED")["hint"]

    _, admin = house.person("root", "admin")
    owner, owns = house.person("ada")
    _, other = house.person("eve")
    (_, viewer), (_, editor), _ = (house.person(name) for name in ("vic", "ed", "friend"))
    house.services.users.set_password(owner.id, PASSWORD)
    ask = Asker(house, owner.id)
    for name, (kind, _, good, for_admin) in ROUTES.items():
        anonymous = ask(name, None)
        if kind == "public":
            assert anonymous.status_code == good
        else:
            assert anonymous.headers["www-authenticate"].startswith("Bearer")
            refused(anonymous, 401, "UNAUTHORIZED")
        if kind in ("P", "J"):
            refused(ask(name, other), 403, "FORBIDDEN")
            refused(ask(name, other, missing=True), 404, "NOT_FOUND")
            refused(ask(name, owns, missing=True), 404, "NOT_FOUND")
        elif kind == "T":
            refused(ask(name, other), 404, "NOT_FOUND")
        elif kind == "admin":
            refused(ask(name, other), 403, "FORBIDDEN")
        if kind in ("P", "J"):
            for headers, role in ((viewer, "viewer"), (editor, "editor")):
                answer = ask(name, headers)
                if may(name, role):
                    assert answer.status_code == good, (name, role, answer.text)
                else:
                    assert "its owner can change" in refused(answer, 403, "FORBIDDEN")["hint"].lower() or name == "members.remove"
        for headers, status in ((owns, good), (admin, for_admin)):
            answer = ask(name, headers)
            assert answer.status_code == status, (name, answer.text)
            if status >= 400:
                refused(answer, status)
            else:
                assert answer.headers["x-request-id"]
                assert answer.headers["x-content-type-options"] == "nosniff"


def may(name: str, role: str) -> bool:
    """Whether a member of this role is let through."""
    if name in STREAMS or name in ("jobs.get", "jobs.logs"):
        return True
    if name == "members.remove":
        return False
    needed = actions()[name].role if ROUTES[name][0] == "P" else "editor"
    return RANKS.index(role) >= RANKS.index(needed)


def test_every_page_to_everybody(house: House) -> None:
    def status(path: str, headers: dict[str, str] | None = None) -> int:
        answer = house.http.get(path, headers={"accept": "text/html", **(headers or {})})
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["cache-control"] == "no-store" or path.startswith("/static/")
        if answer.status_code == 302:
            assert answer.headers["location"].split("?")[0] in ("/setup", "/sign-in", "/")
        return answer.status_code

    assert {path: status(path.format(project="x", stamp="x", name="style.css")) for path in PAGES} == {
        path: 200 if path in ("/setup", "/static/{stamp}/{name}") else 302 for path in PAGES
    }
    _, admin = house.person("root", "admin")
    owner, owns = house.person("ada")
    (vic, sees), (_, other) = house.person("vic"), house.person("eve")
    project = house.services.projects.create(owner.id, "a site about tea")
    house.services.members.set(project.id, vic.id, "viewer")
    for path, kind in PAGES.items():
        asked = path.format(project=project.slug, stamp="x", name="style.css")
        if kind == "public":
            assert status(asked) == (302 if path == "/setup" else 200)
            continue
        assert status(asked) == 302
        assert [status(asked, headers) for headers in (admin, owns, sees)] == [200] * 3
        assert status(asked, other) == (403 if kind == "P" else 200)
        if kind == "P":
            assert status(path.format(project="nothing"), owns) == 404


class Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"


def test_what_is_not_there_and_what_is_not_known(house: House) -> None:
    _, admin = house.person("root", "admin")
    for path in (
        "/api",
        "/api/nothing",
        "/api/projects/",
        "/api/projects/a/b/c/d",
        "/setup/",
        "/api/%2e%2e/x",
        "/%F0%9F",
        "/static/x/none",
    ):
        refused(house.http.get(path, headers=admin), 404, "NOT_FOUND")
    answer = house.http.put("/api/projects", headers=admin)
    refused(answer, 405, "BAD_REQUEST")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST", "DELETE"}
    assert house.http.head("/api/health").status_code == 200
    answer = house.http.options("/api/projects", headers={"origin": "http://evil", "access-control-request-method": "POST"})
    refused(answer, 405)
    assert "access-control-allow-origin" not in answer.headers


BAD_BODIES = [
    (b"{", "application/json", 400, "not valid JSON"),
    (b"[" * 100_000, "application/json", 400, "not valid JSON"),
    (b'{"prompt": "\xff"}', "application/json", 400, "not valid JSON"),
    ('{"prompt": "a site"}'.encode("utf-16"), "application/json", 400, "not valid JSON"),
    (b'{"prompt": "\xed\xa0\x80 a site"}', "application/json", 400, "not valid JSON"),
    (b'{"prompt": "a site", "name": "\\ud800"}', "application/json", 400, "not text"),
    (
        b'{"prompt": "a site", "attachments": [{"name": "\\udfff", "mime": "text/plain", "data": ""}]}',
        "application/json",
        400,
        "not text",
    ),
    (b'{"prompt": ' + b"9" * 5000 + b"}", "application/json", 400, "not valid"),
    (b'"a site"', "application/json", 400, "must be a JSON object"),
    (
        '{"prompt": "a site", "attachments": [{"name": "a", "mime": "text/plain", "data": "é"}]}'.encode(),
        "application/json",
        400,
        "not base64",
    ),
    (b"prompt=a", "application/x-www-form-urlencoded", 400, "x-www-form-urlencoded"),
    (b'{"prompt": "a"}', "text/plain", 400, "text/plain"),
    (b"", "application/json", 400, "'prompt' is missing"),
    (b'{"prompt": "a", "promt": 1}', "application/json", 400, "no field 'promt'"),
    (b'{"prompt": 7}', "application/json", 400, "'prompt' is not valid"),
    (b'{"prompt": "a\\u0000b"}', "application/json", 400, "not text (U+0000"),
    (b'{"prompt": ""}', "application/json", 400, "empty"),
    (b'{"prompt": "' + b"x" * 40_000 + b'"}', "application/json", 400, "40,000"),
    (b'{"prompt": "a", "template": "../../etc"}', "application/json", 400, "no template"),
    (b'{"prompt": "a", "model": "gpt"}', "application/json", 400, "not a model"),
    (b'{"prompt": "' + b"x" * 9_000_000 + b'"}', "application/json", 413, "larger than 8 MiB"),
]


def test_bad_bodies_are_told_what_is_wrong_and_leave_nothing(house: House) -> None:
    _, admin = house.person("root", "admin")
    for content, kind, status, says in BAD_BODIES:
        answer = house.http.post("/api/projects", content=content, headers={**admin, "content-type": kind})
        assert says in refused(answer, status)["message"], content[:80]
    assert house.services.projects.list(None).items == []
    assert jobs.list() == ()


def test_text_of_every_kind_survives(house: House) -> None:
    _, admin = house.person("root", "admin")
    for prompt in ("陶芸家のための", "🎈\u2028🧶", "<script>alert(1)</script>"):
        answer = house.http.post("/api/projects", json={"prompt": prompt}, headers=admin)
        assert answer.json()["prompt"] == prompt
    escaped = house.http.post("/api/projects", content=b'{"prompt": "\\ud83c\\udf88"}', headers=admin)
    assert escaped.json()["prompt"] == "🎈"


def test_fields_have_one_place(house: House) -> None:
    owner, admin = house.person("root", "admin")
    project = house.services.projects.create(owner.id, "a site")
    url = f"/api/projects/{project.id}"
    assert "address" in refused(house.http.patch(url, json={"project": "x", "name": "N"}, headers=admin), 400)["message"]
    assert "twice" in refused(house.http.get("/api/jobs?limit=1&limit=2", headers=admin), 400)["message"]
    assert "body" in refused(house.http.post("/api/projects?prompt=a", headers=admin), 400)["message"]
    assert "limit" in refused(house.http.get("/api/jobs?limit=x", headers=admin), 400)["message"]
    assert "knows no" in refused(house.http.get(f"{url}/opencode/event?since=3", headers=admin), 400)["message"]


def test_an_anonymous_body_is_not_read(house: House) -> None:
    house.person("root", "admin")
    raw = house.connect("/api/projects", {"content-length": "5000000", "content-type": "application/json"}, method="POST")
    assert b" 401 " in raw.until(b"\r\n")
    raw.close()


def test_bad_tokens_are_slowed_down_and_good_ones_are_not(house: House) -> None:
    _, admin = house.person("root", "admin")
    for number in range(5):
        refused(house.http.get("/api/me", headers={"authorization": f"Bearer doce_wrong{number}"}), 401, "UNAUTHORIZED")
    answer = house.http.get("/api/me", headers={"authorization": "Bearer doce_again"})
    error = refused(answer, 429, "RATE_LIMITED")
    assert answer.headers["retry-after"] == str(error["details"]["retryAfter"]) == "60"
    assert house.http.get("/api/me", headers=admin).status_code == 200
    refused(house.http.get("/api/me"), 401)
    house.clock.advance(s=60)
    refused(house.http.get("/api/me", headers={"authorization": "Bearer doce_again"}), 401)


def test_other_schemes_are_nobody(house: House) -> None:
    _, admin = house.person("root", "admin")
    secret = admin["authorization"].removeprefix("Bearer ")
    for header in (f"Basic {secret}", secret, "Bearer", "Bearer doce_\xe9"):
        refused(house.http.get("/api/me", headers={"authorization": header.encode("latin-1")}), 401)  # type: ignore[dict-item]
    assert house.http.get("/api/me", headers={"authorization": f"bearer  {secret}"}).status_code == 200


def test_what_breaks_has_a_reference_that_is_in_the_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person, admin = house.person("root", "admin")
    secret = "doce_" + "x" * 40

    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"secret {secret} in {house.settings.data}/db.sqlite")

    monkeypatch.setattr(house.services.projects, "list", breaks)
    lines: list[str] = []
    handler = Collector(lines)
    logging.getLogger("doce").addHandler(handler)
    logging.getLogger("uvicorn.error").addHandler(handler)
    try:
        answer = house.http.get("/api/projects", headers=admin)
    finally:
        logging.getLogger("doce").removeHandler(handler)
        logging.getLogger("uvicorn.error").removeHandler(handler)
    error = refused(answer, 500, "INTERNAL_SERVER_ERROR")
    reference = error["details"]["reference"]
    assert reference in error["message"]
    for private in ("Traceback", "RuntimeError", secret, str(house.settings.data)):
        assert private not in answer.text
    assert len(lines) == 1, "told once"
    line = json.loads(lines[0])
    assert line["reference"] == reference
    assert line["error"] == "RuntimeError"
    assert "breaks" in line["stack"]
    assert secret not in lines[0]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["operation"] == "GET /api/projects"
    assert line["user_id"] == person.id
    # and the next one is answered
    assert house.http.get("/api/me", headers=admin).status_code == 200


class Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(JsonFormatter())
        self.addFilter(_attach_context)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def test_a_broken_database_leaves_no_open_transaction(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, admin = house.person("root", "admin")
    from doce.projects import lifecycle

    def breaks(*_: Any, **__: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr(lifecycle, "enqueue", breaks)
    refused(house.http.post("/api/projects", json={"prompt": "a site about tea"}, headers=admin), 500)
    monkeypatch.undo()
    assert house.http.get("/api/projects", headers=admin).json()["items"] == []
    assert house.http.post("/api/projects", json={"prompt": "a site about tea"}, headers=admin).status_code == 201


def test_the_agent_away_is_503_and_says_what_to_do(house: House) -> None:
    from doce.errors import Unavailable
    from doce.events import log
    from doce.events.vocabulary import PermissionRequested

    owner, admin = house.person("root", "admin")
    project = house.services.projects.create(owner.id, "a site")
    log.append(PermissionRequested(request_id="per_1", permission="bash", patterns=["*"], title="ls"), project_id=project.id)
    house.agent.refuses = Unavailable("The coding agent cannot be reached.", hint="Start it.")
    answer = house.http.post(f"/api/projects/{project.id}/permissions/per_1", json={"reply": "once"}, headers=admin)
    assert refused(answer, 503, "UNAVAILABLE")["hint"] == "Start it."


def test_https_gets_hsts(house: House) -> None:
    sent: list[Any] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "scheme": "https", "method": "GET", "path": "/api/health", "raw_path": b"/api/health", "query_string": b"",
            "headers": [], "client": ("127.0.0.1", 1), "server": ("localhost", 443), "root_path": "", "http_version": "1.1",
        }  # fmt: skip
        await house.listener.config.app(scope, receive, send)  # type: ignore[operator]

    house.loop.run(ask())
    assert dict(sent[0]["headers"])[b"strict-transport-security"].startswith(b"max-age=")


def test_openapi_is_whole(house: House) -> None:
    _, admin = house.person("root", "admin")
    told = house.http.get("/api/openapi.json", headers=admin).json()
    assert told == json.loads(json.dumps(document()))
    assert told["openapi"] == "3.1.0"
    seen: set[tuple[str, str]] = set()
    names: list[str] = []
    for path, item in told["paths"].items():
        for method, operation in item.items():
            seen.add((method.upper(), path))
            names.append(operation["operationId"])
            assert operation["summary"].endswith(".")
            assert any(status.startswith("2") for status in operation["responses"])
            for status, answer in operation["responses"].items():
                assert 200 <= int(status) < 600
                assert answer["description"]
                assert answer["content"]
            placed = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert placed == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
            public = operation.get("security") == []
            assert public == (ROUTES[operation["operationId"]][0] == "public")
            assert public or "401" in operation["responses"]
    assert len(names) == len(set(names))
    assert seen == set(addresses().values()) - {("GET", "/api/openapi.json")}
    walk(told, lambda reference: resolve(told, reference))


def walk(value: Any, check: Callable[[str], None]) -> None:
    if isinstance(value, dict):
        assert "$defs" not in value
        for key, inner in value.items():
            if key == "$ref":
                check(inner)
            walk(inner, check)
    elif isinstance(value, list):
        for inner in value:
            walk(inner, check)


def resolve(told: dict[str, Any], reference: str) -> None:
    assert reference.startswith("#/")
    place: Any = told
    for part in reference[2:].split("/"):
        place = place[part]
    assert isinstance(place, dict)


def test_bodies_have_limits_of_their_own() -> None:
    assert web_requests.MAX_BODY < web_requests.MAX_BODY_WITH_FILES
    assert PlayedAgent().abort("s")
