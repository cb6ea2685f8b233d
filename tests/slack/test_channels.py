"""`/doce use|mention|allow|deny`: what holds in a channel, set where it holds, through the same actions as everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from doce.chats.channels import ChannelRules
from doce_slack.manifest import manifest

from .served_door import Place, placed


@pytest.fixture
def place(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        made.slack.apply(manifest(made.house.settings, http=True))
        made.run(made.slack.use_http(made.events_url))
        made.house.person("root", "admin")
        made.house.person("ben")
        made.link("ada", "root")
        made.link("ben", "ben")
        yield made


def say(place: Place, who: str, text: str, channel: str = "#sites") -> str:
    """What somebody alone is answered to a command."""
    before = len(place.slack.ephemeral(who))
    assert place.run(place.slack.slash(who, channel, "/doce", text)).acked
    answer: Any = place.until(lambda _: place.slack.ephemeral(who)[before:])
    return str(answer[-1].shown or answer[-1].text)


def rules(place: Place, channel: str = "sites") -> ChannelRules:
    where = place.slack.channel(channel)
    return place.house.services.chats.channels.rules("slack", where.team, where.id)


def test_an_admin_says_who_may_build_here(place: Place) -> None:
    ben, cleo = place.slack.user("ben"), place.slack.user("cleo")
    assert "Only an admin" in say(place, "ben", "allow @ben")
    assert "Whom?" in say(place, "ada", "allow somebody")
    assert "and admins" in say(place, "ada", "allow @ben @cleo")
    assert set(rules(place).allowed) == {ben.id, cleo.id}
    assert rules(place, "general").allowed == ()
    assert "and admins" in say(place, "ada", "deny @ben")
    assert rules(place).allowed == (cleo.id,)
    assert "Only people whom an admin has added" in say(place, "ben", "list")
    assert "everybody who is linked" in say(place, "ada", "deny @cleo")
    assert rules(place).allowed == ()


def test_an_admin_says_whether_doce_has_to_be_mentioned(place: Place) -> None:
    assert "Only an admin" in say(place, "ben", "mention on")
    assert "`mention on` or `mention off`?" in say(place, "ada", "mention maybe")
    assert "Only what mentions me" in say(place, "ada", "mention on")
    assert rules(place).mention
    assert "every reply is for me" in say(place, "ada", "mention OFF")
    assert not rules(place).mention


def test_whoever_may_build_here_says_which_project_is_meant(place: Place) -> None:
    ben = place.house.services.users.find("ben")
    project = place.house.services.projects.create(ben.id, "a site about tea", name="Tea & <Co>")
    assert "Tea" in say(place, "ben", f"use {project.slug}") or project.slug in say(place, "ben", f"use {project.slug}")
    assert rules(place).project_id == project.id
    assert "No project" in say(place, "ben", "use none")
    assert rules(place).project_id is None
    assert "nowhere" in say(place, "ben", "use nowhere")


def test_the_same_over_http(place: Place) -> None:
    root = place.house.services.users.find("root")
    _, secret = place.house.services.tokens.create(root.id, "test")
    headers = {"authorization": f"Bearer {secret.get_secret_value()}"}
    where = place.slack.channel("sites")
    answer = place.house.http.post(f"/api/channels/{where.team}/{where.id}", json={"mention": "on", "allowed": ["U1"]}, headers=headers)
    assert answer.status_code == 200
    assert rules(place).mention
    assert "Only people whom an admin has added" in say(place, "ben", "list")
