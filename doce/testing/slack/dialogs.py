"""Views as they open, change and lie on one another."""

from __future__ import annotations

from typing import Any

from doce.testing.slack import layout
from doce.testing.slack.inputs import initial
from doce.testing.slack.things import View
from doce.testing.slack.world import World

Raw = dict[str, Any]


def show(world: World, team: str, user: str, raw: Raw, *, below: View | None = None) -> View:
    """Open a view, on top of another one if `below` is given."""
    id_ = world.new_id("V")
    laid_out = raw | {"blocks": layout.named(raw["blocks"], world.new_id)}
    view = View(id_, team, user, laid_out, world.new_ts(), below.root if below else id_, below.id if below else "")
    view.inputs = initial(view.blocks)
    if raw["type"] == "modal":
        world.views[view.id] = view
    else:
        world.homes[team, user] = view
    world.changed()
    return view


def replace(world: World, view: View, raw: Raw) -> None:
    """Show something else in a view; what was typed stays where block and action are the same."""
    view.raw = raw | {"blocks": layout.named(raw["blocks"], world.new_id)}
    fresh = initial(view.blocks)
    view.inputs = {
        block: {action: view.inputs.get(block, {}).get(action, value) for action, value in each.items()} for block, each in fresh.items()
    }
    view.hash, view.errors = world.new_ts(), {}
    world.changed()


def stack(world: World, view: View) -> list[View]:
    """The open views of a dialog, lowest first."""
    return [each for each in world.views.values() if each.root == view.root and each.open]


def top(world: World, user: str) -> View | None:
    """The dialog that a person has in front of them."""
    return next((each for each in reversed(world.views.values()) if each.user == user and each.open), None)
