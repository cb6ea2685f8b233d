"""Every action there is: importing this declares them."""

from __future__ import annotations

from doce.actions import (
    account,
    chats,
    files,
    jobs,
    looking,
    members,
    monitoring,
    people,
    presence,
    productions,
    projects,
    prompts,
    providers,
    settings,
    words,
)
from doce.actions.registry import ACTIONS, Action

#: Modules that declare actions.
DECLARING = (
    account,
    people,
    projects,
    members,
    files,
    prompts,
    productions,
    presence,
    monitoring,
    chats,
    looking,
    jobs,
    providers,
    settings,
    words,
)


def actions() -> dict[str, Action]:
    """All of them by name, in the order of declaration."""
    return ACTIONS
