from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from doce.actions.catalog import actions
from doce.actions.registry import Action, Done, Input, action, understand
from doce.actions.words import find_verb, help_text, usage, verbs
from doce.errors import BadRequest

ALL = pytest.mark.parametrize("one", actions().values(), ids=lambda one: one.name)


@ALL
def test_every_declaration_is_whole(one: Action) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-zA-Z]+", one.name)
    assert one.summary[0].isupper()
    assert one.summary.endswith((".", "; the first answer wins."))
    assert one.path.startswith("/api/")
    assert issubclass(one.input, Input)
    assert issubclass(one.output, BaseModel)
    assert one.status in (200, 201, 202)
    assert one.method != "GET" or one.status == 200
    assert one.about_project == ("project" in one.placeholders)
    assert set(one.placeholders) <= set(one.input.model_fields)
    for name, info in one.input.model_fields.items():
        assert info.description, f"{one.name}: {name} is not described"
    for name in one.placeholders:
        assert one.input.model_fields[name].is_required()
    assert all(find_verb(example.split()[0]) is one for example in one.examples)


@ALL
def test_an_unknown_field_names_the_known_ones(one: Action) -> None:
    values = {name: "1" for name, info in one.input.model_fields.items() if info.is_required()}
    with pytest.raises(BadRequest) as caught:
        understand(one, {**values, "reply": values.get("reply") and "once", "bogus": 1} if "reply" in values else {**values, "bogus": 1})
    assert "'bogus'" in caught.value.message
    assert caught.value.details == {"field": "bogus"}


def test_addresses_names_and_words_are_unique() -> None:
    everything = list(actions().values())
    assert len({(one.method, one.path) for one in everything}) == len(everything)
    words = [word for one in everything for word in one.words]
    assert len(words) == len(set(words))
    assert verbs().keys() == set(words)
    assert "help" not in words


@ALL
def test_help_tells_everything_about_a_command(one: Action) -> None:
    if not one.words:
        return
    text = help_text(one.words[0])
    assert text.startswith(f"{usage(one)}: {one.summary}")
    for info in one.input.model_fields.values():
        assert info.description
        assert info.description in text
    assert usage(one) in help_text()


def test_a_wrong_declaration_does_not_start() -> None:
    def run(call: object, given: object) -> Done:
        """Do nothing."""
        return Done(message="")

    with pytest.raises(RuntimeError, match="declared twice"):
        action("health.get", input=Input, output=Done, role="member", method="GET", path="/api/x")(run)
    with pytest.raises(RuntimeError, match="bogus"):
        action("x.y", input=Input, output=Done, role="member", method="GET", path="/api/{bogus}")(run)
    assert "x.y" not in actions()


def test_what_does_not_fit_is_named() -> None:
    create = actions()["projects.create"]
    with pytest.raises(BadRequest, match="'prompt' is missing"):
        understand(create, {})
    with pytest.raises(BadRequest, match=r"'attachments\.0\.name'"):
        understand(create, {"prompt": "a", "attachments": [{"name": 1, "mime": "a", "data": ""}]})
