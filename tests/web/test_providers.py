"""Providers over HTTP: checked against a provider that really listens, and the key nowhere in clear afterwards."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from doce.auth.secrets import SecretKey
from doce.db import choices
from doce.db.connection import database
from doce.db.models import Usage
from doce.errors import InternalServerError
from doce.llm import providers as providers_module
from doce.llm.catalog import Provider, headers, listing_headers
from doce.logger import JsonFormatter

from .house import House
from .test_routes import refused

pytestmark = pytest.mark.slow
KEY = "sk-or-v1-0123456789abcdefSECRETSECRET"


@dataclass
class Twin:
    """A provider: takes one key."""

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: {"data": [{"id": "small"}, {"id": "large", "context_length": 8192}]})
    heard: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def twin() -> Iterator[Twin]:
    made = Twin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.heard.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            good = KEY in (self.headers.get("authorization", "") + self.headers.get("x-api-key", ""))
            body = json.dumps(made.answer).encode()
            self.send_response(made.status if good else 401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_provider_is_checked_kept_used_and_forgotten(house: House, twin: Twin, tmp_path: Path) -> None:
    _, admin = house.person("root", "admin")
    said = io.StringIO()
    log = logging.StreamHandler(said)
    log.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(log)
    try:
        url = "/api/providers/mine"
        answers = [house.http.post(url, json={"key": "sk-wrong-key-of-somebody", "baseUrl": twin.url}, headers=admin)]
        assert "refuses this key" in refused(answers[0], 400)["message"]
        assert [one["name"] for one in house.http.get("/api/providers", headers=admin).json()["items"]] == ["rehearsal"]
        answers.append(house.http.post(url, json={"key": KEY, "baseUrl": twin.url + "/"}, headers=admin))
        assert answers[-1].json() == {"provider": "mine", "models": 2, "message": "mine is set up; it has 2 models."}
        answers.append(house.http.get("/api/providers", headers=admin))
        mine = answers[-1].json()["items"][0]
        assert (mine["name"], mine["baseUrl"], mine["source"], mine["hasKey"]) == ("mine", twin.url, "stored", True)
        answers.append(house.http.get("/api/models", headers=admin))
        assert [one["id"] for one in answers[-1].json()["items"]] == ["rehearsal/site-builder", "mine/small", "mine/large"]
        answers.append(house.http.get("/api/settings", headers=admin))
        answers.append(house.http.post(f"{url}/test", headers=admin))
        assert answers[-1].json()["models"] == 2
    finally:
        logging.getLogger().removeHandler(log)
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    everywhere = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(everywhere) > 2
    for place in (*everywhere, *(answer.content for answer in answers), said.getvalue().encode()):
        assert KEY.encode() not in place
    assert house.services.catalog.providers()["mine"].key == SecretStr(KEY)
    assert house.http.delete(url, headers=admin).status_code == 200
    assert house.services.catalog.providers() == {}
    refused(house.http.delete(url, headers=admin), 404)
    assert [one["id"] for one in house.http.get("/api/models", headers=admin).json()["items"]] == ["rehearsal/site-builder"]


def test_what_cannot_be_a_provider_is_told_so(house: House, twin: Twin) -> None:
    _, admin = house.person("root", "admin")

    def refuse(name: str, status: int, **body: str) -> str:
        error = refused(house.http.post(f"/api/providers/{name}", json=body, headers=admin), status)
        return str(error["message"])

    refuse("rehearsal", 400, key=KEY)
    refuse("Bad Name", 400, key=KEY, baseUrl=twin.url)
    refuse("openrouter", 400, key=KEY, baseUrl=twin.url)
    refuse("mine", 400, key=KEY)
    for url in (
        "ftp://x/v1",
        "http://",
        "http://a b/v1",
        "http://user:pw@host/v1",
        "http://host/v1?a=b",
        "http://h:0/v1",
        "http://[::1/v1",
    ):
        assert "address" in refuse("mine", 400, key=KEY, baseUrl=url), url
    refuse("mine", 400, key="two words", baseUrl=twin.url)
    refuse("mine", 400, key="\n", baseUrl=twin.url)
    assert "wants a key" in refuse("mine", 400, baseUrl=twin.url)
    assert "does not answer" in refuse("mine", 503, key=KEY, baseUrl="http://127.0.0.1:9/v1")
    twin.status = 500
    refuse("mine", 503, key=KEY, baseUrl=twin.url)
    twin.status = 302
    refuse("mine", 400, key=KEY, baseUrl=twin.url)
    twin.status, twin.answer = 200, {"models": []}
    assert "lists no models" in refuse("mine", 400, key=KEY, baseUrl=twin.url)
    assert list(house.services.providers.stored()) == []


def test_each_provider_is_asked_in_its_own_way(house: House, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"openrouter": twin.url, "anthropic": twin.url}
    monkeypatch.setattr(house.services.providers, "_addresses", addresses)
    house.services.providers.set("openrouter", SecretStr(KEY), None, by="usr_1")
    assert [heard["path"] for heard in twin.heard] == ["/v1/key", "/v1/models"]
    twin.heard.clear()
    house.services.providers.set("anthropic", SecretStr(KEY), None, by="usr_1")
    assert [(heard["path"], heard["x-api-key"], "authorization" in heard) for heard in twin.heard] == [("/v1/models", KEY, False)]
    anthropic = Provider("anthropic", twin.url, SecretStr(KEY))
    assert headers(anthropic) == {"authorization": f"Bearer {KEY}"}
    assert listing_headers(anthropic)["anthropic-version"]


def test_models_are_still_known_when_their_provider_is_away(house: House, twin: Twin) -> None:
    _, admin = house.person("root", "admin")
    house.services.providers.set("mine", SecretStr(KEY), twin.url, by="usr_1")
    assert len(house.http.get("/api/models", headers=admin).json()["items"]) == 3
    twin.status = 500
    assert house.http.get("/api/models?provider=mine&limit=1", headers=admin).json()["next"] == "mine/small"
    house.clock.advance(s=301)
    assert len(house.http.get("/api/models", headers=admin).json()["items"]) == 3
    assert "could not be listed" in house.http.get("/api/providers", headers=admin).json()["items"][0]["problem"]
    twin.status = 200
    house.clock.advance(s=301)
    house.http.get("/api/models", headers=admin)
    assert house.http.get("/api/providers", headers=admin).json()["items"][0]["problem"] is None


def test_a_sealed_secret_opens_for_its_purpose_and_its_key_only(tmp_path: Path) -> None:
    key = SecretKey.load(tmp_path / "a.key")
    sealed = key.sealed(SecretStr(KEY), "provider:a")
    assert sealed != key.sealed(SecretStr(KEY), "provider:a")
    assert key.opened(sealed, "provider:a").get_secret_value() == KEY
    for opener, purpose, what in (
        (key, "provider:b", sealed), (SecretKey.load(tmp_path / "b.key"), "provider:a", sealed), (key, "provider:a", sealed[:-8]),
        (key, "provider:a", "%%%"), (key, "provider:a", ""),
    ):  # fmt: skip
        with pytest.raises(InternalServerError):
            opener.opened(what, purpose)


def test_settings_change_while_doce_runs(house: House) -> None:
    _, admin = house.person("root", "admin")

    def change(**values: Any) -> Any:
        return house.http.patch("/api/settings", json=values, headers=admin)

    changed = change(template="astro-starter", minFreeMb=5, questionTimeoutS=30.5).json()["items"]
    shown = {one["name"]: one for one in changed}
    assert (shown["DOCE_TEMPLATE"]["value"], shown["DOCE_TEMPLATE"]["changed"]) == ("astro-starter", True)
    assert (shown["DOCE_PORT"]["changeable"], shown["DOCE_MODEL"]["changed"]) == (False, False)
    assert house.http.post("/api/projects", json={"prompt": "a site"}, headers=admin).json()["template"] == "astro-starter"
    assert choices.current(house.settings, "min_free_mb") == 5
    assert choices.current(house.settings, "question_timeout_s") == 30.5
    change(minFreeMb=2**40)
    refused(house.http.post("/api/projects", json={"prompt": "a site"}, headers=admin), 503)
    change(minFreeMb=None, template=None)
    assert house.http.post("/api/projects", json={"prompt": "a site"}, headers=admin).json()["template"] == "static"
    for wrong in ({"template": "none"}, {"model": "none/x"}, {"minFreeMb": -1}, {"questionTimeoutS": 0}, {"port": 1}, {"minFreeMb": "x"}):
        refused(change(**wrong), 400)
    choices.choose("question_timeout_s", -5)
    assert choices.current(house.settings, "question_timeout_s") == house.settings.question_timeout_s, "what cannot be is not used"


def test_usage_is_summed_for_who_may_see_it(house: House) -> None:
    _, admin = house.person("root", "admin")
    ada, hers = house.person("ada")
    eve, eves = house.person("eve")
    one = house.services.projects.create(ada.id, "a site")
    two = house.services.projects.create(eve.id, "a site")
    day = 86_400_000
    for number, (project, user) in enumerate(((one, ada), (one, ada), (two, eve))):
        Usage.create(
            project_id=project.id, user_id=user.id, provider="p", model="m", input_tokens=10, output_tokens=1, cost=0.5, at=number * day
        )

    def usage(who: dict[str, str], **query: Any) -> list[tuple[str, int, float]]:
        answer = house.http.get("/api/usage", params=query, headers=who).json()
        return [(item["of"], item["input"], item["cost"]) for item in answer["items"]]

    assert usage(admin) == [("1970-01-03", 10, 0.5), ("1970-01-02", 10, 0.5), ("1970-01-01", 10, 0.5)]
    assert usage(admin, by="project") == [(two.id, 10, 0.5), (one.id, 20, 1.0)]
    assert usage(hers, by="user") == [(ada.id, 20, 1.0)]
    assert usage(eves, by="model") == [("p/m", 10, 0.5)]
    assert usage(admin, since=day, until=2 * day) == [("1970-01-02", 10, 0.5)]
    first = house.http.get("/api/usage", params={"limit": 2}, headers=admin).json()
    assert usage(admin, limit=2, before=first["next"]) == [("1970-01-01", 10, 0.5)]
    refused(house.http.get("/api/usage", params={"project": one.id}, headers=eves), 403)
    refused(house.http.get("/api/usage", params={"by": "hour"}, headers=eves), 400)


def test_the_log_of_a_project_in_pages(house: House) -> None:
    owner, headers_ = house.person("root", "admin")
    project = house.services.projects.create(owner.id, "a site")
    for number in range(5):
        house.services.projects.rename(project.id, f"Name {number}")
    whole = house.http.get(f"/api/projects/{project.id}/events", headers=headers_).json()
    seen, after = [], 0
    while True:
        page = house.http.get(f"/api/projects/{project.id}/events", params={"after": after, "limit": 3}, headers=headers_).json()
        seen += page["items"]
        if page["next"] is None:
            break
        after = int(page["next"])
    assert seen == whole["items"]
    assert len(seen) >= 7
    assert providers_module.KNOWN


def test_every_list_goes_by_pages(house: House) -> None:
    owner, admin = house.person("root", "admin")
    for number in range(4):
        house.services.tokens.create(owner.id, f"token {number}")
    seen: list[str] = []
    after = None
    while True:
        page = house.http.get("/api/tokens", params={"limit": 2, **({"after": after} if after else {})}, headers=admin).json()
        assert len(page["items"]) <= 2
        seen += [one["id"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert "no longer there" in refused(house.http.get("/api/tokens?after=gone", headers=admin), 400)["message"]
    assert house.http.get("/api/templates?limit=1", headers=admin).json()["next"] == "astro-starter"


def test_who_uses_a_changeable_setting_asks_what_it_is_now() -> None:
    """A field that is marked and read from the settings would be changed by nobody."""
    package = Path(providers_module.__file__).parent.parent
    # Before doce runs, on the command line, and where the start value itself is shown.
    reads_at_start = {"doctor.py", "demo/model.py", "demo/run.py"}
    for name in choices.changeable():
        sources = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
        direct = {place for place, text in sources.items() if re.search(rf"settings\.{name}\b", text)}
        assert direct <= reads_at_start, f"{name} is read from the settings in {direct - reads_at_start}"
        assert any(f'"{name}")' in text and "current(" in text for text in sources.values()), f"nobody uses {name}"
