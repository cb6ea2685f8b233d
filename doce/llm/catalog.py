"""The models that agents can use here, and where each is."""

from __future__ import annotations

import collections
import difflib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from doce.clock import Clock
from doce.db.choices import current
from doce.errors import BadRequest
from doce.settings import Settings

logger = logging.getLogger(__name__)

REHEARSAL = "rehearsal"
OPENROUTER = "openrouter"
OPENAI = "openai"
ANTHROPIC = "anthropic"
OPENROUTER_URL = "https://openrouter.ai/api/v1"
#: How long a provider's list is believed, ms.
FRESH_MS = 5 * 60_000
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Model:
    """A model. Prices are US dollars for a million tokens, None when unknown."""

    #: ``provider/model``
    id: str
    name: str
    provider: str
    #: longest conversation, tokens
    context: int | None = None
    input_price: float | None = None
    output_price: float | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider's models are asked."""

    name: str
    base_url: str
    key: SecretStr | None


REHEARSAL_MODEL = Model("rehearsal/site-builder", "Rehearsal (scripted, no real AI)", REHEARSAL, 128_000, 0, 0)


class Catalog:
    """Configured providers and their models; offline it answers what it last knew."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lists: dict[str, tuple[int, list[Model]]] = {}
        #: One a provider: a slow one holds up nobody who asks another.
        self._locks: collections.defaultdict[str, threading.Lock] = collections.defaultdict(threading.Lock)
        #: Why a provider's list could not be had the last time it was asked for.
        self.problems: dict[str, str] = {}
        #: What an admin has set up, see `Providers`; of one name it is this that holds, not the environment's.
        self.stored: Callable[[], list[Provider]] = list

    def providers(self) -> dict[str, Provider]:
        """Real providers that are configured."""
        found = {}
        if self._settings.openrouter_key:
            found[OPENROUTER] = Provider(OPENROUTER, OPENROUTER_URL, self._settings.openrouter_key)
        if self._settings.openai_base_url:
            found[OPENAI] = Provider(OPENAI, self._settings.openai_base_url.rstrip("/"), self._settings.openai_key)
        return found | {provider.name: provider for provider in self.stored()}

    def forget(self, name: str) -> None:
        """The list of this provider's models is asked for anew."""
        with self._locks[name]:
            self._lists.pop(name, None)
            self.problems.pop(name, None)

    def models(self) -> list[Model]:
        """Every model that can be used now; the rehearsal always can."""
        return [REHEARSAL_MODEL, *(model for provider in self.providers().values() for model in self._listed(provider))]

    def default(self) -> str:
        """What new projects get when nobody says: the setting."""
        return str(current(self._settings, "model"))

    def find(self, model_id: str) -> Model | None:
        """The model as far as it is known."""
        return next((model for model in self.models() if model.id == model_id), None)

    def check(self, model_id: str) -> Model:
        """The model of that id. Raises BadRequest saying what to do instead.

        A provider whose list cannot be had is trusted: it refuses an unknown model itself.
        """
        provider_name, slash, rest = model_id.partition("/")
        if not slash or not rest:
            raise BadRequest(f"{model_id!r} is not a model.", hint="A model is written provider/model: rehearsal/site-builder.")
        if provider_name == REHEARSAL:
            return self._known(model_id, [REHEARSAL_MODEL])
        provider = self.providers().get(provider_name)
        if provider is None:
            raise BadRequest(f"There is no provider {provider_name!r} here.", hint=_HOW.get(provider_name, _HOW[""]))
        listed = self._listed(provider)
        return self._known(model_id, listed) if listed else Model(model_id, rest, provider_name)

    def _known(self, model_id: str, models: list[Model]) -> Model:
        for model in models:
            if model.id == model_id:
                return model
        near = difflib.get_close_matches(model_id, [model.id for model in models], n=3)
        raise BadRequest(
            f"There is no model {model_id!r}.", hint=f"Did you mean {' or '.join(near)}?" if near else "`doce models` lists them."
        )

    def _listed(self, provider: Provider) -> list[Model]:
        with self._locks[provider.name]:
            at, models = self._lists.get(provider.name, (-FRESH_MS, []))
            if self._clock.now_ms() - at < FRESH_MS:
                return models
            try:
                models = _fetch(provider)
                self.problems.pop(provider.name, None)
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                # Beside the critical path: what was known last is still a good answer.
                self.problems[provider.name] = f"Its models could not be listed ({type(error).__name__}); shown are those known before."
                logger.warning("the models of %s cannot be listed", provider.name, extra={"cause": type(error).__name__})
            self._lists[provider.name] = (self._clock.now_ms(), models)
            return models


_HOW = {
    OPENROUTER: "An admin sets its key: `doce providers set openrouter`.",
    ANTHROPIC: "An admin sets its key: `doce providers set anthropic`.",
    OPENAI: "An admin sets its address and key: `doce providers set openai --base-url https://…/v1`.",
    "": "Providers: rehearsal, openrouter, anthropic, openai and whatever else an admin sets: `doce providers set`.",
}


def headers(provider: Provider) -> dict[str, str]:
    """How doce shows itself to a provider."""
    return {"authorization": f"Bearer {provider.key.get_secret_value()}"} if provider.key else {}


def listing_headers(provider: Provider) -> dict[str, str]:
    """The same for asking which models there are: Anthropic's list knows its own headers only."""
    if provider.name == ANTHROPIC and provider.key:
        return {"x-api-key": provider.key.get_secret_value(), "anthropic-version": "2023-06-01"}
    return headers(provider)


def _fetch(provider: Provider) -> list[Model]:
    answer = httpx.get(f"{provider.base_url}/models", headers=listing_headers(provider), timeout=TIMEOUT_S)
    answer.raise_for_status()
    return [_model(provider, raw) for raw in answer.json()["data"] if isinstance(raw.get("id"), str)]


def _model(provider: Provider, raw: dict[str, object]) -> Model:
    pricing = raw.get("pricing")
    prices = pricing if isinstance(pricing, dict) else {}
    context = raw.get("context_length")
    return Model(
        id=f"{provider.name}/{raw['id']}",
        name=str(raw.get("name") or raw["id"]),
        provider=provider.name,
        context=context if isinstance(context, int) else None,
        input_price=_price(prices.get("prompt")),
        output_price=_price(prices.get("completion")),
    )


def _price(raw: object) -> float | None:
    """OpenRouter tells dollars a token, as text."""
    try:
        return float(str(raw)) * 1_000_000 if raw is not None else None
    except ValueError:
        return None
