"""Deploys and rollbacks from a thread, by words and by buttons, and one that fails."""

from __future__ import annotations

import pytest

from .house import Office

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.nightly
def test_versions_go_live_and_back_again(acme: Office) -> None:
    root = acme.new()
    project = acme.project(root)
    acme.click(acme.ended(root, 1)[0], "doce:deploy")
    acme.shows(root, "Live* v1", timeout_s=60)
    acme.until(lambda: "live" in acme.town.thread("#sites", root)[0].shown)
    acme.say("make it dark", root)
    acme.ended(root, 2)
    acme.say("deploy", root)
    acme.shows(root, "Live* v2", timeout_s=60)
    acme.say("rollback", root)
    acme.until(lambda: len([one for one in acme.town.thread("#sites", root) if "Live* v1" in one.shown]) == 2, 60)
    assert acme.home.doce.production(project)["version"] == 1
    deploys = [one for one in acme.thread(root) if "Live*" in one.shown]
    assert len(deploys) == 3, "one message each"


def test_a_deploy_that_fails_says_what_is_still_live_and_what_to_do(acme: Office) -> None:
    root = acme.new()
    acme.say("deploy", root)
    acme.shows(root, "Live* v1", timeout_s=60)
    acme.say("[[rehearse run: rm -rf public index.html]]", root)
    acme.ended(root, 2)
    acme.say("deploy", root)
    failed = acme.shows(root, "The deploy failed", timeout_s=60)
    assert "v1 is still live" in failed.shown
    assert {"Ask doce to fix", "Retry", "Full log"} <= {one.text for one in failed.controls}
    acme.click(failed, "doce:fix")
    acme.ended(root, 3)
