"""Settings of Slack that cannot work are said at start, in one sentence, with what to do."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from doce.errors import BadRequest
from doce.logger import configure, mask
from doce.settings import Settings
from doce_slack import configured

BOT, APP, SIGNING = "xoxb-1-2-abcdefghijklmnop", "xapp-1-A1-2-abcdefghijklmnop", "0123456789abcdef" * 2
GOOD: dict[str, Any] = {"slack_bot_token": BOT, "slack_app_token": APP}

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"slack_bot_token": APP}, "DOCE_SLACK_BOT_TOKEN is an app-level token", "Bot User OAuth Token"),
    ({"slack_app_token": BOT}, "DOCE_SLACK_APP_TOKEN is a bot token", "App-Level Tokens"),
    ({"slack_bot_token": "xoxp-1-2-abcdefghijkl"}, "is a user token", "xoxb-"),
    ({"slack_bot_token": "xoxe.xoxb-1-abcdefghijkl"}, "is a token that expires", "xoxb-"),
    ({"slack_bot_token": "hunter2"}, "is no token of Slack's", "xoxb-"),
    ({"slack_bot_token": ""}, "DOCE_SLACK_BOT_TOKEN is empty", "Set or unset it"),
    ({"slack_app_token": "  "}, "DOCE_SLACK_APP_TOKEN is empty", "Set or unset it"),
    ({"slack_bot_token": f"{BOT}\n"}, "something in it that is not part of a token", "Copy it again"),
    ({"slack_bot_token": f" {BOT}"}, "has to begin with xoxb-", "Bot User OAuth Token"),
    ({"slack_bot_token": "xoxb-"}, "something in it that is not part of a token", "Copy it again"),
    ({"slack_signing_secret": ""}, "DOCE_SLACK_SIGNING_SECRET is empty", "anybody could speak as Slack"),
    ({"slack_signing_secret": " , "}, "DOCE_SLACK_SIGNING_SECRET is empty", "anybody could speak as Slack"),
    ({"slack_signing_secret": f"{SIGNING},{SIGNING},{SIGNING}"}, "holds 3 secrets", "with a comma"),
    ({"slack_signing_secret": APP}, "is a token, not the signing secret", "Signing Secret"),
    ({"slack_app_token": None}, "there is no DOCE_SLACK_APP_TOKEN", "DOCE_SLACK_SIGNING_SECRET"),
    ({"slack_bot_token": None}, "there is no DOCE_SLACK_BOT_TOKEN", "DOCE_SLACK_CLIENT_ID"),
    ({"slack_client_id": "1.2"}, "DOCE_SLACK_CLIENT_SECRET is missing", "Client Secret"),
    ({"slack_client_secret": SIGNING}, "DOCE_SLACK_CLIENT_ID is missing", "Client ID"),
]


@pytest.mark.parametrize(("changed", "said", "hint"), WRONG)
def test_what_cannot_work_is_refused_by_name(changed: dict[str, Any], said: str, hint: str) -> None:
    settings = Settings(**{**GOOD, **changed})
    with pytest.raises(BadRequest) as caught:
        configured.check(settings)
    assert said in caught.value.message
    assert hint in str(caught.value.hint)
    for secret in (BOT, APP, SIGNING, "hunter2"):
        assert secret not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "given",
    [
        GOOD, {"slack_bot_token": BOT, "slack_signing_secret": SIGNING}, {**GOOD, "slack_signing_secret": f"{SIGNING}, {SIGNING}"},
        {"slack_signing_secret": SIGNING, "slack_client_id": "1.2", "slack_client_secret": SIGNING},
    ],
)  # fmt: skip
def test_what_can_work_is_left_alone(given: dict[str, Any]) -> None:
    assert configured.check(Settings(**given)) == []


@pytest.mark.parametrize("changed", [{"slack_signing_secret": "not hex"}, {"slack_client_id": "me", "slack_client_secret": SIGNING}])
def test_what_only_looks_odd_is_a_warning(changed: dict[str, Any]) -> None:
    (warned,) = configured.check(Settings(**{**GOOD, **changed}))
    assert "does not look like one" in warned.said


@pytest.mark.parametrize(
    "secret",
    [
        BOT, APP, "xoxe.xoxb-1-MiaBcDeFgHiJ", "xoxe-1-MiaBcDeFgHiJ", "xoxp-12345678-abc", "ticket=abcdef0123", "client_secret=abcdef0123",
        "client_secret: 'abcdef0123'",
    ],
)  # fmt: skip
def test_slacks_secrets_are_masked_wherever_they_turn_up(secret: str) -> None:
    value = secret.rpartition("=")[2].rpartition("'")[0].rpartition("'")[2] or secret.rpartition("=")[2]
    assert value not in mask(f"trouble with {secret} in a line")
    root = logging.getLogger()
    handlers, level, stream = root.handlers, root.level, io.StringIO()
    try:
        configure("debug", stream)
        logging.getLogger("slack_sdk").error("refused: %s", secret)
        try:
            raise ValueError(f"bad {secret}")
        except ValueError:
            logging.getLogger("slack_bolt").exception("broke")
    finally:
        root.handlers, root.level = handlers, level
    assert value not in stream.getvalue()
    assert all(json.loads(line) for line in stream.getvalue().splitlines())
