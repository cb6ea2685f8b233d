"""Which model the demo uses, and saying so."""

from __future__ import annotations

from collections.abc import Callable

from doce.clock import Clock
from doce.errors import BadRequest
from doce.llm.catalog import OPENAI, OPENROUTER, REHEARSAL_MODEL, Catalog
from doce.settings import Settings

REHEARSED = "Model: the rehearsal. It is a script, no AI: it edits the site for real, with no key and no network."
#: Of a provider with many models, the first that is listed here.
PREFERRED = ("anthropic/claude-sonnet", "openai/gpt-5", "google/gemini", "qwen/qwen3-coder")


def choose(settings: Settings, clock: Clock, wanted: str | None, note: Callable[[str], None]) -> str:
    """The model of this run: the one asked for, else of the provider that is configured, else the rehearsal; `note` is told which.

    Raises BadRequest for a real model when nothing isolates the agent and nobody said that this is wanted.
    """
    catalog = Catalog(settings, clock)
    said = wanted or (settings.model if "model" in settings.model_fields_set else None)
    configured = next((name for name in (OPENAI, OPENROUTER) if name in catalog.providers()), None)
    if said is None and configured and settings.runtime is None:
        note(
            "A provider is configured, but here an agent would run on this machine without isolation: "
            "DOCE_RUNTIME=process allows that, --docker isolates it."
        )
        configured = None
    if said is None and configured is None:
        said = REHEARSAL_MODEL.id
    model = catalog.check(said) if said else catalog.check(_first(catalog, str(configured)))
    if model.provider == REHEARSAL_MODEL.provider:
        note(REHEARSED)
    elif settings.runtime is None:
        raise BadRequest(
            f"{model.id} is a real model, and its agent would run on this machine without isolation.",
            hint="Use --docker, or set DOCE_RUNTIME=process if that is what you want.",
        )
    elif settings.runtime == "docker":
        note(f"Model: {model.id}.")
    else:
        note(f"Model: {model.id}. Its agent runs on this machine without isolation, as DOCE_RUNTIME=process says.")
    return model.id


def _first(catalog: Catalog, provider: str) -> str:
    """A model of `provider` when nobody names one."""
    listed = [model.id for model in catalog.models() if model.provider == provider]
    for name in PREFERRED:
        found = next((model for model in listed if model.startswith(f"{provider}/{name}")), None)
        if found:
            return found
    if not listed:
        raise BadRequest(f"The models of {provider} cannot be listed.", hint="Name one: `--model provider/model`, or set DOCE_MODEL.")
    return listed[0]
