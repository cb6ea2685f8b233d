"""doce was taken out of a workspace: nothing more can be said there, and its token is worth nothing."""

from __future__ import annotations

import logging

from doce.chats.claims import Claim
from doce_slack.calls import Refused
from doce_slack.conversation import Conversation
from doce_slack.workspaces import KIND

logger = logging.getLogger(__name__)


class Removed:
    """Does what such an event asks, and settles its claim."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation

    async def removed(self, claim: Claim) -> None:
        """Forget the workspace, unless its token works: doce may have been installed again before this was told. Raises Lost."""
        workspaces, chats = self._talk.workspaces, self._talk.services.chats
        try:
            workspace = await workspaces.of(claim.team)
            if workspace is not None:
                await workspace.call("auth.test")
                await self._talk.settle(claim, "still installed")
                return
        except Refused as error:
            logger.info("doce was removed from a Slack workspace (%s)", error.code, extra={"team": claim.team})
        await self._talk.settle(claim, "removed", lambda: chats.leave(KIND, claim.team))
        workspaces.forget(claim.team)
