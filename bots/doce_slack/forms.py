"""The dialogs, as Slack takes them, and what was filled in. Pure; `modals` opens them and does what they ask.

What a dialog is about stands in its `private_metadata`: ids only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionRequested
from doce.logger import mask
from doce.naming import MAX_NAME
from doce.productions.releases import ReleaseView
from doce.projects.views import ProjectView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.text import ago, cut, escaped, line

#: Most options of radio buttons and of a list.
FEW, MANY = 10, 100
#: Values of options that are no project or place of their own.
NEW, HERE, DIRECT = "new", "here", "direct"


@dataclass(frozen=True)
class About:
    """What a dialog is about: ids. `root` is the thread it was opened in, `about` a prompt, a request or a message."""

    channel: str = ""
    root: str | None = None
    project: str = ""
    about: str = ""
    user: str = ""
    files: tuple[str, ...] = ()

    def packed(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value}, separators=(",", ":"))

    @classmethod
    def of(cls, view: dict[str, Any]) -> About:
        try:
            found = json.loads(view.get("private_metadata") or "{}")
            return cls(**{**found, "files": tuple(found.get("files", ()))})
        except (ValueError, TypeError):
            return cls()


@dataclass(frozen=True)
class Choices:
    """Values with their words, for a list; `default` is chosen at first."""

    options: Sequence[tuple[str, str]]
    default: str = ""
    about: dict[str, str] = field(default_factory=dict)

    def blocks(self) -> list[Block]:
        return [blocks.option(words, value, self.about.get(value, "")) for value, words in self.options if len(value) <= 150]

    def initial(self) -> Block | None:
        return next((one for one in self.blocks()[:MANY] if one["value"] == self.default), None)


def modal(name: str, title: str, submit: str | None, about: About, body: Sequence[Block]) -> dict[str, Any]:
    """A dialog; its callback is called `doce:name`."""
    view: dict[str, Any] = {
        "type": "modal", "callback_id": f"doce:{name}", "title": blocks.plain(title, 24), "close": blocks.plain("Cancel", 24),
        "private_metadata": about.packed(), "blocks": list(body)[:100],
    }  # fmt: skip
    if submit:
        view["submit"] = blocks.plain(submit, 24)
    else:
        view["close"] = blocks.plain("Close", 24)
    return view


def listed(action: str, placeholder: str, choices: Choices) -> Block:
    """A list to choose from; one of more than Slack shows is searched."""
    if len(choices.options) > MANY:
        chosen = next((one for one in choices.blocks() if one["value"] == choices.default), None)
        return blocks.searched(action, placeholder, chosen)
    return blocks.select(action, placeholder, choices.blocks(), choices.initial())


# What stands in a dialog


def create(about: About, templates: Choices, models: Choices, *, name: str = "", prompt: str = "") -> dict[str, Any]:
    """A new site. In a channel it may be told there or directly; else a channel can be chosen."""
    body = [
        blocks.field(
            "prompt", "What should it be?",
            blocks.text_input("A portfolio for a ceramicist, warm colours, a page for each work", initial=prompt, multiline=True),
        ),
        blocks.field("name", "Name", blocks.text_input("Found by itself", initial=name, most=MAX_NAME), optional=True),
        blocks.field("template", "Start from", listed("template", "Template", templates), optional=True),
        blocks.field("model", "Model", listed("model", "Model", models), optional=True),
    ]  # fmt: skip
    if about.channel:
        # A direct message may be one of two people, where doce is not.
        here, chosen = ("Here", DIRECT) if about.channel.startswith("D") else ("In this channel", HERE)
        places = Choices([(HERE, here), (DIRECT, "In a direct message with me")], chosen)
        body.append(blocks.field("where", "Where do we talk about it?", blocks.choice("radio_buttons", places.blocks(), places.initial())))
    else:
        picker = blocks.conversations("A direct message with me")
        body.append(
            blocks.field("place", "Channel", picker, optional=True, hint="Where its thread begins. Left empty: a direct message with me.")
        )
    body.append(blocks.context("To send files along, mention me in a message that has them."))
    return modal("create", "New site", "Make it", about, body)


def answer(about: About, request: QuestionRequested) -> dict[str, Any]:
    """All questions of a request, with their options and room for own words."""
    body: list[Block] = []
    for number, question in enumerate(request.questions[:20]):
        if question.header and question.header != question.question:
            body.append(blocks.section(f"*{escaped(line(question.header, 150))}*"))
        if question.options:
            body.append(blocks.field(f"q{number}", cut(question.question, 1900), _options(question), optional=question.custom))
        if question.custom or not question.options:
            words = blocks.text_input(multiline=True, most=2000)
            if question.options:
                hint = "One more answer beside those chosen above." if question.multiple else "In place of a choice above."
                body.append(blocks.field(f"o{number}", "In your own words", words, optional=True, hint=hint))
            else:
                body.append(blocks.field(f"o{number}", cut(question.question, 1900), words))
    return modal("answer", "Answer", "Send", about, body)


def _options(question: QuestionItem) -> Block:
    offered = [blocks.option(one.label, str(number), one.description) for number, one in enumerate(question.options)]
    if len(offered) <= FEW:
        return blocks.choice("checkboxes" if question.multiple else "radio_buttons", offered)
    if question.multiple:
        return blocks.multi_select("Choose", offered)
    return blocks.select("choice", "Choose", offered)


def deny(about: About, request: PermissionRequested) -> dict[str, Any]:
    what = escaped(mask(cut(request.title or ", ".join(request.patterns), 1000)))
    body = [
        blocks.section(f"doce wants to use *{escaped(request.permission)}*:\n```{what}```"),
        blocks.field("text", "What should it do instead?", blocks.text_input("Use the library that is there", multiline=True, most=2000)),
    ]
    return modal("deny", "Deny and say why", "Deny", about, body)


def rollback(
    about: About, project: ProjectView, releases: Sequence[ReleaseView], *, live: bool, now: int, chosen: str = ""
) -> dict[str, Any]:
    """The last versions, the live one marked. `chosen`: ``v3``, else the one before the live one."""
    kept = [one for one in releases if not one.pruned][:FEW]
    offered = [
        (f"v{one.version}", f"v{one.version}{' · live' if one.current and live else ''}")
        for one in kept
    ]  # fmt: skip
    facts = {f"v{one.version}": f"{ago(now - one.created_at)} · {_count(one.files, 'file')}" for one in kept}
    before = next((f"v{one.version}" for one in kept if not (one.current and live)), "")
    choices = Choices(offered, chosen or before, facts)
    body = [
        blocks.section(f"Which version of *{escaped(project.name)}* should be online? Its files in the editor stay as they are."),
        blocks.field("version", "Version", blocks.choice("radio_buttons", choices.blocks(), choices.initial())),
    ]
    return modal("rollback", "Roll back", "Put it online", about, body)


def rename(about: About, project: ProjectView) -> dict[str, Any]:
    element = blocks.text_input(initial=project.name, most=MAX_NAME)
    return modal("rename", "Rename", "Rename", about, [blocks.field("name", "New name", element, hint="Its addresses stay.")])


def model(about: About, project: ProjectView, models: Choices) -> dict[str, Any]:
    element = listed("model", "Model", models)
    hint = "Used from the next message on."
    return modal("model", "Model", "Use it", about, [blocks.field("model", f"Model of {project.name}", element, hint=hint)])


def delete(about: About, project: ProjectView) -> dict[str, Any]:
    body = [
        blocks.section(
            f":warning: *{escaped(project.name)}* is deleted with its files, its versions and its address. This cannot be undone."
        ),
        blocks.field("name", f"Type {project.slug} to delete it", blocks.text_input(project.slug, most=200)),
    ]
    return modal("delete", "Delete a site", "Delete for ever", about, body)


def send(about: About, projects: Choices, *, author: str, text: str) -> dict[str, Any]:
    """Somebody's message, handed to doce with an instruction."""
    body = [
        blocks.field("project", "For", blocks.select("project", "Project", projects.blocks(), projects.initial())),
        blocks.field("prompt", "What should doce do with it?", blocks.text_input("Build what is described here", multiline=True)),
        blocks.field("quoted", f"The message of {author}", blocks.text_input(initial=text, multiline=True), optional=True,
                     hint="It comes along, marked as a quotation: doce follows only what you write above."),
    ]  # fmt: skip
    if about.files:
        body.append(blocks.context(f"With {_count(len(about.files), 'file')}."))
    return modal("send", "Send to doce", "Send", about, body)


