"""HTTP mode: signed requests to the app's request URLs."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp

from doce.testing.slack.courier import Delivery, Undelivered

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Slack-Signature` says of a body at a time."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


class Requests:
    """Posts deliveries and reads the answers. `age`: seconds by which the next requests pretend to be old; `secret`: what they
    are signed with in place of the app's, both for tests of what refuses them."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.age = 0
        self.secret = ""
        self._session: aiohttp.ClientSession | None = None

    async def ready(self) -> None:
        """There is always somewhere to post to."""

    async def verify(self, url: str) -> None:
        """The challenge with which an address is taken into use. Raises Undelivered when it is not met."""
        challenge = secrets.token_urlsafe(24)
        body = {"token": self.slack.app.verification_token, "challenge": challenge, "type": "url_verification"}
        _, answer = await self._post(url, json.dumps(body).encode(), JSON, {})
        if challenge not in (answer, answer.get("challenge") if isinstance(answer, dict) else None):
            raise Undelivered("challenge_failed")

    async def carry(self, delivery: Delivery, attempt: int, reason: str) -> Any:
        app, headers = self.slack.app, {}
        if attempt:
            why = reason.partition(":")[0] if reason.startswith("http_") else "connection_failed"
            headers = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": why}
        match delivery.kind:
            case "events_api":
                url, body, kind = app.events_url, json.dumps(delivery.payload).encode(), JSON
            case "slash_commands":
                url, body, kind = app.commands_url or app.events_url, urlencode(delivery.payload).encode(), FORM
            case _:
                form = urlencode({"payload": json.dumps(delivery.payload)})
                url, body, kind = app.interactivity_url or app.events_url, form.encode(), FORM
        _, answer = await self._post(url, body, kind, headers)
        return answer

    async def _post(self, url: str, body: bytes, kind: str, headers: dict[str, str]) -> tuple[int, Any]:
        timestamp = str(int(time.time()) - self.age)
        signed = {
            "Content-Type": kind, "X-Slack-Request-Timestamp": timestamp, "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Signature": signature(self.secret or self.slack.app.signing_secret, timestamp, body), **headers,
        }  # fmt: skip
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        patience = aiohttp.ClientTimeout(total=self.slack.ack_timeout)
        try:
            async with self._session.post(url, data=body, headers=signed, timeout=patience, allow_redirects=False) as response:
                said = (await response.read()).decode("utf-8", "replace")
                if response.status >= 300:
                    raise Undelivered(f"http_error:{response.status}", final=response.headers.get("x-slack-no-retry") == "1")
                return response.status, _read(said, response.content_type)
        except TimeoutError:
            raise Undelivered("http_timeout") from None
        except aiohttp.ClientError:
            raise Undelivered("connection_failed") from None

    async def close(self) -> None:
        if self._session:
            await self._session.close()


def _read(said: str, kind: str) -> Any:
    """An answer's JSON, or its words."""
    if not said:
        return None
    if kind == JSON or said.startswith("{"):
        try:
            return json.loads(said)
        except ValueError:
            return said
    return said
