"""Signing in as a browser does, people and what members may."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import peewee
import pytest

from doce import addresses
from doce.auth import setup
from doce.auth.sessions import COOKIE, LIFE_MS
from doce.db.models import LinkCode, Session, User
from doce.errors import BadRequest
from doce.settings import Settings, load
from doce.web import sse

from .house import House, piece, served
from .test_routes import PASSWORD, refused

pytestmark = pytest.mark.slow

SAME = {"sec-fetch-site": "same-origin"}


class Browser:
    """A browser on doce's page: keeps the cookie, says where what it sends comes from."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.cookie: str | None = None

    def __call__(self, method: str, path: str, *, says: dict[str, str] = SAME, **options: Any) -> httpx.Response:
        self.house.http.cookies.clear()
        headers = {**says, **({"cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {})}
        answer = self.house.http.request(method, path, headers=headers, **options)
        for kept in answer.headers.get_list("set-cookie"):
            value = kept.partition("=")[2].partition(";")[0].strip('"')
            self.cookie = value or None
        return answer

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self("POST", "/api/session", json={"name": name, "password": password})


@pytest.fixture
def ada(house: House) -> Browser:
    """Signed in; an admin."""
    house.services.users.first_admin("Ada", PASSWORD)
    browser = Browser(house)
    assert browser.sign_in("ada").status_code == 201
    return browser


def test_the_first_visit(house: House) -> None:
    browser = Browser(house)
    assert browser("GET", "/api/setup").json() == {"needed": True, "codeNeeded": False}
    refused(browser("GET", "/api/me"), 401, "SETUP_REQUIRED")
    assert "8 is the least" in refused(browser("POST", "/api/setup", json={"name": "Ada", "password": "short"}), 400)["message"]
    made = browser("POST", "/api/setup", json={"name": "Ada", "password": PASSWORD})
    assert made.status_code == 201
    assert made.json()["role"] == "admin"
    assert "session" not in made.text.lower()
    assert browser("GET", "/api/me").json()["name"] == "Ada"
    assert browser("GET", "/api/setup").json()["needed"] is False
    refused(browser("POST", "/api/setup", json={"name": "Eve", "password": PASSWORD}), 409, "CONFLICT")


def test_from_another_machine_it_takes_the_code(house: House) -> None:
    browser, elsewhere = Browser(house), {**SAME, "x-forwarded-for": "198.51.100.7"}
    assert browser("GET", "/api/setup", says=elsewhere).json() == {"needed": True, "codeNeeded": True}
    given = {"name": "Ada", "password": PASSWORD}
    for wrong in ({}, {"code": "guess"}):
        assert "`doce serve` prints it" in refused(browser("POST", "/api/setup", says=elsewhere, json={**given, **wrong}), 403)["hint"]
    made = browser("POST", "/api/setup", says=elsewhere, json={**given, "code": f" {setup.code().upper()} "})
    assert made.status_code == 201
    assert setup.code() not in made.text


def test_of_two_at_once_one_becomes_admin(house: House) -> None:
    barrier = threading.Barrier(4)

    def call(number: int) -> int:
        barrier.wait()
        given = {"name": f"Ada {number}", "password": PASSWORD}
        return house.http.post("/api/setup", json=given).status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(call, range(4))) == [201, 409, 409, 409]
    assert User.select().count() == 1


def test_the_cookie(house: House, ada: Browser) -> None:
    kept = ada.sign_in("ADA").headers["set-cookie"]
    assert set(kept.split("; ")[1:]) == {"HttpOnly", f"Max-Age={LIFE_MS // 1000}", "Path=/", "SameSite=lax"}
    secret = ada.cookie
    assert secret
    assert len(secret) == 43
    assert secret not in str(list(Session.select().tuples()))
    secure = ada("POST", "/api/session", says={**SAME, "x-forwarded-proto": "https"}, json={"name": "ada", "password": PASSWORD})
    assert "Secure" in secure.headers["set-cookie"]
    assert secure.headers["strict-transport-security"]


def test_a_session_ends_by_itself_and_by_hand(house: House, ada: Browser) -> None:
    other = Browser(house)
    other.sign_in("ada")
    ada.cookie, mine = ada.cookie, ada.cookie
    assert ada("DELETE", "/api/session").status_code == 200
    assert ada.cookie is None, "the browser forgets it"
    ada.cookie = mine
    refused(ada("GET", "/api/me"), 401)
    third = Browser(house)
    third.sign_in("ada")
    assert other("DELETE", "/api/sessions").json()["message"] == "Signed out of 2 browsers."
    refused(third("GET", "/api/me"), 401)
    third.sign_in("ada")
    house.clock.advance(s=LIFE_MS / 1000 + 1)
    refused(third("GET", "/api/me"), 401)
    assert house.services.sessions.sweep() == 1
    assert Session.select().count() == 0


def test_a_changed_password_ends_the_other_browsers(house: House, ada: Browser) -> None:
    other = Browser(house)
    other.sign_in("ada")
    wrong = {"current": "not it", "password": "another horse"}
    refused(ada("POST", "/api/me/password", json=wrong), 403)
    assert ada("POST", "/api/me/password", json={"current": PASSWORD, "password": "another horse"}).status_code == 200
    assert ada("GET", "/api/me").status_code == 200
    refused(other("GET", "/api/me"), 401)
    refused(other.sign_in("ada"), 401)
    assert other.sign_in("ada", "another horse").status_code == 201


def test_guessing_is_slowed_down_and_tells_nothing(house: House, ada: Browser) -> None:
    told = [refused(Browser(house).sign_in(name, "guess"), 401) for name in ("ada", "nobody")]
    assert told[0] == told[1]
    for _ in range(3):
        refused(Browser(house).sign_in("ada", "guess"), 401)
    answer = Browser(house).sign_in("ada")
    assert refused(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    elsewhere = {**SAME, "x-forwarded-for": "198.51.100.9"}
    house.clock.advance(s=30)
    for status in (401, 429):  # four by the name, the fifth from elsewhere
        refused(Browser(house)("POST", "/api/session", says=elsewhere, json={"name": "ada", "password": "guess"}), status)
    assert Browser(house)("POST", "/api/session", says=elsewhere, json={"name": "eve", "password": "x"}).status_code == 401
    house.clock.advance(s=31)
    assert ada.sign_in("ada").status_code == 201


@pytest.mark.parametrize(
    "says",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {},
    ],
)
def test_another_sites_page_changes_nothing(house: House, ada: Browser, says: dict[str, str]) -> None:
    for method, path, body in (
        ("POST", "/api/projects", {"prompt": "a site"}),
        ("DELETE", "/api/session", None),
        ("PATCH", "/api/settings", {"template": "static"}),
    ):
        assert "another site" in refused(ada(method, path, says=says, json=body), 403, "FORBIDDEN")["message"]
    if says:
        refused(ada("POST", "/api/session", says=says, json={"name": "ada", "password": PASSWORD}), 403)
    assert ada("GET", "/api/me").status_code == 200
    assert house.services.projects.list(None).items == []


def test_its_own_page_does_also_in_a_browser_without_fetch_metadata(house: House, ada: Browser) -> None:
    says = {"origin": f"http://localhost:{house.port}"}
    assert ada("POST", "/api/projects", says=says, json={"prompt": "a site"}).status_code == 201


def test_a_token_needs_no_page(house: House) -> None:
    _, admin = house.person("root", "admin")
    answer = house.http.post("/api/projects", json={"prompt": "a site"}, headers={**admin, "origin": "http://evil.example"})
    assert answer.status_code == 201


def test_no_session_where_a_site_would_get_it(house: House) -> None:
    """Cookies know no ports: at the sites' host name doce takes no session, by whatever way it is asked."""
    house.services.users.first_admin("Ada", PASSWORD)
    for host in (f"127.0.0.1:{house.port}", "127.0.0.1", "127.0.0.1."):
        answer = house.http.post("/api/session", headers={"host": host}, json={"name": "ada", "password": PASSWORD})
        assert answer.status_code == 400, host
        assert "set-cookie" not in answer.headers
    assert Session.select().count() == 0


def test_sites_have_a_host_name_of_their_own(tmp_path: Path) -> None:
    for public, own, host, secure, shared in (
        (None, None, "localhost", False, False),
        (None, None, "127.0.0.1", False, True),
        ("http://doce.example", None, "doce.example", False, True),
        ("https://doce.example", None, "doce.example", True, False),
        ("http://doce.example", "sites.example", "doce.example", False, False),
        ("http://doce.example", "sites.example", "SITES.example", False, True),
    ):
        settings = Settings(data=tmp_path, public_url=public, site_host=own)
        assert addresses.shared_with_sites(settings, host, secure) == shared
        assert addresses.site_host(settings) in addresses.site_url(settings, 41000)


def test_who_may_show_doce_in_a_frame(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    """Nobody, but for the notebooks that DOCE_FRAME_ANCESTORS names."""
    told = load({"DOCE_FRAME_ANCESTORS": "http://localhost:8888 https://*.example.org"}).frame_ancestors
    assert told == ("http://localhost:8888", "https://*.example.org")
    for wrong in ("localhost", "http://localhost:8888/", "*", "'self'", "http://a; script-src *", "javascript:x"):
        with pytest.raises(BadRequest, match="DOCE_FRAME_ANCESTORS"):
            load({"DOCE_FRAME_ANCESTORS": wrong})

    def ancestors(answer: httpx.Response) -> str:
        return answer.headers["content-security-policy"].rpartition("frame-ancestors ")[2].partition(";")[0]

    with served(tmp_path, frame_ancestors=told) as house:
        _, admin = house.person("root", "admin")
        project = house.http.post("/api/projects", json={"prompt": "a site"}, headers=admin).json()["slug"]
        assert ancestors(house.http.get("/sign-in")) == "http://localhost:8888 https://*.example.org"
        framed = house.http.get(f"/projects/{project}/frame", headers=admin)
        assert ancestors(framed) == "'self' http://localhost:8888 https://*.example.org"
        assert ancestors(house.http.get("/api/me", headers=admin)) == "'none'"


def test_nobody_else_may_show_doce_in_a_frame(house: House) -> None:
    house.person("root", "admin")
    answer = house.http.get("/sign-in")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"


def test_an_open_stream_ends_with_the_session(house: House, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)
    project = ada("POST", "/api/projects", json={"prompt": "a site"}).json()["id"]
    raw = house.connect(f"/api/projects/{project}/opencode/event", {"cookie": f"{COOKIE}={ada.cookie}"})
    raw.until(b"project.status")
    ada("DELETE", "/api/session")
    raw.rest()


def test_a_member_who_is_taken_out_sees_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)
    owner, owns = house.person("ada", "admin")
    _, sees = house.person("vic")
    project = house.services.projects.create(owner.id, "a site")
    refused(house.http.get(f"/api/projects/{project.id}", headers=sees), 403)
    assert house.http.get("/api/projects", headers=sees).json()["items"] == []
    path = f"/api/projects/{project.slug}/members/vic"
    assert house.http.post(path, json={"role": "viewer"}, headers=owns).status_code == 200
    assert [one["id"] for one in house.http.get("/api/projects", headers=sees).json()["items"]] == [project.id]
    assert house.http.get("/api/jobs", headers=sees).json()["items"]
    refused(house.http.post(f"/api/projects/{project.id}/prompts", json={"text": "x"}, headers=sees), 403)
    refused(house.http.post(path, json={"role": "editor"}, headers=sees), 403)
    raw = house.connect(f"/api/projects/{project.id}/opencode/event", sees)
    raw.until(b"project.status")
    assert house.http.delete(path, headers=sees).status_code == 200, "whoever wants may leave"
    raw.rest()
    house.writer.put([piece(1, project.id)])
    refused(house.http.get(f"/api/projects/{project.id}", headers=sees), 403)
    assert house.http.get("/api/jobs", headers=sees).json()["items"] == []


def test_a_project_changes_hands(house: House) -> None:
    _owner, owns = house.person("ada", "admin")
    bob, his = house.person("bob")
    project = house.services.projects.create(bob.id, "a site")
    house.person("eve")
    assert house.http.post(f"/api/projects/{project.id}/owner/eve", headers=his).status_code == 200
    listed = house.http.get(f"/api/projects/{project.id}/members", headers=his).json()["items"]
    assert [(one["name"], one["role"]) for one in listed] == [("eve", "owner"), ("bob", "editor")]
    refused(house.http.delete(f"/api/projects/{project.id}", headers=his), 403)
    answer = house.http.delete("/api/users/eve", headers=owns)
    assert "owns 1 project" in refused(answer, 409)["message"]


def test_deleting_all_of_mine_leaves_what_i_am_only_a_member_of(house: House) -> None:
    owner, _ = house.person("ada", "admin")
    bob, _ = house.person("bob")
    shared = house.services.projects.create(owner.id, "shared")
    mine = house.services.projects.create(bob.id, "mine")
    house.services.members.set(shared.id, bob.id, "editor")
    assert house.store.owned(bob.id) == [mine.id]
    assert house.services.projects.ids_of(bob.id) == {shared.id, mine.id}


def test_users_come_and_go(house: House) -> None:
    _, root = house.person("root", "admin")
    made = house.http.post("/api/users", json={"name": "Bob"}, headers=root).json()
    bob = Browser(house)
    assert bob.sign_in("bob", made["password"]).status_code == 201
    listed = house.http.get("/api/users", headers=root).json()["items"]
    assert [(one["name"], one["role"], one["password"]) for one in listed] == [("root", "admin", None), ("Bob", "member", None)]
    refused(house.http.post("/api/users", json={"name": "bOB"}, headers=root), 409)
    refused(house.http.patch("/api/users/root", json={"role": "member"}, headers=root), 409)
    refused(house.http.delete("/api/users/root", headers=root), 409)
    fresh = house.http.post("/api/users/Bob/password", headers=root).json()["password"]
    refused(bob("GET", "/api/me"), 401)
    assert bob.sign_in("bob", fresh).status_code == 201
    assert house.http.patch("/api/users/bob", json={"role": "admin", "name": "Robert"}, headers=root).json()["role"] == "admin"
    assert bob("GET", "/api/users").status_code == 200
    assert house.http.delete("/api/users/Robert", headers=root).status_code == 200
    refused(bob("GET", "/api/me"), 401)
    refused(bob.sign_in("Robert", fresh), 401)
    assert house.http.post("/api/users", json={"name": "Robert"}, headers=root).status_code == 201, "the name is free"


def test_a_chat_user_is_linked_once(house: House) -> None:
    _, owns = house.person("ada", "admin")
    code = house.http.post("/api/me/identities", headers=owns).json()["code"]
    identities = house.services.identities
    assert identities.who("slack", "T1", "U1") is None
    person = identities.redeem(code.lower().replace("-", " "), "slack", "T1", "U1", "ada l")
    assert person.name == "ada"
    assert identities.who("slack", "T1", "U1") == person
    assert identities.who("slack", "T2", "U1") is None, "another workspace has other people"
    with pytest.raises(BadRequest, match="used"):
        identities.redeem(code, "slack", "T1", "U2")
    second = house.http.post("/api/me/identities", headers=owns).json()["code"]
    house.clock.advance(s=601)
    with pytest.raises(BadRequest, match="ten minutes"):
        identities.redeem(second, "slack", "T1", "U2")
    (linked,) = house.http.get("/api/me/identities", headers=owns).json()["items"]
    assert (linked["kind"], linked["name"]) == ("slack", "ada l")
    assert code.replace("-", "") not in str(list(LinkCode.select().tuples()))
    assert house.http.delete(f"/api/me/identities/{linked['id']}", headers=owns).status_code == 200
    assert identities.who("slack", "T1", "U1") is None


def test_what_somebody_prefers(house: House) -> None:
    _, owns = house.person("ada", "admin")
    assert house.http.get("/api/me/settings", headers=owns).json() == {
        "model": None, "verbosity": "normal", "notifications": "long", "timeZone": "UTC",
    }  # fmt: skip
    changed = house.http.patch("/api/me/settings", json={"model": "rehearsal/slow", "timeZone": "Europe/Paris"}, headers=owns)
    if changed.status_code == 400:  # the models this doce knows
        known = [one["id"] for one in house.http.get("/api/models", headers=owns).json()["items"]]
        changed = house.http.patch("/api/me/settings", json={"model": known[-1], "timeZone": "Europe/Paris"}, headers=owns)
    model = changed.json()["model"]
    assert house.http.post("/api/projects", json={"prompt": "a site"}, headers=owns).json()["model"] == model
    refused(house.http.patch("/api/me/settings", json={"timeZone": "Mars/Base"}, headers=owns), 400)
    refused(house.http.patch("/api/me/settings", json={"model": "nobody/nothing"}, headers=owns), 400)
    kept = house.http.patch("/api/me/settings", json={"verbosity": "quiet", "model": None}, headers=owns).json()
    assert kept == {"model": None, "verbosity": "quiet", "notifications": "long", "timeZone": "Europe/Paris"}
