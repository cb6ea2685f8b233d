"""What Slack does not take does not keep doce from serving: the log says what to do, and doce tries again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import peewee
import pytest

from doce.errors import BadRequest
from doce_slack import door as doors

from .served_door import placed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the door rested between tries; it does not really."""
    rests: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, result: Any = None) -> Any:
        rests.append(seconds)
        return await real(0.01, result)

    class Quick:
        def __getattr__(self, name: str) -> Any:
            return sleep if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr(doors, "asyncio", Quick())
    return rests


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def test_tokens_that_slack_does_not_take(
    db: peewee.SqliteDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: list[float]
) -> None:
    caplog.set_level(logging.INFO, "doce_slack.door")
    bad = {"slack_bot_token": "xoxb-1-2-nobodysnobodys", "slack_app_token": "xapp-1-A1-2-nobodysnobodys"}
    with placed(tmp_path, socket=True, **bad) as place:
        place.house.until(lambda: said(caplog, "DOCE_SLACK_BOT_TOKEN: Slack does not know this token") > 3)
        place.house.until(lambda: said(caplog, "DOCE_SLACK_APP_TOKEN: Slack does not know this token") > 3)
        assert place.house.http.get("/api/health").status_code == 200
        # Each of the two waits longer and longer, a minute at most.
        assert sorted(set(quick))[:3] == [1.0, 2.0, 4.0]
        assert max(quick) <= doors.MAX_REST_S
        assert said(caplog, "OAuth & Permissions") > 3
        assert said(caplog, "nobodysnobodys") == 0
        # What Slack then delivers over HTTP is told no, not broken on.
        place.run(place.slack.use_http(place.events_url))
        assert place.run(place.slack.slash("ada", "#sites", "/doce", "help")).acked
        assert "not installed" in place.until(lambda _: place.slack.ephemeral("ada", "#sites"))[0].text


def test_a_token_that_becomes_good_is_noticed(
    db: peewee.SqliteDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: list[float]
) -> None:
    caplog.set_level(logging.INFO, "doce_slack.door")
    with placed(tmp_path, socket=True, slack_app_token="xapp-1-A1-2-laterlaterlater") as place:
        place.house.until(lambda: said(caplog, "DOCE_SLACK_APP_TOKEN: Slack does not know") > 1)
        token = place.slack.tokens[place.slack.app.app_token]
        place.slack.tokens["xapp-1-A1-2-laterlaterlater"] = token
        place.run(place.slack.connected())
        assert place.run(place.slack.slash("ada", "#sites", "/doce", "help")).acked


def test_a_token_that_is_revoked_while_connected(
    db: peewee.SqliteDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: list[float]
) -> None:
    caplog.set_level(logging.INFO, "doce_slack")
    with placed(tmp_path, socket=True) as place:
        place.run(place.slack.connected())
        place.slack.tokens[place.slack.app.app_token].revoked = True
        place.house.loop.run(place.slack.sockets.refresh())
        place.house.until(lambda: said(caplog, "DOCE_SLACK_APP_TOKEN: this token was revoked") > 1)
        place.slack.tokens[place.slack.app.app_token].revoked = False
        place.house.until(lambda: said(caplog, "connected to Slack") == 2)
        assert place.run(place.slack.slash("ada", "#sites", "/doce", "help")).acked


def test_settings_that_cannot_work_are_refused_before_anything_begins(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="has to begin with xoxb-"), placed(tmp_path, slack_bot_token="xapp-1-A1-2-abcdefghijk"):
        raise AssertionError
