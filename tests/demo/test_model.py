"""Which model the demo uses, and what it says about it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from doce.clock import ManualClock
from doce.demo.model import REHEARSED, choose
from doce.errors import BadRequest
from doce.llm.catalog import Catalog, Model
from doce.settings import Settings, load

KEY = {"openrouter_key": SecretStr("sk-or-x")}


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a provider would list, without asking one."""

    def listed(self: Catalog, provider: Any) -> list[Model]:
        return [Model(f"{provider.name}/{name}", name, provider.name) for name in ("acme/tiny", "anthropic/claude-sonnet-9")]

    monkeypatch.setattr(Catalog, "_listed", listed)


def chosen(settings: Settings, wanted: str | None = None) -> tuple[str, list[str]]:
    notes: list[str] = []
    return choose(settings, ManualClock(), wanted, notes.append), notes


def test_with_nothing_configured_it_is_the_rehearsal_and_says_so() -> None:
    assert chosen(load({})) == ("rehearsal/site-builder", [REHEARSED])


def test_a_key_alone_does_not_let_a_real_model_run_here() -> None:
    model, notes = chosen(load({}, **KEY))
    assert model == "rehearsal/site-builder"
    assert "DOCE_RUNTIME=process" in notes[0]
    assert notes[1] == REHEARSED


def test_a_key_and_the_runtime_said_by_name() -> None:
    model, notes = chosen(load({}, **KEY, runtime="process"))
    assert model == "openrouter/anthropic/claude-sonnet-9"
    assert "without isolation" in notes[0]
    assert chosen(load({}, openai_base_url="http://x/v1", runtime="process"))[0] == "openai/anthropic/claude-sonnet-9"


def test_a_named_model_wins_and_needs_the_runtime_too() -> None:
    assert chosen(load({}, **KEY, runtime="process"), "openrouter/acme/tiny")[0] == "openrouter/acme/tiny"
    assert chosen(load({"DOCE_MODEL": "openrouter/acme/tiny"}, **KEY, runtime="process"))[0] == "openrouter/acme/tiny"
    assert chosen(load({}, **KEY, runtime="process"), "rehearsal/site-builder")[0] == "rehearsal/site-builder"
    with pytest.raises(BadRequest, match="without isolation"):
        chosen(load({}, **KEY), "openrouter/acme/tiny")


def test_an_unknown_model() -> None:
    with pytest.raises(BadRequest, match="There is no provider"):
        chosen(load({}), "nobody/nothing")
