"""What Slack tells the app of by itself, as the Events API has it, and only what the app asked for and may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doce.testing.slack import shapes
from doce.testing.slack.courier import Delivery
from doce.testing.slack.things import Channel, Message, Session, User, View, Workspace

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
#: A channel's kind in the manifest's names of message events.
HEARD = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
EXPIRED = ("tokens_revoked", "app_uninstalled")


class Events:
    """Sends one event after the other; nothing waits for their arrival."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack

    def send(self, team: str, event: Raw, *, name: str = "") -> Delivery | None:
        """Wrap an event and hand it over. None when the app did not ask for it, or is not installed."""
        workspace = self.slack.world.workspaces[team]
        if not self.slack.app.wants(name or event["type"]) or not (workspace.installed or event["type"] in EXPIRED):
            return None
        event.setdefault("event_ts", self.slack.world.new_ts())
        payload: Raw = {
            "token": self.slack.app.verification_token, "team_id": team, "context_team_id": team, "context_enterprise_id": None,
            "api_app_id": self.slack.app.id, "event": event, "type": "event_callback", "event_id": self.slack.world.new_id("Ev"),
            "event_time": int(self.slack.clock.now()), "is_ext_shared_channel": False,
            "authorizations": [
                {"enterprise_id": None, "team_id": team, "user_id": workspace.bot_user, "is_bot": True, "is_enterprise_install": False}
            ],
            "event_context": f"4-{self.slack.world.new_id('ec')}",
        }  # fmt: skip
        return self.slack.courier.send(Delivery("events_api", payload, team))

    def _in_channel(self, channel: Channel, event: Raw, name: str) -> None:
        """Events of a channel reach the app only while its bot is there."""
        if self.slack.world.workspaces[channel.team].bot_user in channel.members:
            self.send(channel.team, event, name=name)

    def message(self, message: Message) -> None:
        """Somebody said something. A mention is told twice: once as what it is, once as a message."""
        channel = self.slack.world.channels[message.channel]
        raw = shapes.message(self.slack, message)
        told = raw | {"channel": channel.id, "event_ts": message.ts, "channel_type": channel.kind}
        self._in_channel(channel, told, HEARD[channel.kind])
        bot = self.slack.world.workspaces[channel.team].bot_user
        if channel.kind != "im" and message.user != bot and f"<@{bot}>" in message.text:
            kept = ("user", "ts", "client_msg_id", "text", "team", "blocks", "thread_ts", "parent_user_id", "files", "bot_id")
            mention = {
                "type": "app_mention",
                **{name: raw[name] for name in kept if name in raw},
                "channel": channel.id,
                "event_ts": message.ts,
            }
            self._in_channel(channel, mention, "app_mention")

    def changed(self, message: Message, before: Message) -> None:
        """A message is different now: edited, unfurled, or written to its end."""
        self._hidden(
            message,
            "message_changed",
            {"message": shapes.message(self.slack, message), "previous_message": shapes.message(self.slack, before)},
        )

    def deleted(self, message: Message, before: Raw) -> None:
        """A message is gone."""
        self._hidden(message, "message_deleted", {"deleted_ts": message.ts, "previous_message": before})

    def _hidden(self, message: Message, subtype: str, more: Raw) -> None:
        channel, ts = self.slack.world.channels[message.channel], self.slack.world.new_ts()
        event = {"type": "message", "subtype": subtype, **more, "channel": channel.id, "hidden": True, "ts": ts, "event_ts": ts}
        self._in_channel(channel, event | {"channel_type": channel.kind}, HEARD[channel.kind])

    def reaction(self, message: Message, user: str, name: str, *, added: bool) -> None:
        kind = "reaction_added" if added else "reaction_removed"
        item = {"type": "message", "channel": message.channel, "ts": message.ts}
        event = {"type": kind, "user": user, "reaction": name, "item_user": message.user, "item": item}
        self._in_channel(self.slack.world.channels[message.channel], event, kind)

    def member(self, channel: Channel, user: str, *, inviter: str = "", joined: bool = True) -> None:
        kind = "member_joined_channel" if joined else "member_left_channel"
        letter = "C" if channel.kind == "channel" else "G"
        event: Raw = {"type": kind, "user": user, "channel": channel.id, "channel_type": letter, "team": channel.team}
        if inviter and joined:
            event["inviter"] = inviter
        if user == self.slack.world.workspaces[channel.team].bot_user and not joined:
            # What tells a bot that it is out.
            gone = {"type": "channel_left" if channel.kind == "channel" else "group_left", "channel": channel.id, "actor_id": inviter}
            self.send(channel.team, gone)
            return
        self._in_channel(channel, event, kind)

    def link(self, message: Message, links: list[str]) -> None:
        """Links of domains that the app unfurls."""
        channel = self.slack.world.channels[message.channel]
        found = [{"url": url, "domain": url.split("/")[2].split(":")[0]} for url in links]
        event: Raw = {
            "type": "link_shared", "user": message.user, "channel": channel.id, "message_ts": message.ts, "links": found,
            "unfurl_id": f"{channel.id}.{message.ts}", "source": "conversations_history", "is_bot_user_member": True,
        }  # fmt: skip
        if message.thread_ts:
            event["thread_ts"] = message.thread_ts
        self._in_channel(channel, event, "link_shared")

    def home(self, user: User, tab: str, channel: Channel, view: View | None) -> None:
        event: Raw = {"type": "app_home_opened", "user": user.id, "channel": channel.id, "tab": tab}
        if view and tab == "home":
            event["view"] = shapes.view(self.slack, view)
        self.send(user.team, event)

    def stopped(self, session: Session, team: str, user: str, streams: list[str]) -> None:
        event = {
            "type": "agent_session_stopped", "channel": session.channel, "thread_ts": session.thread_ts, "user": user,
            "streaming_message_ts": streams,
        }  # fmt: skip
        self.send(team, event)

    def uninstalled(self, workspace: Workspace, *, by_person: bool) -> None:
        if by_person:
            self.send(workspace.id, {"type": "app_uninstalled"})
        self.send(workspace.id, {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [workspace.bot_user]}})

    def file_shared(self, message: Message) -> None:
        channel = self.slack.world.channels[message.channel]
        for file in message.files:
            event = {"type": "file_shared", "file_id": file, "user_id": message.user, "file": {"id": file}, "channel_id": channel.id}
            self._in_channel(channel, event, "file_shared")