def _count(count: int, word: str) -> str:
    return f"{count} {word if count == 1 else f'{word}s'}"


# What was filled in


def filled(view: dict[str, Any]) -> dict[str, Any]:
    """Field → what stands in it: text, the value of an option, or a list of those; empty ones are left out."""
    found: dict[str, Any] = {}
    for name, elements in ((view.get("state") or {}).get("values") or {}).items():
        for state in elements.values():
            value = _value(state)
            if value:
                found[name] = value
    return found


def _value(state: dict[str, Any]) -> Any:
    if isinstance(chosen := state.get("selected_option"), dict):
        return chosen.get("value")
    if isinstance(several := state.get("selected_options"), list):
        return [one.get("value") for one in several]
    return (state.get("value") or "").strip() or state.get("selected_conversation") or state.get("selected_channel")


def answers(request: QuestionRequested, given: dict[str, Any]) -> tuple[list[list[str]], dict[str, str]]:
    """(the answer to each question, what is missing by field). Own words are one more answer, or the only one of a single choice."""
    found: list[list[str]] = []
    wrong: dict[str, str] = {}
    for number, question in enumerate(request.questions[:20]):
        chosen = given.get(f"q{number}", [])
        numbers = [chosen] if isinstance(chosen, str) else chosen
        labels = [question.options[int(one)].label for one in numbers if one.isdigit() and int(one) < len(question.options)]
        own = given.get(f"o{number}", "")
        if own:
            labels = [*labels, own] if question.multiple else [own]
        if not labels:
            wrong[f"q{number}" if question.options else f"o{number}"] = "Choose something, or write your own answer."
        found.append(labels)
    return found, wrong


def inputs(view: dict[str, Any]) -> list[str]:
    """The names of a dialog's fields."""
    return [str(block["block_id"]) for block in view.get("blocks", []) if block.get("type") == "input"]
