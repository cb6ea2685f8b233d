"""`Idempotency-Key`: who asks twice gets the first answer, and nothing is done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from doce.actions import once
from doce.actions.catalog import actions
from doce.db import answers
from doce.db.connection import database
from doce.queue import jobs

from .house import House

PROMPT = {"prompt": "a site about tea"}


@pytest.fixture
def admin(house: House) -> dict[str, str]:
    return house.person("root", "admin")[1]


def create(house: House, headers: dict[str, str], key: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return house.http.post("/api/projects", json=body or PROMPT, headers={**headers, once.HEADER: key})


def test_a_repeat_is_answered_as_the_first_time(house: House, admin: dict[str, str]) -> None:
    first = create(house, admin, "k1")
    assert first.status_code == 201
    house.services.projects.rename(first.json()["id"], "Something else meanwhile")
    again = create(house, admin, "k1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(house.services.projects.list(None).items) == 1
    assert len(jobs.list()) == 1
    assert create(house, admin, "k2").json()["id"] != first.json()["id"]


def test_a_prompt_is_queued_once(house: House, admin: dict[str, str]) -> None:
    project = create(house, admin, "k1").json()["id"]
    asks = [
        house.http.post(f"/api/projects/{project}/prompts", json={"text": "make it dark"}, headers={**admin, once.HEADER: "p1"})
        for _ in range(3)
    ]
    assert {answer.status_code for answer in asks} == {202}
    assert len({answer.content for answer in asks}) == 1
    assert [prompt.text for prompt in house.services.prompts.page(project, 10, None).items] == ["make it dark", PROMPT["prompt"]]


def test_many_at_once_make_one(house: House, admin: dict[str, str]) -> None:
    with ThreadPoolExecutor(12) as crowd:
        found = list(crowd.map(lambda _: create(house, admin, "k1"), range(12)))
    assert {answer.status_code for answer in found} == {201}
    assert len({answer.content for answer in found}) == 1
    assert len(house.services.projects.list(None).items) == 1
    assert len(jobs.list()) == 1


def test_a_key_is_its_owners_and_for_one_request(house: House, admin: dict[str, str]) -> None:
    _, ada = house.person("ada")
    mine = create(house, admin, "k1").json()
    theirs = create(house, ada, "k1").json()
    assert mine["id"] != theirs["id"]
    other = create(house, admin, "k1", {"prompt": "a site about bread"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "CONFLICT")
    text = house.http.post(f"/api/projects/{mine['id']}/prompts", json={"text": "more"}, headers={**admin, once.HEADER: "k1"})
    assert text.status_code == 409
    assert len(house.services.projects.list(None).items) == 2


def test_a_repeat_is_checked_like_the_first(house: House, admin: dict[str, str]) -> None:
    """An answer that was kept opens nothing to somebody who may no longer see the project."""
    root, _ = house.person("owner")
    _, ada = house.person("ada")
    project = house.services.projects.create(root.id, "a site")
    url, key = f"/api/projects/{project.id}/prompts", {once.HEADER: "k1"}
    assert house.http.post(url, json={"text": "hi"}, headers={**ada, **key}).status_code == 403
    assert house.http.post(url, json={"text": "hi"}, headers=key).status_code == 401
    assert house.http.post(url, json={"text": "hi"}, headers={**admin, **key}).status_code == 202
    house.store.update(project.id, deleted_at=1)
    assert house.http.post(url, json={"text": "hi"}, headers={**admin, **key}).status_code == 404


def test_what_was_refused_may_be_asked_again(house: House, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert create(house, admin, "k1", {"prompt": ""}).status_code == 400

    def breaks(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(answers, "keep", breaks)
    assert create(house, admin, "k1").status_code == 500
    monkeypatch.undo()
    # The deed went with its answer.
    assert house.services.projects.list(None).items == []
    assert jobs.list() == ()
    assert create(house, admin, "k1").status_code == 201


def test_a_day_later_it_is_a_new_request(house: House, admin: dict[str, str]) -> None:
    first = create(house, admin, "k1").json()["id"]
    house.clock.advance(ms=once.KEPT_MS)
    assert create(house, admin, "k1").json()["id"] == first
    house.clock.advance(ms=1)
    assert create(house, admin, "k1").json()["id"] != first
    assert database.execute_sql("SELECT count(*) FROM answers").fetchone() == (1,)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
def test_a_key_that_is_none(house: House, admin: dict[str, str], key: str) -> None:
    answer = house.http.post("/api/projects", json=PROMPT, headers=[*admin.items(), (once.HEADER, key.encode("latin-1"))])  # type: ignore[list-item]
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": once.HEADER}
    assert house.services.projects.list(None).items == []


def test_no_provider_is_asked_while_the_database_is_locked(house: House, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[bool] = []

    def models() -> list[Any]:
        locked.append(database.in_transaction())
        return []

    monkeypatch.setattr(house.services.catalog, "models", models)
    assert create(house, admin, "k1").status_code == 201
    assert locked == [False]


def test_only_what_may_be_repeated_says_so(house: House, admin: dict[str, str]) -> None:
    paths = house.http.get("/api/openapi.json", headers=admin).json()["paths"]
    told = {
        operation["operationId"]
        for path in paths.values()
        for operation in path.values()
        if any(one["name"] == once.HEADER for one in operation["parameters"])
    }
    assert told == {one.name for one in actions().values() if one.repeatable} == {"projects.create", "prompts.add"}
