"""Calls of Slack's Web API: at Slack's pace, with its refusals as errors, and never silently twice."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from doce.errors import Unavailable
from doce_slack.pace import Pace, Sleep

logger = logging.getLogger(__name__)

#: Methods that take their arguments as a form only. It is sent as the body: what stands in addresses is logged on the way.
FORMS = frozenset({
    "conversations.replies", "conversations.history", "conversations.info", "conversations.members", "users.info", "users.conversations",
    "files.getUploadURLExternal", "files.info", "chat.getPermalink", "reactions.get", "auth.test", "auth.revoke",
})  # fmt: skip
#: Asked again after a lost answer without harm: they look, or say what has been said.
REPEATABLE = FORMS | {
    "chat.update", "chat.stopStream", "reactions.add", "reactions.remove", "views.publish", "views.update", "agents.sessions.setStatus",
    "assistant.threads.setStatus", "conversations.open",
}  # fmt: skip
#: Answers that say that Slack itself is in trouble: what was asked may have been done all the same.
TROUBLE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "server_error"})
LIMITED = ("ratelimited", "rate_limited")
TRIES = 3
#: Before the second of them, seconds; twice as long before the third.
REST_S = 1.0
TIMEOUT_S = 15


class Refused(Exception):
    """Slack said no; `code` is its word for why."""

    def __init__(self, method: str, code: str, answer: dict[str, Any] | None = None) -> None:
        self.method, self.code, self.answer = method, code, answer or {}
        super().__init__(f"{method}: {code}")


class Lost(Unavailable):
    """Slack does not answer, or its answer was lost: what was asked may have been done."""


class Calls:
    """One for all workspaces."""

    def __init__(self, pace: Pace, *, sleep: Sleep = asyncio.sleep) -> None:
        """`sleep` rests between two tries."""
        self.pace, self._sleep = pace, sleep

    async def __call__(
        self, client: AsyncWebClient, team: str, method: str, *, urgent: bool = False, paced: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """Slack's answer. Waits its turn (`paced`: the caller has), and again when Slack says that it is too much.

        Raises Refused; Lost when the line broke, after some tries where a second time does no harm.
        """
        channel = arguments.get("channel")
        lost = 0
        while True:
            if not paced:
                await self.pace.turn(team, method, channel, urgent=urgent)
            paced = False
            try:
                return await _ask(client, method, arguments)
            except SlackApiError as error:
                response: Any = error.response
                status, headers = getattr(response, "status_code", 200), getattr(response, "headers", {})
                data = response.data if isinstance(getattr(response, "data", None), dict) else {}
                code = str(data.get("error", "unknown"))
                if status == 429 or code in LIMITED:
                    self.pace.refused(team, method, channel, _retry_after(headers))
                    continue
                if status < 500 and data and code not in TROUBLE:
                    raise Refused(method, code, data) from None
                cause = code if data else f"status {status}"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                cause = type(error).__name__
            lost += 1
            if method not in REPEATABLE or lost >= TRIES:
                raise Lost(f"Slack did not answer {method} ({cause}).", hint="doce goes on when Slack is back; nothing is lost.")
            await self._sleep(REST_S * 2 ** (lost - 1))


async def _ask(client: AsyncWebClient, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    if method in FORMS:
        answer = await client.api_call(method, data={name: _formed(value) for name, value in given.items()})
    else:
        answer = await client.api_call(method, json=given)
    data: Any = answer.data
    return data if isinstance(data, dict) else {}


def _formed(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _retry_after(headers: Any) -> float:
    found = headers.get("Retry-After") or headers.get("retry-after") or "1"
    try:
        return max(0.1, float(found[0] if isinstance(found, list) else found))
    except ValueError:
        return 1.0
