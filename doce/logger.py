"""Logs: one JSON line each, with the ids of what was going on, secrets masked.

``log_context(project_id=…)`` adds fields to every line written inside it, also by uvicorn, huey and peewee, because
they all log through the standard library.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

_context: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("doce_log_context", default={})  # noqa: B039

#: Things that look like a secret, wherever they turn up in a line.
_SECRET = re.compile(
    r"(?i)(bearer\s+|basic\s+|auth_token=|ticket=|(?:api[_-]?key|password|client_secret)['\"]?\s*[:=]\s*['\"]?)[^\s'\"&,}]+"
    r"|\b(doce_[A-Za-z0-9_-]{20,}|dgw-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9_-]{16,}|xox[a-z][.-][A-Za-z0-9.-]{10,}|xapp-[A-Za-z0-9-]{10,})"
)
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def mask(text: str) -> str:
    """`text` with everything that looks like a key, token or password replaced by ``***``."""
    return _SECRET.sub(lambda found: (found.group(1) or "") + "***", text)


@contextlib.contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add `fields` (project_id, job_id, user_id, request_id, operation …) to the log lines written inside."""
    token = _context.set({**_context.get(), **{k: v for k, v in fields.items() if v is not None}})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: at, level, logger, message, context, extras, error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
            **getattr(record, "doce_context", {}),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD and key != "doce_context"})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = mask(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: mask(str(value)), ensure_ascii=False)


def _attach_context(record: logging.LogRecord) -> bool:
    record.doce_context = _context.get()
    return True


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every logger of this process to `stream` (stderr) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_attach_context)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "uvicorn.access", "uvicorn.error", "peewee", "huey", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
