"""Where doce may speak: a channel that has it, or its conversation with one person."""

from __future__ import annotations

from doce.errors import BadRequest
from doce_slack.calls import Refused
from doce_slack.replies import Asker
from doce_slack.workspaces import Workspace


async def may_post(asker: Asker) -> None:
    """Before anything is made: its thread has to be somewhere. Raises BadRequest that says how to let doce in."""
    try:
        found = (await asker.workspace.call("conversations.info", channel=asker.channel, urgent=True))["channel"]
        if found.get("is_member") or found.get("is_im"):
            return
        if found.get("is_private") or found.get("is_mpim"):
            raise _outside()
        await asker.workspace.call("conversations.join", channel=asker.channel, urgent=True)
    except Refused as error:
        if error.code == "is_archived":
            raise BadRequest("This channel is archived.", hint="Run it again in another one.") from None
        raise _outside() from None


async def direct(workspace: Workspace, user: str) -> str:
    """The conversation with a person. Raises BadRequest where there can be none, Lost."""
    try:
        return str((await workspace.call("conversations.open", users=user, urgent=True))["channel"]["id"])
    except Refused as error:
        raise BadRequest("I cannot write to you directly.", hint=f"Choose a channel. (Slack says {error.code}.)") from None


def _outside() -> BadRequest:
    return BadRequest("I cannot post in this channel yet. Nothing was made.", hint="Type `/invite @doce` here, then run it again.")
