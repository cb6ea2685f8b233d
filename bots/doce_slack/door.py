"""The door: Bolt with Socket Mode or HTTP, what works off, what tells; started and stopped with doce."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.error import BoltUnhandledRequestError
from starlette.routing import BaseRoute, Route

from doce.actions.services import Services
from doce.chats.claims import Claim
from doce.errors import DoceError, Unavailable
from doce_slack import configured
from doce_slack.calls import Calls, Refused
from doce_slack.changes import Changes
from doce_slack.clicks import Clicks
from doce_slack.commands import Commands
from doce_slack.connection import connected
from doce_slack.conversation import Conversation
from doce_slack.heard import REMOVED
from doce_slack.home import Home
from doce_slack.install import Installing, Page
from doce_slack.intake import Intake
from doce_slack.listener import Listener
from doce_slack.manifest import EVENTS_PATH
from doce_slack.modals import Modals
from doce_slack.models import Models
from doce_slack.openers import Openers
from doce_slack.pace import Pace
from doce_slack.people import People
from doce_slack.pictures import Pictures
from doce_slack.reactions import Reactions
from doce_slack.removed import Removed
from doce_slack.replies import Asker
from doce_slack.requests import Requests
from doce_slack.submissions import Submissions
from doce_slack.teller import Teller
from doce_slack.unfurls import Unfurls
from doce_slack.workspaces import Do, Workspaces

logger = logging.getLogger(__name__)

#: To who acts in a workspace that doce knows nothing of.
NOT_HERE = "I am not installed in this workspace (any more). An admin of my doce can install me again."
#: After a connection that could not be made, seconds.
MAX_REST_S = 60.0


class SlackDoor:
    """Everything of doce that speaks with Slack. `start` and `stop` in the loop that serves; `routes` for HTTP."""

    def __init__(self, services: Services, do: Do, page: Page | None = None, *, pace: Pace | None = None) -> None:
        """`page`: how doce's pages show something to who is signed in; without it nobody can install doce in a workspace.

        Raises BadRequest, naming the setting, for what cannot work.
        """
        settings = services.settings
        for trouble in configured.check(settings):
            logger.warning("%s %s", trouble.said, trouble.hint)
        self._services = services
        self._pace = pace or Pace()
        self.workspaces = Workspaces(
            services.chats.installations, Calls(self._pace), api_url=settings.slack_api_url, token=settings.slack_bot_token, do=do
        )
        self.people = People(services, do)
        self._pictures = Pictures(services, do)
        self.teller = Teller(services, self.workspaces, do, pictures=self._pictures)
        self.conversation = Conversation(services, self.workspaces, self.people, self.teller, do)
        self._listener = Listener(self.conversation)
        self._changes = Changes(self.conversation, self._listener)
        self.models = Models(services, do)
        self.modals = Modals(self.conversation, self.models)
        self.submissions = Submissions(self.conversation, self.modals)
        self.home = Home(self.conversation, self.models)
        self._reactions, self._unfurls = Reactions(self.conversation), Unfurls(self.conversation)
        self._commands = Commands(self.conversation, self.modals)
        self._clicks = Clicks(self.conversation, self._commands, self.home)
        self.intake = Intake(services.chats.claims, do, self._handle, self._check, gave_up=self._gave_up)
        self.app = self._bolt()
        self._removed = Removed(self.conversation)
        secrets = configured.secrets_of(settings)
        self._requests = Requests(self.app, secrets) if secrets else None
        installs = page and settings.slack_client_id and settings.slack_client_secret
        self._installing = Installing(services, do, page, self.workspaces.client(None)) if page and installs else None
        self._tasks: list[asyncio.Task[None]] = []

    def _bolt(self) -> AsyncApp:
        # Bolt gives its listeners the arguments they name, `self` is none: functions, not methods.
        async def authorize(team_id: str | None = None, enterprise_id: str | None = None) -> AuthorizeResult | None:
            return await self._authorize(team_id, enterprise_id)

        async def claim(body: dict[str, Any], next: Callable[[], Awaitable[Any]]) -> Any:
            return await self.intake.claim(body, next)

        # What nobody listens to (a link that was opened, a message of doce's own that changed) is acknowledged all the same:
        # Slack delivers again what is not, and in the end stops delivering.
        async def fine(error: Exception) -> BoltResponse:
            if isinstance(error, BoltUnhandledRequestError):
                return BoltResponse(status=200, body="")
            logger.error("a request of Slack's could not be answered", exc_info=error)
            return BoltResponse(status=500, body="")

        # `Requests` has looked at the signature before: against two secrets, and with a bad one refused, not broken on.
        # Bolt takes a None of `authorize` for "not installed", its types do not say so.
        app = AsyncApp(
            signing_secret="unused", request_verification_enabled=False, client=self.workspaces.client(None),
            authorize=authorize,  # type: ignore[arg-type]
            user_facing_authorize_error_message=NOT_HERE, raise_error_for_unhandled_request=True,
        )  # fmt: skip
        app.middleware(claim)
        app.error(fine)
        Openers(self.workspaces, self.modals, self.home, self._unfurls).listen(app)
        return app

    async def _authorize(self, team_id: str | None, enterprise_id: str | None) -> AuthorizeResult | None:
        """Who doce is where this came from; None where it is not installed. Raises Lost: then Slack delivers it again."""
        try:
            found = await self.workspaces.of(team_id or "")
        except Refused as error:
            logger.warning("%s %s", *configured.why("DOCE_SLACK_BOT_TOKEN", error.code))
            return None
        if found is None:
            return None
        return AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_user_id=found.bot_user, bot_id=found.bot_id, bot_token=found.client.token
        )

    async def _check(self, body: dict[str, Any]) -> dict[str, str]:
        workspace = await self.workspaces.of(str((body.get("team") or {}).get("id") or (body.get("user") or {}).get("team_id") or ""))
        return await self.submissions.check(body, workspace) if workspace else {}

    async def _gave_up(self, claim: Claim) -> None:
        """Whoever asked hears that it was given up, and the log has the same reference."""
        body = claim.payload
        event = body.get("event") or {}
        user = event.get("user") or (event.get("message") or {}).get("user") or body.get("user_id") or (body.get("user") or {}).get("id")
        workspace = await self.workspaces.of(claim.team)
        if workspace is None or not user:
            return
        # A click or a form says by itself where it was.
        own = Asker(workspace, claim.channel, str(user), event.get("thread_ts"), body.get("response_url"))
        asker = Asker.of(body, workspace) if isinstance(body.get("user"), dict) else own
        logger.error("somebody was told that it did not work out (ref claim %s)", claim.id)
        await asker.tell(
            f"Something broke on my side (ref `{claim.id}`), and what you asked was not done. Your files are safe; ask again, please."
        )

    async def _handle(self, claim: Claim) -> None:
        if (claim.payload.get("event") or {}).get("type") in REMOVED:
            await self._removed.removed(claim)
            return
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
        kinds = {"message_changed": self._changes.edited, "message_deleted": self._changes.deleted}
        if event["type"] in ("message", "app_mention"):
            return kinds.get(event.get("subtype", ""), self._listener.message)
        if event["type"] == "agent_session_stopped":
            return self._changes.stopped
        if event["type"] == "reaction_added":
            return self._reactions.reacted
        return self._ignored

    async def _ignored(self, claim: Claim, workspace: Any) -> None:
        await self.conversation.settle(claim, "nothing to do")

    # HTTP

    def routes(self) -> list[BaseRoute]:
        """Of what is configured."""
        heard: list[BaseRoute] = [Route(EVENTS_PATH, self._requests.receive, methods=["POST"])] if self._requests else []
        return [*heard, *(self._installing.routes() if self._installing else [])]

    # Life

    async def start(self) -> None:
        """Never waits for Slack."""
        await self.workspaces.open()
        for client in (self.app.client, *([self._installing.client] if self._installing else [])):
            client.session = self.workspaces.client(None).session
        works = {
            "intake": self.intake.run,
            "teller": self.teller.run,
            "home": self.home.run,
            "token": self._known,
            "socket": self._connected,
        }
        for name, work in works.items():
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
                hint = getattr(error, "hint", None)
                logger.warning("Slack (%s): %s", name, f"{error} {hint}" if hint else error)
            except Exception:  # a background task: logged, and begun again
                logger.exception("Slack (%s) broke", name)
            await asyncio.sleep(rest)
            rest = min(MAX_REST_S, 2 * rest)

    async def _known(self) -> None:
        """Who doce is in the workspace of the configured token. Raises Unavailable while Slack does not take that."""
        try:
            home = await self.workspaces.home()
        except Refused as error:
            said, hint = configured.why("DOCE_SLACK_BOT_TOKEN", error.code)
            raise Unavailable(said, hint=hint) from None
        if home:
            logger.info("in Slack doce is in %s", home.name, extra={"team": home.team})

    async def _connected(self) -> None:
        """Socket Mode, where an app-level token says so: connected until cancelled."""
        token = self._services.settings.slack_app_token
        if token is None:
            return
        await connected(self.app, self.workspaces.client(token), token)
