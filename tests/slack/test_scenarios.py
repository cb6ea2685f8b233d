"""What people do in Slack, with the real doce behind it, real agents and the rehearsal model."""

from __future__ import annotations

import pytest

from .house import Office

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_site_is_asked_for_changed_and_deployed(acme: Office) -> None:
    root = acme.new()
    assert len(acme.thread(root)) == 2
    acme.say("make it dark", root)
    acme.ended(root, 2)
    acme.say("deploy", root)
    live = acme.shows(root, "Live", timeout_s=60)
    assert "v1" in live.shown
    check_acks(acme)


def check_acks(acme: Office) -> None:
    """Everything that was delivered was acknowledged the first time, within a second."""
    late = acme.look(
        lambda: [
            (one.kind, one.event.get("type"), one.event.get("subtype"), [(tried.outcome, tried.seconds) for tried in one.attempts])
            for one in acme.town.courier.sent
            if one.over and (len(one.attempts) != 1 or one.seconds >= 1 or one.error)
        ]
    )
    assert not late
