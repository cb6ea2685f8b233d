"""Short questions that doce itself asks a model."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx

from doce.llm import rehearsal
from doce.llm.catalog import REHEARSAL, Catalog, headers
from doce.llm.usage import Meter, UsageCounter

logger = logging.getLogger(__name__)

NAMING_S = 10.0
_ASK = "Name this project: answer with two to four words for a website, in the language of the request. No quotes, no full stop."
MAX_NAME = 60


class Namer:
    """Names projects with the model they use."""

    def __init__(self, catalog: Catalog, usage: UsageCounter) -> None:
        self._catalog = catalog
        self._usage = usage

    def name_project(self, project_id: str, prompt: str, model_id: str) -> str | None:
        """2-4 words within 10 s; None when the model has no usable answer, whatever the reason."""
        request = {
            "messages": [{"role": "system", "content": _ASK}, {"role": "user", "content": prompt[:4000]}],
            "max_tokens": 30,
            "stream": False,
        }
        try:
            answer = self._ask(model_id, request)
            meter = Meter(request)
            meter.whole(answer)
            self._usage.count(project_id, model_id, meter.counted(), "naming")
            return usable_name(str(answer["choices"][0]["message"]["content"]))
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            logger.info("the model found no name", extra={"project_id": project_id, "cause": type(error).__name__})
            return None

    def _ask(self, model_id: str, request: dict[str, Any]) -> dict[str, Any]:
        provider_name, _, model = model_id.partition("/")
        if provider_name == REHEARSAL:
            return dict(rehearsal.complete({**request, "model": model_id}))
        provider = self._catalog.providers()[provider_name]
        answer = httpx.post(
            f"{provider.base_url}/chat/completions", json={**request, "model": model}, headers=headers(provider), timeout=NAMING_S
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def usable_name(said: str) -> str | None:
    """`said` as a name, if it is one: one to six words on one line, without markup."""
    cleaned = re.sub(r"[\"'`*_#<>]", "", said.strip().splitlines()[0] if said.strip() else "").strip(" .:-")
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in cleaned).split())
    return cleaned if cleaned and len(cleaned.split()) <= 6 and len(cleaned) <= MAX_NAME else None
