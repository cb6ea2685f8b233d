"""Channels of chats and the workspaces doce is in, asked for from any door."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from doce.actions.catalog import actions
from doce.actions.chats import ChannelView
from doce.actions.registry import perform, understand
from doce.auth.users import Person
from doce.chats.installations import Installation
from doce.errors import BadRequest, Forbidden, NotFound
from tests.web.house import House

from .conftest import running

HERE = {"team": "T1", "channel": "C1"}


def ask(house: House, who: Person, name: str, **given: Any) -> Any:
    return perform(actions()[name], house.services, who, understand(actions()[name], given))


def linked(house: House, who: Person, external: str, team: str = "T1") -> None:
    code, _ = house.services.identities.link_code(who.id)
    house.services.identities.redeem(code, "slack", team, external)


def test_what_is_set_stays_until_it_is_set_again(house: House) -> None:
    root, _ = house.person("root", "admin")
    tea = running(house, root.id, "a teahouse")
    made = ask(house, root, "channels.set", **HERE, project="teahouse", mention="on", allowed=["U2", "U1"])
    assert made == ChannelView(
        kind="slack", team="T1", channel="C1", project_id=tea.id, project="teahouse", mention="on", allowed=["U1", "U2"]
    )
    assert ask(house, root, "channels.set", **HERE, mention="off").allowed == ["U1", "U2"]
    assert ask(house, root, "channels.set", **HERE, allowed=["none"]).project == "teahouse"
    assert ask(house, root, "channels.list").items == [ask(house, root, "channels.set", **HERE)]
    for word in ("none", None):
        ask(house, root, "channels.set", **HERE, project="teahouse")
        assert ask(house, root, "channels.set", **HERE, project=word).project is None


def test_only_admins_set_who_may_build(house: House) -> None:
    house.person("root", "admin")
    ada, _ = house.person("ada")
    for given in ({"mention": "on"}, {"allowed": ["U1"]}, {"project": None}):
        with pytest.raises(Forbidden):
            ask(house, ada, "channels.set", **HERE, **given)
    with pytest.raises(Forbidden):
        ask(house, ada, "channels.list")


def test_a_channels_project_is_said_by_who_may_build_there_and_change_it(house: House) -> None:
    root, _ = house.person("root", "admin")
    (ada, _), (ben, _) = house.person("ada"), house.person("ben")
    running(house, ada.id, "a teahouse")
    with pytest.raises(Forbidden, match="may not build in this channel"):
        ask(house, ada, "channels.use", **HERE, project="teahouse")
    linked(house, ada, "U1", team="T2")
    with pytest.raises(Forbidden, match="may not build in this channel"):
        ask(house, ada, "channels.use", **HERE, project="teahouse")
    linked(house, ada, "U1")
    assert ask(house, ada, "channels.use", **HERE, project="teahouse").project == "teahouse"
    linked(house, ben, "U2")
    with pytest.raises(Forbidden, match="somebody else's"):
        ask(house, ben, "channels.use", **HERE, project="teahouse")
    house.services.members.set(house.services.projects.find(ada.id, "teahouse").id, ben.id, "viewer")
    with pytest.raises(Forbidden, match="viewer"):
        ask(house, ben, "channels.use", **HERE, project="teahouse")
    ask(house, root, "channels.set", **HERE, allowed=["U2"])
    with pytest.raises(Forbidden, match="may not build in this channel"):
        ask(house, ada, "channels.use", **HERE, project=None)
    assert ask(house, ben, "channels.use", **HERE, project="none").project is None
    with pytest.raises(NotFound):
        ask(house, root, "channels.use", **HERE, project="nowhere")


def test_what_does_not_fit_is_named(house: House) -> None:
    root, _ = house.person("root", "admin")
    for given in ({"mention": "maybe"}, {"kind": "irc"}, {"allowed": "U1"}, {"bogus": 1}):
        with pytest.raises(BadRequest):
            ask(house, root, "channels.set", **HERE, **given)


def test_workspaces_are_listed_without_their_token_and_forgotten_with_their_threads(house: House) -> None:
    root, _ = house.person("root", "admin")
    tea = running(house, root.id, "a teahouse")
    house.services.chats.installations.save(
        Installation("slack", "T1", "Acme", "UBOT", "BBOT", "A1", ("chat:write",), SecretStr("xoxb-secret"), "U1")
    )
    for team in ("T1", "T2"):
        house.services.chats.threads.begin("slack", team, "C1", "1.0", project_id=tea.id, user_id=root.id, external_user="U1")
    (found,) = ask(house, root, "workspaces.list").items
    assert (found.team, found.name, found.scopes, found.installed_by) == ("T1", "Acme", ["chat:write"], "U1")
    assert "secret" not in found.model_dump_json()
    before = house.services.chats.installations.version
    assert "forgotten" in ask(house, root, "workspaces.remove", team="T1").message
    assert house.services.chats.installations.version > before
    assert [one.team for one in house.services.chats.threads.open("slack")] == ["T2"]
    assert ask(house, root, "workspaces.list").items == []
    with pytest.raises(NotFound):
        ask(house, root, "workspaces.remove", team="T1")
