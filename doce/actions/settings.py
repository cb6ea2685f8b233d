"""The settings of this doce: look at all, change those that may change while it runs."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr, create_model

from doce.actions.account import Nothing
from doce.actions.registry import Call, Input, action
from doce.db import choices
from doce.db.connection import database
from doce.projects import templates
from doce.projects.views import Page, View


class SettingView(View):
    """A setting. `changeable`: an admin may change it while doce runs; `changed`: somebody has."""

    #: the environment variable
    name: str
    value: str
    default: str
    description: str
    changeable: bool
    changed: bool


class SettingList(Page[SettingView]):
    """All of them; there is one page."""


#: A field for each changeable setting; null goes back to what doce was started with.
Change: type[Input] = create_model(
    "Change",
    __base__=Input,
    **{  # type: ignore[call-overload]
        name: (choices.kind(field) | None, Field(None, description=f"{field.description} null: as doce was started."))
        for name, field in choices.changeable().items()
    },
)


@action("settings.list", input=Nothing, output=SettingList, role="admin", method="GET", path="/api/settings")
def list_settings(call: Call, given: Nothing) -> SettingList:
    """List the settings of this doce; secrets show as ***."""
    settings = call.services.settings
    may = choices.changeable()
    items = [
        SettingView(
            name=f"DOCE_{name.upper()}",
            value=_shown(choices.current(settings, name) if name in may else getattr(settings, name)),
            default=_shown(info.default),
            description=info.description or "",
            changeable=name in may,
            changed=name in may and choices.chosen(name),
        )
        for name, info in type(settings).model_fields.items()
        if name != "fault"
    ]
    return SettingList(items=items)


@action("settings.update", input=Change, output=SettingList, role="admin", method="PATCH", path="/api/settings")
def update_settings(call: Call, given: Input) -> SettingList:
    """Change settings while doce runs; null goes back to what doce was started with."""
    wanted = {name: getattr(given, name) for name in given.model_fields_set}
    if wanted.get("model") is not None:
        wanted["model"] = call.services.projects.checked_model(wanted["model"])
    if wanted.get("template") is not None:
        templates.get(wanted["template"])
    with database.atomic():
        for name, value in wanted.items():
            choices.choose(name, value)
    return list_settings(call, Nothing())


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple):
        return ("-" if all(isinstance(part, int) for part in value) else " ").join(str(part) for part in value)
    return "" if value is None else str(value)
