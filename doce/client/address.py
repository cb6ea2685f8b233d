"""Which doce a client talks to, and as whom."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from doce.errors import BadRequest
from doce.settings import Settings, client_environment, load

#: What `doce setup` and `doce serve` leave in the data folder for the clients of this machine: ``{"url", "token"}``, mode 0600.
FILE_NAME = "cli.json"


@dataclass(frozen=True)
class Address:
    """A doce. `url` has no slash at its end; without a token only `/api/health` answers."""

    url: str
    token: SecretStr | None = None

    @property
    def local(self) -> bool:
        """This machine: no proxy stands between."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


def find(url: str | None = None, token: str | None = None, *, settings: Settings | None = None) -> Address:
    """The doce meant by the arguments, else by DOCE_URL and DOCE_TOKEN, else by the file in the data folder.

    The file's token is used for the file's address only, so that it never travels to another machine.
    Raises BadRequest for an address that is none or a file that cannot be read.
    """
    said_url, said_token = client_environment()
    secret = SecretStr(token) if token else said_token
    wanted = url or said_url
    if wanted and secret:
        return Address(_checked(wanted), secret)
    settings = settings or load()
    left = _left(settings.data / FILE_NAME)
    if left is None:
        return Address(_checked(wanted or f"http://localhost:{settings.port}"), secret)
    if wanted and _checked(wanted) != left.url:
        return Address(_checked(wanted), secret)
    return Address(left.url, secret or left.token)


def _left(path: Path) -> Address | None:
    try:
        found = json.loads(path.read_text("utf-8"))
        return Address(_checked(str(found["url"])), SecretStr(str(found["token"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{path} cannot be read.", hint="`doce setup` writes it again; or set DOCE_URL and DOCE_TOKEN.") from error


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise BadRequest(f"{url!r} is not an address of a doce.", hint="An address looks like http://localhost:8420.")
    return url.strip().rstrip("/")
