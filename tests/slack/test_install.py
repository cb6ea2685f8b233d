"""doce in several workspaces: installed by an admin, forgotten when it is removed, and nobody else can do either."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import peewee
import pytest

from doce.db.connection import database
from doce.settings import load
from doce.testing.slack import Workspace
from doce_slack.manifest import INSTALL_PATH, REDIRECT_PATH, manifest, scopes

from .house import office
from .served_door import PUBLIC, Place, placed

pytestmark = pytest.mark.slow


@pytest.fixture
def place(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path, installs=True, token=False) as made:
        made.slack.apply(manifest(made.house.settings, http=True))
        made.run(made.slack.use_http(made.events_url))
        yield made


@pytest.fixture
def beta(place: Place) -> Workspace:
    """A workspace without doce, with eve and a channel in it."""
    made = place.slack.world.add_workspace("Beta")
    eve = place.slack.world.add_user(made, "eve", admin=True)
    place.slack.world.add_channel(made, "lobby", [eve.id])
    return made


def begin(browser: httpx.Client) -> str:
    """The link that leads to Slack."""
    page = browser.get(INSTALL_PATH)
    assert page.status_code == 200, page.text
    assert "Add to Slack" in page.text
    link = page.text.split('href="', 2)
    found = next(part.split('"')[0] for part in page.text.split('href="') if "oauth/v2/authorize" in part.split('"')[0])
    assert link
    return found.replace("&amp;", "&")


def agree(link: str, workspace: Workspace, *, answer: str = "yes", public: str = PUBLIC) -> str:
    """Where Slack sends the browser back to: path and query."""
    back = httpx.post(link, data={"agree": answer, "team": workspace.id}, trust_env=False)
    assert back.status_code == 302, back.text
    assert back.headers["location"].startswith(public + REDIRECT_PATH)
    return back.headers["location"].removeprefix(public)


def install(place: Place, browser: httpx.Client, workspace: Workspace) -> httpx.Response:
    done = browser.get(agree(begin(browser), workspace))
    # Installing puts the bot into the workspace, people invite it.
    channel = next((one for one in place.slack.world.channels.values() if one.team == workspace.id and one.name == "lobby"), None)
    if channel and workspace.bot_user not in channel.members:
        channel.members.append(workspace.bot_user)
    return done


def kept(place: Place, workspace: Workspace) -> Any:
    return place.house.services.chats.installations.of("slack", workspace.id)


def test_an_admin_installs_it_and_it_answers_there(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    link = begin(root)
    asked = parse_qs(urlsplit(link).query)
    assert asked["scope"][0].split(",") == scopes(place.house.settings)
    assert asked["redirect_uri"] == [PUBLIC + REDIRECT_PATH]
    assert asked["state"][0]
    done = install(place, root, beta)
    assert done.status_code == 200
    assert "doce is in Beta" in done.text
    found = kept(place, beta)
    assert (found.name, found.bot_user, found.bot_id) == ("Beta", beta.bot_user, beta.bot_id)
    assert sorted(found.scopes) == scopes(place.house.settings)
    place.link("eve", "root")
    assert place.run(place.slack.slash("eve", "#lobby", "/doce", "new a bakery in Porto")).acked
    assert "bakery" in place.until(lambda _: place.slack.messages("#lobby"))[0].shown


def test_the_token_is_nowhere_in_plain(place: Place, beta: Workspace) -> None:
    install(place, place.sign_in("root", "admin"), beta)
    secret = kept(place, beta).token.get_secret_value()
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert secret.encode() not in place.house.settings.database.read_bytes()
    with sqlite3.connect(place.house.settings.database) as raw:
        assert secret not in str(raw.execute("SELECT * FROM chat_installations").fetchall())
    raw.close()


def test_the_routes_as_everybody(place: Place, beta: Workspace) -> None:
    nobody = place.browser()
    assert nobody.get(INSTALL_PATH).headers["location"] == "/setup"
    root, ben = place.sign_in("root", "admin"), place.sign_in("ben")
    back = agree(begin(root), beta)
    for path in (INSTALL_PATH, REDIRECT_PATH, back):
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (302, "/sign-in")
        answer = ben.get(path)
        assert answer.status_code == 403
        assert "Only an admin" in answer.text
        assert nobody.post(path).status_code == 405
    assert kept(place, beta) is None
    assert root.get(back).status_code == 200


def test_a_state_is_of_who_began_it_good_once_and_for_ten_minutes(place: Place, beta: Workspace) -> None:
    root, ada = place.sign_in("root", "admin"), place.sign_in("ada")
    place.house.services.users.change(place.house.services.users.find("ada").id, role="admin")
    back = agree(begin(root), beta)
    stranger = ada.get(back)
    assert stranger.status_code == 400
    assert "not begun here by you" in stranger.text
    assert root.get(back).status_code == 200
    again = root.get(back)
    assert again.status_code == 400
    assert "finished before" in again.text
    late = agree(begin(root), beta)
    place.house.services.clock.advance(s=601)
    assert "more than ten minutes" in root.get(late).text
    place.house.services.clock.advance(s=-601)
    state = parse_qs(urlsplit(late).query)["state"][0]
    mine = place.house.services.users.find("root").id
    for forged in (state[:-1] + ("0" if state[-1] != "0" else "1"), state.replace(".", "1.", 1), f"{mine}.{2**60}.00.", f"{mine}.ü"):
        assert "not begun here by you" in root.get(REDIRECT_PATH, params={"state": forged, "code": "1"}).text
    for query in ("", "?state=", "?code=1", "?state=x&code=1", f"?state={'x' * 5000}&code=1"):
        assert root.get(REDIRECT_PATH + query).status_code == 400


def test_what_goes_wrong_at_slack_is_said_and_keeps_nothing(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    no = root.get(agree(begin(root), beta, answer="no"))
    assert no.status_code == 400
    assert "You said no in Slack" in no.text
    assert INSTALL_PATH in no.text
    back = agree(begin(root), beta)
    place.slack.grants.clear()
    assert "did not take the code" in root.get(back).text
    odd = root.get(f"{REDIRECT_PATH}?error=<script>&state={parse_qs(urlsplit(begin(root)).query)['state'][0]}")
    assert odd.status_code == 400
    assert "<script>" not in odd.text
    from doce.testing.slack import reset

    back = agree(begin(root), beta)
    place.slack.faults.add("oauth.v2.access", reset(), times=1)
    lost = root.get(back)
    assert lost.status_code == 503
    assert "Nothing was installed" in lost.text
    assert kept(place, beta) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"is_enterprise_install": True, "team": None, "enterprise": {"id": "E1", "name": "Big"}}, "whole organisation"),
        ({"refresh_token": "xoxe-1-abc", "expires_in": 43200}, "Tokens of this app expire"),
    ],
)
def test_what_doce_does_not_do_is_said(place: Place, beta: Workspace, more: dict[str, Any], said: str, monkeypatch: Any) -> None:
    from doce.testing.slack.call import METHODS
    from doce.testing.slack.methods import auth

    monkeypatch.setitem(
        METHODS, "oauth.v2.access", auth.METHODS["oauth.v2.access"] if hasattr(auth, "METHODS") else METHODS["oauth.v2.access"]
    )
    answered = METHODS["oauth.v2.access"]
    import dataclasses

    def answer(call: Any) -> Any:
        found = answered.answer(call)
        assert isinstance(found, dict)
        return {**found, **more}

    monkeypatch.setitem(METHODS, "oauth.v2.access", dataclasses.replace(answered, answer=answer))
    root = place.sign_in("root", "admin")
    refused = root.get(agree(begin(root), beta))
    assert refused.status_code == 400
    assert said in refused.text
    assert place.house.services.chats.installations.list("slack") == []


def test_installed_again_the_new_token_counts_at_once(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    install(place, root, beta)
    place.link("eve", "root")
    place.run(place.slack.slash("eve", "#lobby", "/doce", "help"))
    place.until(lambda _: place.slack.ephemeral("eve", "#lobby"))
    first = kept(place, beta).token.get_secret_value()
    holder = place.run(place.door.workspaces.of(beta.id))
    install(place, root, beta)
    assert kept(place, beta).token.get_secret_value() != first
    place.slack.tokens[first].revoked = True
    place.run(place.slack.slash("eve", "#lobby", "/doce", "new a bakery in Porto"))
    assert place.until(lambda _: place.slack.messages("#lobby"))
    # and for whoever held the workspace before
    assert place.run(holder.call("auth.test"))["team_id"] == beta.id


def test_removed_in_slack_it_is_forgotten_and_its_threads_end(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    install(place, root, beta)
    place.link("eve", "root")
    place.run(place.slack.slash("eve", "#lobby", "/doce", "new a bakery in Porto"))
    place.until(lambda _: place.slack.messages("#lobby"))
    assert [one.team for one in place.house.services.chats.threads.open("slack")] == [beta.id]
    place.house.call(lambda: place.slack.uninstall(beta))
    place.house.until(lambda: kept(place, beta) is None)
    assert place.house.services.chats.threads.open("slack") == []
    assert place.run(place.door.workspaces.of(beta.id)) is None
    place.house.until(lambda: place.house.services.chats.claims.lanes() == [])


def test_a_late_word_of_a_removal_does_not_undo_a_new_installation(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    install(place, root, beta)
    place.house.call(lambda: place.slack.events.uninstalled(beta, by_person=True))
    place.run(place.slack.settled())
    place.house.until(lambda: place.house.services.chats.claims.lanes() == [])
    assert len(place.slack.called("auth.test")) >= 2
    assert kept(place, beta) is not None


def test_an_admin_lists_workspaces_and_forgets_one(place: Place, beta: Workspace) -> None:
    root = place.sign_in("root", "admin")
    install(place, root, beta)
    assert place.run(place.door.workspaces.of(beta.id))
    listed = root.get("/api/workspaces").json()["items"]
    assert [(one["team"], one["name"]) for one in listed] == [(beta.id, "Beta")]
    assert "xoxb" not in json.dumps(listed)
    origin = {"origin": str(root.base_url).replace("127.0.0.1", "localhost").rstrip("/")}
    assert place.sign_in("ben").delete(f"/api/workspaces/{beta.id}", headers=origin).status_code == 403
    assert root.delete(f"/api/workspaces/{beta.id}", headers=origin).status_code == 200
    assert place.run(place.door.workspaces.of(beta.id)) is None
    assert place.run(place.slack.slash("eve", "#lobby", "/doce", "help")).acked
    assert "not installed" in place.until(lambda _: place.slack.ephemeral("eve", "#lobby"))[0].text


def test_without_client_id_there_is_nothing_to_install(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    with placed(tmp_path) as place:
        root = place.sign_in("root", "admin")
        assert root.get(INSTALL_PATH).status_code == 404
        assert root.get(REDIRECT_PATH).status_code == 404


def test_a_kill_in_the_middle_does_not_fail_it(tmp_path: Path) -> None:
    with office(tmp_path / "data", load().cache, http=True, linked=(), DOCE_WORKERS="0") as acme:
        app = acme.town.app
        acme.home.kill()
        acme.home.environment |= {"DOCE_SLACK_CLIENT_ID": app.client_id, "DOCE_SLACK_CLIENT_SECRET": app.client_secret}
        acme.home.start()
        beta = acme.look(lambda: acme.town.world.add_workspace("Beta"))
        acme.look(lambda: acme.town.world.add_user(beta, "eve", admin=True))
        made = acme.home.doce.request("POST", "/api/users", body={"name": "eve", "role": "admin"})
        own = {"host": f"localhost:{acme.home.port}", "accept": "text/html"}
        with httpx.Client(base_url=f"http://127.0.0.1:{acme.home.port}", headers=own, trust_env=False) as eve:
            eve.post("/api/session", json={"name": "eve", "password": made["password"]}).raise_for_status()
            back = agree(begin(eve), beta, public=f"http://localhost:{acme.home.port}")
            acme.home.kill()
            acme.home.start()
            done = eve.get(back)
            assert done.status_code == 200, done.text
            assert "doce is in Beta" in done.text
            again = eve.get(back)
            assert again.status_code == 400
            assert "finished before" in again.text
