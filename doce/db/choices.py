"""Settings as they are now: what an admin has chosen while doce runs, else what it was started with.

A field of `Settings` that is marked changeable may be chosen; whoever uses one asks here each time.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from doce.db import setting
from doce.db.connection import database
from doce.settings import Settings

_KEY = "setting."


def changeable() -> dict[str, FieldInfo]:
    """The settings that may change while doce runs."""
    return {
        name: field
        for name, field in Settings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("changeable")
    }


def kind(field: FieldInfo) -> Any:
    """What a field may be, with its limits."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def chosen(name: str) -> bool:
    """Somebody has chosen it."""
    return setting.get(_KEY + name) is not None


def current(settings: Settings, name: str) -> Any:
    """The value of the changeable setting `name` now."""
    said = setting.get(_KEY + name)
    if said is not None:
        try:
            return TypeAdapter(kind(changeable()[name])).validate_python(said)
        except ValidationError:
            # Chosen in another version of doce, which allowed it.
            return getattr(settings, name)
    return getattr(settings, name)


def choose(name: str, value: Any) -> None:
    """Choose a value that has been checked; None: go back to what doce was started with. Joins the caller's transaction."""
    if value is None:
        with database.atomic():
            database.execute_sql("DELETE FROM instance_settings WHERE key = ?", (_KEY + name,))
    else:
        setting.put(_KEY + name, value)
