"""Modals and App Home."""

from __future__ import annotations

from doce.testing.slack import blocks, dialogs, limits, shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused


@method("views.open", tier=4)
def open_(call: Call) -> Raw:
    view = call.structure("view")
    blocks.check_view(view, "modal")
    user, _ = _exchange(call)
    return {"view": shapes.view(call.slack, dialogs.show(call.slack.world, call.token.team, user, view))}


@method("views.push", tier=4)
def push(call: Call) -> Raw:
    view = call.structure("view")
    blocks.check_view(view, "modal")
    user, on = _exchange(call)
    if not on or on not in call.slack.world.views:
        raise Refused("not_found")
    below = call.slack.world.views[on]
    if len(dialogs.stack(call.slack.world, below)) >= limits.VIEWS_IN_A_STACK:
        raise Refused("push_limit_reached")
    return {"view": shapes.view(call.slack, dialogs.show(call.slack.world, call.token.team, user, view, below=below))}


@method("views.update", tier=4)
def update(call: Call) -> Raw:
    raw = call.structure("view")
    wanted, external = call.text("view_id"), call.text("external_id")
    found = next(
        (each for each in call.slack.world.views.values() if each.id == wanted or (external and each.raw.get("external_id") == external)),
        None,
    )
    if found is None or not found.open or found.team != call.token.team:
        raise Refused("not_found")
    blocks.check_view(raw, found.raw["type"])
    if call.text("hash") and call.text("hash") != found.hash:
        raise Refused("hash_conflict")
    dialogs.replace(call.slack.world, found, raw)
    return {"view": shapes.view(call.slack, found)}


@method("views.publish", tier=4)
def publish(call: Call) -> Raw:
    raw = call.structure("view")
    blocks.check_view(raw, "home")
    if not call.slack.app.home:
        raise Refused("not_enabled")
    user = call.user("user_id")
    home = call.slack.world.homes.get((user.team, user.id))
    if home and call.text("hash") and call.text("hash") != home.hash:
        raise Refused("hash_conflict")
    if home:
        dialogs.replace(call.slack.world, home, raw)
    else:
        home = dialogs.show(call.slack.world, user.team, user.id, raw)
    return {"view": shapes.view(call.slack, home)}


def _exchange(call: Call) -> tuple[str, str]:
    """Who triggered it, and on which view. Raises Refused."""
    given = call.text("trigger_id")
    trigger = call.slack.triggers.get(given)
    if trigger is None or trigger.team != call.token.team:
        raise Refused("invalid_trigger_id")
    if call.slack.clock.now() - trigger.at > limits.TRIGGER_S:
        raise Refused("expired_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    trigger.used = True
    return trigger.user, trigger.view
