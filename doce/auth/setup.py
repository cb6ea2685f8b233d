"""Setting up on the machine itself: the first admin, and a token for the command line."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from doce import addresses
from doce.auth.users import ApiTokens, Person, Users
from doce.db import setting
from doce.errors import Forbidden
from doce.settings import Settings

#: The instance setting that holds the code which whoever is not on this machine must know to make the first admin.
CODE = "setup_code"
#: Read by `doce.client`; holds ``{"url", "token"}``.
FILE_NAME = "cli.json"
#: The instance setting that holds the address of the `doce serve` that ran last.
LISTENS = "listens"


def setup(settings: Settings, users: Users, tokens: ApiTokens, name: str, password: str | None = None) -> Person:
    """Make the first admin and leave a token for the command line. Raises Conflict when there is one already."""
    person = users.first_admin(name, password)
    leave_token(settings, tokens.create(person.id, "command line of this machine")[1])
    return person


def code() -> str:
    """The one-time code of this doce: `doce serve` prints it until there is an admin."""
    return str(setting.keep(CODE, lambda: secrets.token_hex(8)))


def check_code(said: str | None) -> None:
    """Raises Forbidden."""
    if not hmac.compare_digest((said or "").strip().lower().encode("utf-8", "replace"), code().encode()):
        raise Forbidden("Making the first admin from another machine takes the code.", hint="`doce serve` prints it when it starts.")


def leave_token(settings: Settings, token: SecretStr, url: str | None = None) -> Path:
    """Write the file that clients on this machine find doce by: mode 0600, replaced by a rename."""
    path = settings.data / FILE_NAME
    half = path.with_name(f".{FILE_NAME}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": url or _url(settings), "token": token.get_secret_value()}, file)
    half.replace(path)
    return path


def _url(settings: Settings) -> str:
    """Where doce listens; with port 0 that is where it listened last."""
    return (None if settings.port else setting.get(LISTENS)) or addresses.doce_url(settings)


def update_url(settings: Settings, url: str) -> None:
    """doce listens somewhere else now: clients of this machine go there."""
    if setting.get(LISTENS) != url:
        setting.put(LISTENS, url)
    path = settings.data / FILE_NAME
    try:
        left = json.loads(path.read_text("utf-8"))
        token, known = SecretStr(left["token"]), left.get("url")
    except (OSError, ValueError, KeyError, TypeError):
        # None was left, or somebody edited it away: `doce setup` says so.
        return
    if known != url:
        leave_token(settings, token, url)
