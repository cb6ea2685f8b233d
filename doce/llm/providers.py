"""Providers of models that an admin has set up: checked on entry, kept encrypted, never shown again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from doce.auth.secrets import SecretKey
from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import ProviderKey
from doce.errors import BadRequest, DoceError, NotFound, Unavailable
from doce.llm.catalog import ANTHROPIC, OPENAI, OPENROUTER, OPENROUTER_URL, REHEARSAL, TIMEOUT_S, Catalog, Provider, listing_headers

#: Providers whose address is known; every other name is some OpenAI-compatible address.
KNOWN = {OPENROUTER: OPENROUTER_URL, ANTHROPIC: "https://api.anthropic.com/v1"}
_NAME = re.compile(r"^[a-z][a-z0-9-]{1,29}$")
MAX_KEY = 500
#: A list of models is a few hundred kilobytes at most.
MAX_ANSWER = 8 * 1024**2
Source = Literal["stored", "environment", "built-in"]


@dataclass(frozen=True, slots=True)
class Known:
    """A provider as it may be shown. Times are epoch ms."""

    name: str
    base_url: str | None
    source: Source
    has_key: bool
    updated_at: int | None = None
    #: why its models could not be listed lately, one sentence
    problem: str | None = None


class Providers:
    """The table of providers."""

    def __init__(self, key: SecretKey, clock: Clock, catalog: Catalog, *, addresses: Mapping[str, str] = KNOWN) -> None:
        self._key = key
        self._clock = clock
        self._catalog = catalog
        self._addresses = addresses
        catalog.stored = self.stored

    def stored(self) -> list[Provider]:
        """What has been set up, with the keys in clear. For asking providers, and for nothing else."""
        rows = database.execute_sql("SELECT name, base_url, sealed FROM provider_keys ORDER BY name").fetchall()
        return [Provider(name, url, self._key.opened(sealed, _purpose(name)) if sealed else None) for name, url, sealed in rows]

    def list(self) -> list[Known]:
        """Every provider there is, by name."""
        times = dict(database.execute_sql("SELECT name, updated_at FROM provider_keys").fetchall())
        known = [
            Known(
                one.name,
                one.base_url,
                "stored" if one.name in times else "environment",
                one.key is not None,
                times.get(one.name),
                self._catalog.problems.get(one.name),
            )
            for one in self._catalog.providers().values()
        ]
        return sorted([*known, Known(REHEARSAL, None, "built-in", False)], key=lambda one: one.name)

    def set(self, name: str, key: SecretStr | None, base_url: str | None, *, by: str) -> int:
        """Set a provider up, or anew; it is asked first whether it takes the key. Returns how many models it has.

        Raises BadRequest for what it does not take, Unavailable when it does not answer; nothing is kept then.
        """
        provider = Provider(_checked_name(name), self._address(name, base_url), _checked_key(key))
        models = check(provider)
        now = self._clock.now_ms()
        sealed = self._key.sealed(provider.key, _purpose(name)) if provider.key else None
        row = {"base_url": provider.base_url, "sealed": sealed, "set_by": by, "updated_at": now}
        ProviderKey.insert(name=name, created_at=now, **row).on_conflict(conflict_target=[ProviderKey.name], update=row).execute()
        self._catalog.forget(name)
        return models

    def test(self, name: str) -> int:
        """Ask a provider again. Returns how many models it has; raises as `set`, NotFound for one that is not set up."""
        if name == REHEARSAL:
            return 1
        return check(self._found(name))

    def remove(self, name: str) -> None:
        """Forget a provider and its key. Raises NotFound, BadRequest for one that the environment sets."""
        if not ProviderKey.delete().where(ProviderKey.name == name).execute():
            self._found(name)
            raise BadRequest(f"{name} is not set up here but in doce's environment.", hint="Unset its variable and start doce again.")
        self._catalog.forget(name)

    def _found(self, name: str) -> Provider:
        provider = self._catalog.providers().get(name)
        if provider is None:
            raise NotFound(f"There is no provider {name[:40]!r} here.", hint="`doce providers` lists those there are.")
        return provider

    def _address(self, name: str, base_url: str | None) -> str:
        if name in self._addresses:
            if base_url is not None:
                raise BadRequest(f"The address of {name} is known.", hint="Leave it out.", details={"field": "baseUrl"})
            return self._addresses[name]
        if base_url is None:
            raise BadRequest(f"Where is {name}?", hint="Say its base URL, such as https://api.openai.com/v1.", details={"field": "baseUrl"})
        return checked_url(base_url)


def _purpose(name: str) -> str:
    """A key that was copied to another provider's row does not open."""
    return f"provider:{name}"


def _checked_name(name: str) -> str:
    if name == REHEARSAL or not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:40]!r} cannot be a provider.",
            hint=f"Providers: {OPENROUTER}, {ANTHROPIC}, {OPENAI}, or a name of yours: 2-30 lower-case letters, digits, hyphens.",
            details={"field": "provider"},
        )
    return name


def _checked_key(key: SecretStr | None) -> SecretStr | None:
    if key is None:
        return None
    text = key.get_secret_value().strip()
    if not 1 <= len(text) <= MAX_KEY or not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest("This is not a key.", hint="A key is one word of printable ASCII characters.", details={"field": "key"})
    return SecretStr(text)


def checked_url(url: str) -> str:
    """An address of an OpenAI-compatible provider. Raises BadRequest."""
    text = url.strip()
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= 300
    try:
        parts = urlsplit(text)
        good = plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment:
        raise BadRequest(
            "This is not the address of a provider.", hint="An address looks like https://api.openai.com/v1.", details={"field": "baseUrl"}
        )
    return text.rstrip("/")


def check(provider: Provider) -> int:
    """Ask whether the key opens something; returns how many models there are. Raises BadRequest, Unavailable."""
    if provider.name == OPENROUTER:
        # Its list of models is for everybody: only this address knows whether the key is good.
        _asked(provider, "key")
    answer = _asked(provider, "models")
    try:
        return len([raw for raw in answer.json()["data"] if isinstance(raw.get("id"), str)])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadRequest(
            f"What answers at {provider.base_url} lists no models.", hint="Is it OpenAI-compatible, and does its address end in /v1?"
        ) from None


def _asked(provider: Provider, path: str) -> httpx.Response:
    try:
        answer = httpx.get(f"{provider.base_url}/{path}", headers=listing_headers(provider), timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(
            f"{provider.name} does not answer ({type(error).__name__}). Nothing was changed.",
            hint="Is its address right, and is it running?",
        ) from None
    if answer.status_code in (401, 403):
        raise _refused(provider)
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Unavailable(f"{provider.name} answers {answer.status_code}. Nothing was changed.", hint="Try again in a minute.")
    if answer.status_code >= 300 or len(answer.content) > MAX_ANSWER:
        raise BadRequest(
            f"{provider.base_url} answers {answer.status_code} to a question for its models.", hint="Does its address end in /v1?"
        )
    return answer


def _refused(provider: Provider) -> DoceError:
    if provider.key is None:
        return BadRequest(f"{provider.name} wants a key.", hint="Send it as `key`.", details={"field": "key"})
    return BadRequest(f"{provider.name} refuses this key.", hint="Copy it again; a new one may take a minute.", details={"field": "key"})
