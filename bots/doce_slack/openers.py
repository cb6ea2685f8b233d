"""What Slack sends and nobody has to remember: buttons that open a dialog, shortcuts, lists to search, links, App Home.

These are Bolt's listeners, since a dialog has to be open three seconds after the click; what does something is claimed instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncApp

from doce_slack import heard
from doce_slack.home import Home
from doce_slack.modals import Modals
from doce_slack.unfurls import Unfurls
from doce_slack.workspaces import Workspace, Workspaces

logger = logging.getLogger(__name__)

Ack = Callable[..., Awaitable[Any]]
Body = dict[str, Any]


class Openers:
    """`listen` hangs them into the app."""

    def __init__(self, workspaces: Workspaces, modals: Modals, home: Home, unfurls: Unfurls) -> None:
        self._workspaces, self._modals, self._home, self._unfurls = workspaces, modals, home, unfurls

    def listen(self, app: AsyncApp) -> None:
        # Bolt gives its listeners the arguments they name: functions, not methods.
        async def press(ack: Ack, body: Body) -> None:
            await ack()
            if heard.action(body)[0] in heard.OPENERS:
                await self._modals.press(body, await self._of(body))

        async def shortcut(ack: Ack, body: Body) -> None:
            await ack()
            await self._modals.shortcut(body, await self._of(body))

        async def suggest(ack: Ack, body: Body) -> None:
            await ack(options=await self._modals.suggest(body, await self._of(body)))

        async def opened(body: Body) -> None:
            event = body["event"]
            if event.get("tab", "home") == "home":
                await self._home.opened(await self._of(body), str(event["user"]))
            else:
                await self._home.greet(await self._of(body), str(event["user"]), str(event["channel"]))

        async def shared(body: Body) -> None:
            await self._unfurls.shared(body["event"], await self._of(body))

        async def nothing(ack: Ack) -> None:
            await ack()

        everything = re.compile("")
        app.action(everything)(press)
        for kind, callback in heard.SHORTCUTS:
            (app.global_shortcut if kind == "global" else app.message_shortcut)(callback)(shortcut)
        app.options(everything)(suggest)
        app.view_closed(everything)(nothing)
        app.event("app_home_opened")(opened)
        app.event("link_shared")(shared)
        # What else is subscribed to, or comes along: heard, so that Slack does not send it again.
        app.event(everything)(nothing)

    async def _of(self, body: Body) -> Workspace:
        found = await self._workspaces.of(
            str(body.get("team_id") or (body.get("team") or {}).get("id") or (body.get("user") or {}).get("team_id") or "")
        )
        assert found, "Bolt has asked who doce is there"
        return found
