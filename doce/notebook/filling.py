"""Names of the notebook in a prompt: ``{name}``, ``{frame.shape}``, ``{table['a'][1]}``, ``{Err[3]}``. Read, never evaluated."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import Any

from doce.errors import BadRequest

#: What looks otherwise is somebody's CSS and stays.
_HOLE = re.compile(r"\{([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[[^\]{}\n]+\])*)\}")
_PART = re.compile(r"\.([A-Za-z_]\w*)|\[([^\]]+)\]")
ERROR_LIMIT = 8_000
_COUNTED = "n is the number that Jupyter shows beside the cell."
_HINTS = {"Err": f"That cell had no error; {_COUNTED}", "In": f"There is no such cell; {_COUNTED}", "Out": f"It has no result; {_COUNTED}"}


def filled(text: str, names: Mapping[str, Any]) -> str:
    """`text` with what `names` has filled in; a name that is none stays as it is. Raises BadRequest for a part that is not there."""

    def fill(hole: re.Match[str]) -> str:
        if hole[1] not in names:
            return hole[0]
        try:
            return str(_value(names[hole[1]], hole[2]))
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            hint = _HINTS.get(hole[1], f"{type(error).__name__}: {error}")
            raise BadRequest(f"{hole[0]} has no value.", hint=hint) from None

    return _HOLE.sub(fill, text)


def _value(value: Any, path: str) -> Any:
    for name, key in _PART.findall(path):
        if name:
            value = getattr(value, name)
        else:
            bare = key.strip().strip("'\"")
            value = value[int(bare) if bare.lstrip("-").isdigit() and key.strip()[0] not in "'\"" else bare]
    return value


def told(error: BaseException) -> str:
    """An error as it is put into a prompt: the notebook's own frames, the end of it when it is long."""
    trace = error.__traceback__
    while trace and "IPython" in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))[-ERROR_LIMIT:]
