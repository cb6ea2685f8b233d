"""Who sees what of what runs, over HTTP."""

from __future__ import annotations

import pytest

from tests.actions.conftest import running
from tests.web.house import House

pytestmark = pytest.mark.slow


def test_an_admin_sees_everything_and_a_member_their_own(house: House) -> None:
    root, admin = house.person("root", "admin")
    ada, member = house.person("ada")
    tea, coffee = running(house, root.id, "a tea"), running(house, ada.id, "a coffee")

    def seen(headers: dict[str, str]) -> set[str]:
        answer = house.http.get("/api/monitor", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["doce"]["memory"] > 0
        return {one["id"] for one in answer.json()["projects"]}

    assert seen(admin) == {tea.id, coffee.id}
    assert seen(member) == {coffee.id}
    assert house.http.get("/api/monitor").status_code == 401


def test_a_heartbeat_over_http(house: House) -> None:
    root, admin = house.person("root", "admin")
    _, stranger = house.person("ada")
    tea = running(house, root.id, "a tea")
    path = f"/api/projects/{tea.slug}/presence"
    told = house.http.post(path, headers=admin, json={"viewerId": "tab-1"})
    assert told.status_code == 200, told.text
    assert (told.json()["viewerCount"], told.json()["status"], told.json()["previewReady"]) == (1, "running", True)
    assert house.http.post(path, headers=stranger, json={"viewerId": "tab-2"}).status_code == 403
    assert house.http.post("/api/projects/none/presence", headers=admin, json={"viewerId": "t"}).status_code == 404
    for bad in ({}, {"viewerId": ""}, {"viewerId": "a b"}, {"viewerId": "x" * 101}, {"viewerId": "x", "door": "window"}):
        assert house.http.post(path, headers=admin, json=bad).status_code == 400, bad


def test_open_streams_are_viewers_unless_they_say_otherwise(house: House) -> None:
    root, admin = house.person("root", "admin")
    tea = running(house, root.id, "a tea")
    visits = house.services.presence._visits
    path = f"/api/projects/{tea.id}/opencode/event"
    open_ = [house.connect(f"{path}{query}", admin) for query in ("", "?viewerId=tab", "?watch=false")]
    open_.append(house.connect(f"/api/projects/{tea.id}/logs", admin))
    for raw in open_:
        raw.until(b": connected\n\n")
    house.until(lambda: len(visits) == 3)
    for raw in open_:
        raw.close()
    house.until(lambda: not visits, 5)
    house.http.get(f"{path}?follow=false", headers=admin)
    assert not visits
    assert house.http.get(f"{path}?viewerId={'x' * 101}", headers=admin).status_code == 400
