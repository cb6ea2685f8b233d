"""Chats that doce is in: what holds in their channels, and the workspaces it is installed in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from doce.actions.paging import Paging, cut
from doce.actions.registry import Call, Done, Input, action, check_role, find_project
from doce.chats.channels import ChannelRules
from doce.chats.installations import Installation
from doce.errors import Forbidden, NotFound
from doce.projects.views import Page, View

#: Takes back what was set, where a null cannot be said: on the command line, in chat.
NOTHING = ("none", "nothing", "")


class OfChannel(Input):
    team: str = Field(min_length=1, max_length=100, description="Id of the workspace, T….")
    channel: str = Field(min_length=1, max_length=100, description="Id of the channel, C….")
    kind: Literal["slack"] = Field("slack", description="Which chat.")


class UseProject(OfChannel):
    project: str | None = Field(max_length=200, description="The project that is meant there when none is named; `none`: none.")


class SetChannel(OfChannel):
    project: str | None = Field(None, max_length=200, description="The project that is meant there when none is named; `none`: none.")
    mention: Literal["on", "off"] | None = Field(None, description="on: only messages that mention doce are for it.")
    allowed: list[str] | None = Field(
        None, max_length=500, description="Chat users (U…) who may build there, and nobody else but admins; `none`: all who are linked."
    )


class ChannelView(View):
    """What holds in a channel. `allowed`: chat users who may build there; empty: all who are linked."""

    kind: str
    team: str
    channel: str
    project_id: str | None
    #: its name in addresses
    project: str | None
    mention: Literal["on", "off"]
    allowed: list[str]


class OfWorkspace(Input):
    team: str = Field(min_length=1, max_length=100, description="Id of the workspace, T….")
    kind: Literal["slack"] = Field("slack", description="Which chat.")


class WorkspaceView(View):
    """A workspace that doce was installed in. `installed_by`: a chat user."""

    kind: str
    team: str
    name: str
    bot_user: str
    scopes: list[str]
    installed_by: str | None


@action("channels.list", input=Paging, output=Page[ChannelView], role="admin", method="GET", path="/api/channels")
def list_channels(call: Call, given: Paging) -> Page[ChannelView]:
    """List the channels of chats that have rules of their own."""
    found = [_channel(call, one) for one in call.services.chats.channels.list()]
    items, following = cut(found, given, lambda one: f"{one.team}/{one.channel}")
    return Page(items=items, next=following)


@action("channels.set", input=SetChannel, output=ChannelView, role="admin", method="POST", path="/api/channels/{team}/{channel}")
def set_channel(call: Call, given: SetChannel) -> ChannelView:
    """Set what holds in a channel: its project, who may build there, whether doce has to be mentioned."""
    changes: dict[str, Any] = {}
    if "project" in given.model_fields_set:
        changes["project_id"] = _project(call, given.project)
    if given.mention is not None:
        changes["mention"] = given.mention == "on"
    if given.allowed is not None:
        changes["allowed"] = tuple(one for one in given.allowed if one not in NOTHING)
    return _channel(call, call.services.chats.channels.change(given.kind, given.team, given.channel, **changes))


@action("channels.use", input=UseProject, output=ChannelView, role="member", method="POST", path="/api/channels/{team}/{channel}/project")
def use_project(call: Call, given: UseProject) -> ChannelView:
    """Say which project is meant in a channel when none is named; for those who may build there."""
    channels = call.services.chats.channels
    before = channels.rules(given.kind, given.team, given.channel)
    mine = [one for one in call.services.identities.list(call.user.id) if (one.kind, one.team) == (given.kind, given.team)]
    if not call.user.is_admin and not any(before.allows(one.external_id) for one in mine):
        raise Forbidden("You may not build in this channel.", hint="Link yourself in its workspace, or have an admin allow you there.")
    return _channel(call, channels.change(given.kind, given.team, given.channel, project_id=_project(call, given.project)))


@action("workspaces.list", input=Paging, output=Page[WorkspaceView], role="admin", method="GET", path="/api/workspaces")
def list_workspaces(call: Call, given: Paging) -> Page[WorkspaceView]:
    """List the workspaces of chats that doce was installed in."""
    found = [_workspace(one) for one in call.services.chats.installations.list("slack")]
    items, following = cut(found, given, lambda one: one.team)
    return Page(items=items, next=following)


@action(
    "workspaces.remove", input=OfWorkspace, output=Done, role="admin", method="DELETE", path="/api/workspaces/{team}", danger=True,
)  # fmt: skip
def remove_workspace(call: Call, given: OfWorkspace) -> Done:
    """Forget a workspace: its token is deleted, its threads are told nothing more."""
    if not call.services.chats.leave(given.kind, given.team):
        raise NotFound(f"doce is not installed in {given.team}.", hint="`doce slack workspaces` lists where it is.")
    return Done(message=f"{given.team} is forgotten, its projects stay. Its admins can now remove the app in Slack, too.")


def _project(call: Call, word: str | None) -> str | None:
    """The id of the project that is meant; whoever names it may change it. Raises NotFound, Forbidden."""
    if word is None or word.lower() in NOTHING:
        return None
    found = find_project(call.services, call.user, word)
    check_role(call.services, call.user, found, "editor")
    return found.id


def _channel(call: Call, rules: ChannelRules) -> ChannelView:
    slug = call.services.projects.get(rules.project_id).slug if rules.project_id else None
    return ChannelView(
        kind=rules.kind, team=rules.team, channel=rules.channel, project_id=rules.project_id, project=slug,
        mention="on" if rules.mention else "off", allowed=sorted(rules.allowed),
    )  # fmt: skip


def _workspace(found: Installation) -> WorkspaceView:
    return WorkspaceView(
        kind=found.kind, team=found.team, name=found.name, bot_user=found.bot_user, scopes=list(found.scopes),
        installed_by=found.installed_by,
    )  # fmt: skip
