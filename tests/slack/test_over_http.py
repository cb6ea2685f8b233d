"""The same over HTTP: signed requests on doce's own address, nothing else different."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .house import Office, office, said
from .test_scenarios import check_acks

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("http") / "data", cache, http=True) as made:
        yield made


def test_a_site_is_asked_for_and_changed_and_a_button_pressed(acme: Office) -> None:
    root = acme.new("[[rehearse only: first]]")
    acme.say("[[rehearse only: second]]", root)
    turns = acme.ended(root, 2)
    assert [said(one) for one in turns] == ["first", "second"]
    acme.say("[[rehearse question]]", root)
    acme.click(acme.shows(root, ":raised_hand:", timeout_s=60), "doce:choose0")
    acme.shows(root, "✅ Answered")
    acme.ended(root, 3)
    check_acks(acme)


def test_what_is_not_signed_by_slack_is_refused(acme: Office) -> None:
    url = f"http://127.0.0.1:{acme.home.port}/slack/events"
    form = {"command": "/doce", "text": "new a site of a stranger", "team_id": acme.town.workspace.id, "user_id": acme.town.user("ada").id}
    assert httpx.post(url, data=form, trust_env=False).status_code == 401
    old = {"x-slack-request-timestamp": "1500000000", "x-slack-signature": "v0=abc"}
    assert httpx.post(url, data=form, headers=old, trust_env=False).status_code == 401
    assert not [one for one in acme.home.doce.projects()["items"] if "stranger" in one["name"].lower()]
    assert "new a site of a stranger" not in acme.log()
