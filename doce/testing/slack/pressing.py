"""What people press, choose and fill in: commands, shortcuts, buttons, menus, dialogs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from doce.testing.slack import inputs, layout, shapes
from doce.testing.slack.courier import Delivery
from doce.testing.slack.person import Person
from doce.testing.slack.refusal import Impossible, Refused
from doce.testing.slack.sight import Seen
from doce.testing.slack.things import Channel, Message, User, View
from doce.testing.slack.writing import typed

Raw = dict[str, Any]
#: Most that an app may offer for a list that it fills.
OPTIONS = 100


class Pressing(Person):
    """Every press waits until the app has acknowledged it."""

    # Commands and shortcuts

    async def slash(self, who: User | str, where: Channel | str, command: str, text: str = "", *, thread: str = "") -> Delivery:
        """Type a command; until it is acknowledged, or failed. Raises Impossible in a thread, and for a command that nobody offers."""
        user, channel = self._there(who, where)
        if thread:
            raise Impossible(f"{command} is not supported in threads. Sorry!")
        if self.slack.app.commands is not None and command not in self.slack.app.commands:
            raise Impossible(f"{command} is not a valid command")
        escaped = self.slack.app.commands is not None and self.slack.app.commands[command]
        name = {"im": "directmessage", "group": "privategroup", "mpim": "privategroup"}.get(channel.kind, channel.name)
        workspace = self.slack.world.workspaces[user.team]
        url = self.responses.address(user, channel)
        form = {
            "token": self.slack.app.verification_token, "team_id": user.team, "team_domain": workspace.domain, "channel_id": channel.id,
            "channel_name": name, "user_id": user.id, "user_name": user.name, "command": command,
            "text": self._escaped(user, text) if escaped else text.strip(), "api_app_id": self.slack.app.id,
            "is_enterprise_install": "false",
            "response_url": url, "trigger_id": self.trigger(user),
        }  # fmt: skip
        delivery = await self._arrive(Delivery("slash_commands", form, user.team))
        if delivery.acked and delivery.answer:
            try:
                self.responses.take(url, delivery.answer, free=True)
            except Refused as no:
                delivery.error = no.code
        return delivery

    def _escaped(self, user: User, text: str) -> str:
        """Users and channels as ids with their names, as a command that asks for it gets them."""
        return re.sub(
            r"<@([A-Z0-9]+)>",
            lambda found: f"<@{found[1]}|{self.slack.world.users[found[1]].name}>",
            typed(self.slack.world, user, text.strip()),
        )

    async def shortcut(self, who: User | str, callback_id: str, message: Message | Seen | None = None) -> Delivery:
        """Choose a shortcut: on a message from its menu, else from the lightning bolt."""
        user = self.slack.world.user(who)
        kind = "message" if message else "global"
        if self.slack.app.shortcuts is not None and (kind, callback_id) not in self.slack.app.shortcuts:
            raise Impossible(f"there is no {kind} shortcut {callback_id!r}")
        payload = self._interaction("message_action" if message else "shortcut", user)
        payload |= {"callback_id": callback_id, "action_ts": self.slack.world.new_ts(), "trigger_id": self.trigger(user)}
        if message:
            message = self._message(message)
            channel = self.slack.world.channel(message.channel)
            payload |= {
                "channel": {"id": channel.id, "name": channel.name or "directmessage"}, "message_ts": message.ts,
                "message": shapes.message(self.slack, message), "response_url": self.responses.address(user, channel),
            }  # fmt: skip
        return await self._arrive(Delivery("interactive", payload, user.team))

    # Presses

    async def click(
        self, who: User | str, where: Message | Seen | View, name: str, value: str | Sequence[str] | None = None, *, block_id: str = ""
    ) -> Delivery:
        """Press a button, or choose `value` in a menu, by action id or words; until it is acknowledged.

        Raises Impossible when it is not there, or not any more.
        """
        user, world = self.slack.world.user(who), self.slack.world
        if not self.slack.app.interactive:
            raise Impossible("the app is not configured to handle interactive responses")
        where = where if isinstance(where, View) else self._message(where)
        laid_out = where.blocks if isinstance(where, View) else where.pressable()
        block, element = _find(laid_out, name, value, block_id)
        action: Raw = {
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "type": element["type"],
            "action_ts": world.new_ts(),
        }
        if element["type"] == "button":
            action |= {name: element[name] for name in ("text", "value", "url", "style") if name in element}
        elif element["type"] == "overflow":
            action["selected_option"] = inputs.option(element, value)
        else:
            action |= {name: each for name, each in inputs.filled(element, value).items() if name != "type"}
        payload = self._interaction("block_actions", user) | {"actions": [action]}
        if isinstance(where, View):
            return await self._press_in_view(user, where, payload, block, element, action)
        channel = self._reach(user, where)
        container: Raw = {"type": "message", "message_ts": where.ts, "channel_id": channel.id, "is_ephemeral": bool(where.only_for)}
        if where.thread_ts:
            container["thread_ts"] = where.thread_ts
        payload |= {
            "container": container, "channel": {"id": channel.id, "name": channel.name or "directmessage"},
            "state": {"values": inputs.initial(laid_out)},
            "response_url": self.responses.address(user, channel, where), "trigger_id": self.trigger(user),
        }  # fmt: skip
        if not where.only_for:
            payload["message"] = shapes.message(self.slack, where)
        return await self._arrive(Delivery("interactive", payload, user.team))

    def _reach(self, user: User, message: Message) -> Channel:
        """Where a message is, when the person sees it. Raises Impossible."""
        if message.only_for and message.only_for != user.id:
            raise Impossible(f"{user.name} does not see that message")
        gone = (
            message not in self.slack.world.ephemerals if message.only_for else message.ts not in self.slack.world.posted[message.channel]
        )
        if gone:
            raise Impossible("that message is not there any more")
        _, channel = self._there(user, message.channel)
        return channel

    async def _press_in_view(self, user: User, view: View, payload: Raw, block: Raw, element: Raw, action: Raw) -> Delivery:
        if not view.open or view.user != user.id:
            raise Impossible("that dialog is not open")
        state = view.inputs.get(block["block_id"], {}).get(element["action_id"])
        if state is not None:
            state |= {name: value for name, value in action.items() if name.startswith("selected_")}
        payload |= {
            "container": {"type": "view", "view_id": view.id}, "view": shapes.view(self.slack, view),
            "trigger_id": self.trigger(user, view.id),
            "state": {"values": view.inputs},
        }  # fmt: skip
        return await self._arrive(Delivery("interactive", payload, user.team))

    # Dialogs

    async def submit(self, who: User | str, view: View, values: Mapping[str, Any] | None = None) -> Delivery:
        """Fill in fields, by block id or action id, and submit. Raises Impossible for what the client does not let through.

        Afterwards the view is closed, shows what is wrong (`view.errors`), or something else.
        """
        user = self.slack.world.user(who)
        if not view.open or view.user != user.id:
            raise Impossible("that dialog is not open")
        if "submit" not in view.raw and not any(block["type"] == "input" for block in view.blocks):
            raise Impossible("that dialog has nothing to submit")
        self.fill(view, values or {})
        for block, element in layout.elements(view.blocks):
            if (
                block["type"] == "input"
                and not block.get("optional")
                and inputs.empty(view.inputs[block["block_id"]][element["action_id"]])
            ):
                raise Impossible(f"the field {block['label']['text']!r} must be filled in")
        payload = self._interaction("view_submission", user)
        payload |= {"view": shapes.view(self.slack, view), "trigger_id": self.trigger(user, view.id), "response_urls": []}
        delivery = await self._arrive(Delivery("interactive", payload, user.team))
        if delivery.acked:
            view.errors = {}
            delivery.error = self.responses.submitted(view, delivery.answer)
        return delivery

    async def suggest(self, who: User | str, view: View, name: str, typed_in: str = "") -> list[Raw]:
        """Type letters into a list that the app fills (by action id): the options that it offers.

        Raises Impossible when there is no such list, or too few letters for it.
        """
        user = self.slack.world.user(who)
        found = [each for each in layout.elements(view.blocks) if each[1]["action_id"] == name]
        if not found or found[0][1]["type"] not in ("external_select", "multi_external_select"):
            raise Impossible(f"there is no {name!r} that the app fills")
        block, element = found[0]
        if not view.open or view.user != user.id or len(typed_in) < element.get("min_query_length", 3):
            raise Impossible("Slack does not ask the app for that")
        payload = self._interaction("block_suggestion", user) | {
            "action_id": name, "block_id": block["block_id"], "value": typed_in, "view": shapes.view(self.slack, view),
            "container": {"type": "view", "view_id": view.id},
        }  # fmt: skip
        delivery = await self._arrive(Delivery("interactive", payload, user.team))
        options = delivery.answer.get("options") if isinstance(delivery.answer, dict) else None
        if not isinstance(options, list) or len(options) > OPTIONS:
            raise Impossible(f"the app offered nothing that Slack shows: {delivery.error or delivery.answer}")
        return options

    def fill(self, view: View, values: Mapping[str, Any]) -> None:
        """Put values into fields. Raises Impossible."""
        for name, value in values.items():
            for block, element in layout.elements(view.blocks):
                if name in (block["block_id"], element["action_id"]):
                    view.inputs.setdefault(block["block_id"], {})[element["action_id"]] = inputs.filled(element, value)
                    break
            else:
                known = [element["action_id"] for _, element in layout.elements(view.blocks)]
                raise Impossible(f"there is no field {name!r}; there are {', '.join(known)}")

    async def close(self, who: User | str, view: View) -> Delivery | None:
        """Cancel a dialog; the app is told when it asked to be."""
        user = self.slack.world.user(who)
        if not view.open or view.user != user.id:
            raise Impossible("that dialog is not open")
        view.open = False
        self.slack.world.changed()
        if not view.raw.get("notify_on_close"):
            return None
        payload = self._interaction("view_closed", user) | {"view": shapes.view(self.slack, view), "is_cleared": False}
        return await self._arrive(Delivery("interactive", payload, user.team))

    async def open_home(self, who: User | str, tab: str = "home") -> View | None:
        """Look at the app's home (or its messages); what it shows at that moment."""
        user = self.slack.world.user(who)
        if not (self.slack.app.home if tab == "home" else self.slack.app.messages):
            raise Impossible(f"the app has no {tab} tab")
        view = self.slack.world.homes.get((user.team, user.id))
        self.slack.events.home(user, tab, self.slack.world.direct(user), view)
        return view

    async def stop(self, who: User | str, channel: Channel | str, thread: str) -> None:
        """Press Slack's own stop button: the streams of the thread end, then the app is told."""
        user, where = self._there(who, channel)
        session = self.slack.world.sessions.get((where.id, thread))
        if session is None or session.status != "processing":
            raise Impossible("nothing is running there: no stop button is shown")
        if not self.slack.app.wants("agent_session_stopped"):
            raise Impossible("the app does not listen for agent_session_stopped: no stop button is shown")
        streams = [each for each in self.slack.world.streaming if each.channel == where.id and each.thread_ts == thread and each.stream]
        running = [each for each in streams if each.stream and each.stream.state == "streaming"]
        for message in running:
            assert message.stream
            message.stream.state = "stopped"
        self.slack.world.changed()
        self.slack.events.stopped(session, user.team, user.id, [each.ts for each in running])


def _find(laid_out: list[Raw], name: str, value: Any, block_id: str) -> tuple[Raw, Raw]:
    """What is to be pressed; several with one name differ by `value` or block. Raises Impossible."""
    everything = list(layout.elements(laid_out))
    found = [each for each in everything if each[1].get("action_id") == name]
    found = found or [each for each in everything if each[1].get("text", {}).get("text") == name]
    found = [each for each in found if block_id in ("", each[0]["block_id"])]
    exact = [each for each in found if each[1]["type"] == "button" and each[1].get("value") == value]
    if not (exact or found):
        known = [element.get("text", {}).get("text") or element.get("action_id") for _, element in everything]
        raise Impossible(f"there is no {name!r} to press; there are {known}")
    return (exact or found)[0]
