"""The door: Bolt with Socket Mode or HTTP, what works off, what tells; started and stopped with doce."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from doce.actions.services import Services
from doce.chats.claims import Claim
from doce.errors import DoceError, Forbidden
from doce_slack.calls import Calls, Lost, Refused
from doce_slack.clicks import Clicks
from doce_slack.commands import Commands
from doce_slack.conversation import Conversation
from doce_slack.home import Home
from doce_slack.intake import Intake
from doce_slack.modals import Modals
from doce_slack.openers import Openers
from doce_slack.pace import Pace
from doce_slack.people import People
from doce_slack.pictures import Pictures
from doce_slack.reactions import Reactions
from doce_slack.submissions import Submissions
from doce_slack.teller import Teller
from doce_slack.unfurls import Unfurls
from doce_slack.workspaces import Do, Workspaces

logger = logging.getLogger(__name__)

PATH = "/slack/events"
#: After a connection that could not be made, seconds.
MAX_REST_S = 60.0


class SlackDoor:
    """Everything of doce that speaks with Slack. `start` and `stop` in the loop that serves; `routes` for HTTP."""

    def __init__(self, services: Services, do: Do, *, pace: Pace | None = None) -> None:
        settings = services.settings
        self._services = services
        self._pace = pace or Pace()
        self.workspaces = Workspaces(
            services.chats.installations, Calls(self._pace), api_url=settings.slack_api_url, token=settings.slack_bot_token, do=do
        )
        self.people = People(services, do)
        self._pictures = Pictures(services, do)
        self.teller = Teller(services, self.workspaces, do, pictures=self._pictures)
        self.conversation = Conversation(services, self.workspaces, self.people, self.teller, do)
        self.modals = Modals(self.conversation)
        self.submissions = Submissions(self.conversation, self.modals)
        self.home, self._reactions, self._unfurls = Home(self.conversation), Reactions(self.conversation), Unfurls(self.conversation)
        self._commands = Commands(self.conversation, self.modals)
        self._clicks = Clicks(self.conversation, self._commands, self.home)
        self.intake = Intake(services.chats.claims, do, self._handle, self._check)
        self.app = self._bolt()
        self._http = AsyncSlackRequestHandler(self.app)
        self._tasks: list[asyncio.Task[None]] = []

    def _bolt(self) -> AsyncApp:
        settings = self._services.settings
        secret = settings.slack_signing_secret
        # Its log of badly signed requests has their bodies, which are strangers' words.
        logging.getLogger("slack_bolt.RequestVerification").setLevel(logging.WARNING)

        # Bolt gives its listeners the arguments they name, `self` is none: functions, not methods.
        async def authorize(team_id: str | None = None, enterprise_id: str | None = None) -> AuthorizeResult:
            return await self._authorize(team_id, enterprise_id)

        async def claim(body: dict[str, Any], next: Callable[[], Awaitable[Any]]) -> Any:
            return await self.intake.claim(body, next)

        app = AsyncApp(
            signing_secret=secret.get_secret_value() if secret else "unused", request_verification_enabled=secret is not None,
            authorize=authorize, client=self.workspaces.client(None),
        )  # fmt: skip
        app.middleware(claim)
        Openers(self.workspaces, self.modals, self.home, self._unfurls).listen(app)
        return app

    async def _authorize(self, team_id: str | None, enterprise_id: str | None) -> AuthorizeResult:
        """Who doce is where this came from. Raises Forbidden where it is not installed."""
        found = await self.workspaces.of(team_id or "")
        if found is None:
            raise Forbidden(f"doce is not installed in the workspace {team_id}.")
        return AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_user_id=found.bot_user, bot_id=found.bot_id, bot_token=found.client.token
        )

    async def _check(self, body: dict[str, Any]) -> dict[str, str]:
        workspace = await self.workspaces.of(str((body.get("team") or {}).get("id") or (body.get("user") or {}).get("team_id") or ""))
        return await self.submissions.check(body, workspace) if workspace else {}

    async def _handle(self, claim: Claim) -> None:
        workspace = await self.workspaces.of(claim.team)
        if workspace is None:
            await self.conversation.settle(claim, "not installed any more")
            return
        body = claim.payload
        if "command" in body:
            await self._commands.command(claim, workspace)
        elif body.get("type") == "block_actions":
            await self._clicks.click(claim, workspace)
        elif body.get("type") == "view_submission":
            await self.submissions.submit(claim, workspace)
        elif body.get("type") == "event_callback":
            await self._event(body["event"])(claim, workspace)
        else:
            await self.conversation.settle(claim, "nothing to do")

    def _event(self, event: dict[str, Any]) -> Callable[[Claim, Any], Awaitable[None]]:
        kinds = {"message_changed": self.conversation.edited, "message_deleted": self.conversation.deleted}
        if event["type"] in ("message", "app_mention"):
            return kinds.get(event.get("subtype", ""), self.conversation.message)
        if event["type"] == "agent_session_stopped":
            return self.conversation.stopped
        if event["type"] == "reaction_added":
            return self._reactions.reacted
        return self._ignored

    async def _ignored(self, claim: Claim, workspace: Any) -> None:
        await self.conversation.settle(claim, "nothing to do")

    # HTTP

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self._receive, methods=["POST"])]

    async def _receive(self, request: Request) -> Response:
        if self._services.settings.slack_signing_secret is None:
            return Response(status_code=404)
        return await self._http.handle(request)

    # Life

    async def start(self) -> None:
        """Never waits for Slack."""
        await self.workspaces.open()
        self.app.client.session = self.workspaces.client(None).session
        for name, work in (("intake", self.intake.run), ("teller", self.teller.run), ("home", self.home.run), ("socket", self._connected)):
            self._tasks.append(asyncio.create_task(self._kept(name, work), name=f"slack-{name}"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pictures.close()
        await self._pace.close()
        await self.workspaces.close()

    async def _kept(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """`work`, begun again when it breaks: what it knows is in rows."""
        rest = 1.0
        while True:
            try:
                await work()
                return
            except (Refused, DoceError) as error:
                logger.warning("Slack (%s): %s", name, error)
            except Exception:  # a background task: logged, and begun again
                logger.exception("Slack (%s) broke", name)
            await asyncio.sleep(rest)
            rest = min(MAX_REST_S, 2 * rest)

    async def _connected(self) -> None:
        """Socket Mode, where an app-level token says so: connected until cancelled."""
        token = self._services.settings.slack_app_token
        if token is None:
            return
        client = self.workspaces.client(token)
        handler = AsyncSocketModeHandler(self.app, token.get_secret_value(), web_client=client)
        try:
            await handler.connect_async()  # type: ignore[no-untyped-call]
            logger.info("connected to Slack")
            await asyncio.Event().wait()
        except Exception as error:
            raise Lost(f"Slack cannot be reached: {type(error).__name__}.", hint="`doce slack check` says more.") from error
        finally:
            with contextlib.suppress(Exception):
                await handler.close_async()  # type: ignore[no-untyped-call]
