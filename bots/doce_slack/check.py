"""`doce slack check`: asks Slack whether everything is as doce needs it, and says for each thing what to do. Needs no running doce."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from doce import addresses
from doce.auth.identities import Linked
from doce.chats.installations import Installation
from doce.settings import Settings
from doce_slack import configured
from doce_slack.manifest import AGENT, EVENTS_PATH, REDIRECT_PATH, scopes

TIMEOUT_S = 10
ANEW = "Paste `doce slack manifest` into the app's settings (App Manifest), save, and install the app again"
TOKEN, APP, SIGNING, CLIENT = "DOCE_SLACK_BOT_TOKEN", "DOCE_SLACK_APP_TOKEN", "DOCE_SLACK_SIGNING_SECRET", "DOCE_SLACK_CLIENT_SECRET"


@dataclass(frozen=True)
class Found:
    """One thing that was looked at. `off`: not used, or not to be seen from here."""

    name: str
    state: Literal["right", "wrong", "off"]
    said: str
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def check(settings: Settings, installed: Sequence[Installation] = (), linked: Sequence[Linked] | None = ()) -> list[Found]:
    """Everything, in the order in which one sets it up. `linked`: people of Slack who are users; None: nobody is set up yet."""
    if not settings.slack:
        return [
            Found("settings", "wrong", "Slack is not set up: no DOCE_SLACK_… variable is set.", "README, In Slack, has the five minutes.")
        ]
    found: list[Found] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        asked = _Asked(settings, session)
        for part in (asked.settings(), asked.token(), asked.socket(), asked.signing(), asked.installing(), asked.workspaces(installed)):
            found += [one async for one in part]
    found += _people(linked)
    return found


class _Asked:
    """Each looks at one thing; all of them yield what they found."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._troubles = configured.troubles(settings)
        self._bad = {one.setting for one in self._troubles if one.fatal}

    async def settings(self) -> AsyncIterator[Found]:
        for trouble in self._troubles:
            yield Found("settings", "wrong", trouble.said, trouble.hint)

    async def token(self) -> AsyncIterator[Found]:
        """The bot's, and what it may do."""
        token = self._settings.slack_bot_token
        if token is None or TOKEN in self._bad:
            if token is None and self._settings.slack_client_id:
                yield Found("bot token", "off", f"{TOKEN} is not set: doce is in the workspaces that installed it.")
            return
        async for one in self._bot("bot token", TOKEN, token):
            yield one

    async def _bot(self, name: str, setting: str, token: SecretStr) -> AsyncIterator[Found]:
        try:
            answer = await self._client(token).auth_test()
        except SlackApiError as error:
            said, hint = configured.why(setting, _code(error))
            yield Found(name, "wrong", said, hint)
            return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            yield self._away(name, error)
            return
        yield Found(name, "right", f"{answer.get('user')} in {answer.get('team')} ({answer.get('team_id')})")
        granted = {one.strip() for one in str(_header(answer.headers, "x-oauth-scopes")).split(",") if one.strip()}
        missing = sorted(set(scopes(self._settings)) - granted) if granted else []
        if missing == [AGENT]:
            yield Found("scopes", "right", f"all that doce needs; without {AGENT} Slack's own places for agents stay unused")
        elif missing:
            yield Found("scopes", "wrong", f"The token of {answer.get('team')} lacks {', '.join(missing)}.", f"{ANEW}.")
        elif granted:
            yield Found("scopes", "right", f"all {len(scopes(self._settings))} that doce needs")
        else:
            yield Found("scopes", "off", "Slack did not say which ones the token has.")

    async def socket(self) -> AsyncIterator[Found]:
        """Socket Mode: a connection is opened, greeted and closed again."""
        token = self._settings.slack_app_token
        if token is None:
            yield Found("socket mode", "off", f"{APP} is not set: Slack has to reach doce over HTTP.")
            return
        if APP in self._bad:
            return
        try:
            answer = await self._client(token).apps_connections_open(app_token=token.get_secret_value())
            hello = await self._hello(str(answer["url"]))
        except SlackApiError as error:
            said, hint = configured.why(APP, _code(error))
            yield Found("socket mode", "wrong", said, hint)
            return
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            yield self._away("socket mode", error)
            return
        app = str((hello.get("connection_info") or {}).get("app_id") or "")
        if hello.get("type") != "hello":
            yield Found("socket mode", "wrong", "Slack opened a connection, but did not greet.", "Try again in a minute.")
        elif app and not token.get_secret_value().startswith(f"xapp-1-{app}-"):
            yield Found(
                "socket mode",
                "wrong",
                f"{APP} is of another app than {app}.",
                f"Take both tokens from one app: {configured.WHERE['slack_app_token']}.",
            )
        else:
            yield Found("socket mode", "right", f"connected and greeted{f' as {app}' if app else ''}")

    async def _hello(self, url: str) -> dict[str, Any]:
        async with self._session.ws_connect(url) as line:
            greeting = await line.receive(timeout=TIMEOUT_S)
            said = json.loads(greeting.data) if greeting.type is aiohttp.WSMsgType.TEXT else {}
            return said if isinstance(said, dict) else {}

    async def signing(self) -> AsyncIterator[Found]:
        """HTTP: what Slack signs its requests with, and whether it reaches doce. Slack itself cannot be asked for the secret."""
        keys = configured.secrets_of(self._settings)
        if not keys:
            yield Found(
                "http", "off", f"{SIGNING} is not set: Socket Mode is used." if self._settings.slack_app_token else f"{SIGNING} is not set."
            )
            return
        yield Found("signing secret", "right" if SIGNING not in {one.setting for one in self._troubles} else "wrong", _count(keys))
        url = addresses.doce_url(self._settings)
        if urlsplit(url).scheme != "https" and not self._settings.slack_app_token:
            yield Found("request url", "wrong", f"Slack reaches doce only over https, and its address is {url}.", "Set DOCE_PUBLIC_URL.")
        elif self._settings.public_url:
            yield await self._challenged(f"{url}{EVENTS_PATH}", keys[0])

    async def _challenged(self, url: str, key: str) -> Found:
        """As Slack does when an address is taken into use."""
        challenge, at = secrets.token_urlsafe(16), str(int(time.time()))
        body = json.dumps({"type": "url_verification", "challenge": challenge})
        signed = {
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": str(SignatureVerifier(key).generate_signature(timestamp=at, body=body)),
        }
        try:
            async with self._session.post(url, data=body, headers={"Content-Type": "application/json", **signed}) as answer:
                said = (await answer.content.read(4096)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Found(
                "request url",
                "off",
                f"Nothing answers at {url} from here ({type(error).__name__}).",
                "Start doce, and look at the proxy before it.",
            )
        if answer.status == 401:
            return Found("request url", "wrong", f"The doce at {url} has another signing secret.", f"Start it with the same {SIGNING}.")
        if challenge not in said:
            return Found(
                "request url",
                "wrong",
                f"What answers at {url} is not doce's Slack door (status {answer.status}).",
                f"Start doce with {SIGNING}; let the proxy before it pass {EVENTS_PATH} through.",
            )
        return Found("request url", "right", f"doce answers at {url}")

    async def installing(self) -> AsyncIterator[Found]:
        """Client id and secret: Slack is asked to take a code that is none, which it only does from an app it knows."""
        client, secret = self._settings.slack_client_id, self._settings.slack_client_secret
        if not client or not secret:
            yield Found("installing", "off", "no client id and secret: doce is in one workspace, that of its token.")
            return
        url = addresses.doce_url(self._settings) + REDIRECT_PATH
        try:
            await self._client(None).oauth_v2_access(
                client_id=client, client_secret=secret.get_secret_value(), code="doce-slack-check", redirect_uri=url
            )
        except SlackApiError as error:
            code = _code(error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            yield self._away("installing", error)
            return
        else:
            code = "ok"
        if code in ("invalid_client_id", "bad_client_secret"):
            which = "DOCE_SLACK_CLIENT_ID" if code == "invalid_client_id" else CLIENT
            yield Found(
                "installing",
                "wrong",
                f"Slack does not know {which}.",
                f"Take it from {configured.WHERE[which.removeprefix('DOCE_').lower()]}.",
            )
        elif code == "bad_redirect_uri" or urlsplit(url).scheme != "https":
            yield Found(
                "installing",
                "wrong",
                f"Slack would not come back to {url}.",
                "Set DOCE_PUBLIC_URL to doce's https:// address, and add that redirect URL to the app (OAuth & Permissions).",
            )
        else:
            yield Found("installing", "right", f"an admin begins at {url.removesuffix(REDIRECT_PATH)}/slack/install")

    async def workspaces(self, installed: Sequence[Installation]) -> AsyncIterator[Found]:
        for one in installed:
            name = one.name or one.team
            async for found in self._bot(f"workspace {name}", f"The token of {name}", one.token):
                yield found

    def _client(self, token: SecretStr | None) -> AsyncWebClient:
        value = token.get_secret_value() if token else None
        url = self._settings.slack_api_url.rstrip("/") + "/"
        return AsyncWebClient(token=value, base_url=url, session=self._session, timeout=TIMEOUT_S, retry_handlers=[])

    def _away(self, name: str, error: Exception) -> Found:
        host = urlsplit(self._settings.slack_api_url).hostname
        return Found(
            name, "wrong", f"{host} cannot be reached ({type(error).__name__}).", "Look at this machine's network, proxy and firewall."
        )


def _people(linked: Sequence[Linked] | None) -> list[Found]:
    if linked is None:
        return [Found("people", "off", "this doce is not set up yet", "`doce setup` makes the first admin.")]
    if not linked:
        return [
            Found(
                "people",
                "off",
                "nobody of Slack is linked yet: doce does nothing for strangers",
                "`doce identities link`, then say in Slack: /doce link CODE",
            )
        ]
    return [Found("people", "right", f"{len(linked)} of Slack {'is' if len(linked) == 1 else 'are'} linked")]


def _count(keys: list[str]) -> str:
    return "one, which Slack signs with" if len(keys) == 1 else "two, while Slack changes from one to the other"


def _code(error: SlackApiError) -> str:
    response: Any = error.response
    data = getattr(response, "data", None)
    if getattr(response, "status_code", 200) >= 500 or not isinstance(data, dict):
        return f"status {getattr(response, 'status_code', '?')}"
    return str(data.get("error", "unknown"))


def _header(headers: Any, name: str) -> str:
    for key, value in dict(headers).items():
        if key.lower() == name:
            return ",".join(value) if isinstance(value, list) else str(value)
    return ""


def run(settings: Settings, installed: Sequence[Installation] = (), linked: Sequence[Linked] | None = ()) -> list[Found]:
    """`check`, for who has no loop."""
    return asyncio.run(check(settings, installed, linked))
