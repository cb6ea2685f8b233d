"""Installing doce in a workspace: an admin of doce starts it, agrees in Slack, and comes back with a code for a token.

Whether the browser that comes back is the one that left is told by doce's own session, not by a cookie that plain http would lose.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_callback_options import AsyncCallbackOptions, AsyncFailureArgs, AsyncSuccessArgs
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.oauth import OAuthStateUtils
from slack_sdk.oauth.installation_store import Installation as Granted
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from doce import addresses
from doce.actions.services import Services
from doce.auth.users import Person
from doce.chats.installations import Installation
from doce.chats.states import States
from doce.errors import BadRequest, DoceError, Forbidden, Unavailable
from doce.settings import Settings
from doce_slack.manifest import INSTALL_PATH, REDIRECT_PATH, scopes
from doce_slack.workspaces import KIND, Do

logger = logging.getLogger(__name__)

#: What a page says: `title`, `text`, and where to go on, `link` with `label`.
Notice = dict[str, str]
Show = Callable[[Request, Person], Awaitable[Notice]]
#: Makes a route's endpoint of what a page says to somebody who is signed in; doce's own pages do that.
Page = Callable[[Show], Callable[[Request], Awaitable[Response]]]

#: Slack's and Bolt's words for what went wrong → what happened, what to do.
REASONS = {
    "access_denied": ("You said no in Slack. Nothing was installed.", "Begin again when you like."),
    "invalid_state": ("This installation was finished before, or took more than ten minutes.", "Begin again."),
    "invalid_browser": ("This installation was not begun here by you.", "Begin again, in this browser."),
    "missing_code": ("Slack sent no code.", "Begin again."),
    "invalid_code": ("Slack did not take the code.", "Begin again; `doce slack check` tells whether client id and secret are right."),
    "invalid_scope": ("Slack does not offer what doce asks for.", "Paste `doce slack manifest` into the app's settings, then begin again."),
    "bad_redirect_uri": ("Slack does not know this doce's address.", "Add the redirect URL of `doce slack manifest` to the app."),
}  # fmt: skip


class Refusal(BoltError):
    """What was granted cannot be kept."""


class Stated(AsyncOAuthStateStore):
    """doce's own states, as Bolt asks for them."""

    def __init__(self, states: States) -> None:
        self._states = states

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        return self._states.issue(kwargs["user_id"])

    async def async_consume(self, state: str) -> bool:
        return self._states.use(state)


class Kept(AsyncInstallationStore):
    """What Slack granted, into doce's own store, encrypted."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services, self._do = services, do

    @property
    def logger(self) -> logging.Logger:
        return logger

    async def async_save(self, installation: Granted) -> None:
        """Raises Refusal for what doce does not do."""
        if installation.is_enterprise_install or not installation.team_id:
            raise Refusal("The app was installed for a whole organisation, which doce does not do. Install it in one workspace of it.")
        if installation.bot_refresh_token:
            raise Refusal("Tokens of this app expire. Switch token rotation off in the app's settings and install it again.")
        made = Installation(
            KIND, installation.team_id, installation.team_name or installation.team_id, installation.bot_user_id or "",
            installation.bot_id or "", installation.app_id or "", tuple(installation.bot_scopes or ()),
            SecretStr(installation.bot_token or ""), installation.user_id,
        )  # fmt: skip
        await self._do(self._services.chats.installations.save, made)


class _ByDocesSession(OAuthStateUtils):
    """No cookie of Bolt's."""

    def is_valid_browser(self, state: str | None, request_headers: Any) -> bool:
        return state is not None


class Installing:
    """The two routes."""

    def __init__(self, services: Services, do: Do, page: Page, client: AsyncWebClient) -> None:
        self._states = services.chats.states
        self._page = page
        settings = services.settings
        assert settings.slack_client_id
        assert settings.slack_client_secret
        chosen = AsyncOAuthSettings(
            client_id=settings.slack_client_id, client_secret=settings.slack_client_secret.get_secret_value(), scopes=scopes(settings),
            user_scopes=[], redirect_uri=addresses.doce_url(settings) + REDIRECT_PATH, install_path=INSTALL_PATH,
            redirect_uri_path=REDIRECT_PATH, authorization_url=authorize_url(settings), installation_store=Kept(services, do),
            state_store=Stated(self._states), callback_options=AsyncCallbackOptions(_installed, _failed), logger=logger,
        )  # fmt: skip
        chosen.state_utils = _ByDocesSession()
        self._flow = AsyncOAuthFlow(settings=chosen, client=client, logger=logger)

    @property
    def client(self) -> AsyncWebClient:
        return self._flow.client

    def routes(self) -> list[BaseRoute]:
        return [
            Route(INSTALL_PATH, self._page(self.begin), methods=["GET"]), Route(REDIRECT_PATH, self._page(self.finish), methods=["GET"]),
        ]  # fmt: skip

    async def begin(self, request: Request, person: Person) -> Notice:
        """GET /slack/install: where to go on to Slack."""
        _admin(person)
        state = self._states.issue(person.id)
        return {
            "title": "doce in a Slack workspace",
            "text": "Slack asks which workspace, shows what doce may do there, and brings you back here. The link works for ten minutes.",
            "link": await self._flow.build_authorize_url(state, _request(request)), "label": "Add to Slack",
        }  # fmt: skip

    async def finish(self, request: Request, person: Person) -> Notice:
        """GET /slack/oauth_redirect: back from Slack, with a code or a reason."""
        _admin(person)
        if self._states.owner(request.query_params.get("state", "")) != person.id:
            raise _because("invalid_browser")
        try:
            answer = await self._flow.handle_callback(_request(request))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"Slack did not answer ({type(error).__name__}). Nothing was installed.", hint=f"Begin again at {INSTALL_PATH}."
            ) from None
        logger.info("doce was installed in a Slack workspace", extra={"team": answer.body})
        return {
            "title": f"doce is in {answer.body}",
            "text": "There, type /doce link with a code of yours (settings, Chats), then /doce new and what you want.",
            "link": "/settings", "label": "Make a code",
        }  # fmt: skip


def authorize_url(settings: Settings) -> str:
    """Where people agree: beside the API."""
    return settings.slack_api_url.rstrip("/").removesuffix("/api") + "/oauth/v2/authorize"


def _admin(person: Person) -> None:
    if not person.is_admin:
        raise Forbidden("Only an admin of this doce may install it in Slack.", hint="Ask one.")


def _request(request: Request) -> AsyncBoltRequest:
    return AsyncBoltRequest(body="", query=dict(request.query_params), headers={})


async def _installed(done: AsyncSuccessArgs) -> BoltResponse:
    return BoltResponse(status=200, body=done.installation.team_name or done.installation.team_id or "")


async def _failed(failed: AsyncFailureArgs) -> BoltResponse:
    if isinstance(failed.error, Refusal):
        raise BadRequest(f"{failed.error} Nothing was kept.", hint=f"Begin again at {INSTALL_PATH}.")
    raise _because(failed.reason)


def _because(reason: str) -> DoceError:
    said, hint = REASONS.get(reason, (f"Slack refused ({reason[:60]}). Nothing was installed.", "Begin again."))
    return BadRequest(said, hint=hint.replace("Begin again", f"Begin again at {INSTALL_PATH}"))
