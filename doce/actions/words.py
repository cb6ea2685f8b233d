"""The chat grammar: words → action. One grammar for Slack, `POST /api/words` and everything else people type into.

``verb arguments --flag value``: the verb by name, unique prefix or near miss, or two words for what has none of its own
(``jobs cancel 12``); free text of three words or more is a new project; a project that is left out is the latest one.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from doce.actions import render
from doce.actions.registry import ACTIONS, Action, Call, Input, action, find_project, perform, understand
from doce.errors import BadRequest, Conflict, NotFound
from doce.projects.views import ProjectView, View

_SMART = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " "})
#: A dash that a phone made of two hyphens: only in front of a flag's name.
_DASHES = re.compile(r"(?<!\S)[—–](?=[a-z])")
_FLAG = re.compile(r"(?<!\S)--?([a-z][a-z-]*)(?:=(\"[^\"]*\"|\S+)|\s+(\"[^\"]*\"|(?!-)\S+))?")
#: Not for typing into a chat: a token's secret is for nobody else, all projects are too many for one line, and answers to
#: questions are lists.
NOT_TYPED = ("tokens.create", "projects.deleteAll", "questions.answer", "health.get", "providers.set", "workspaces.remove")
_CAPITAL = re.compile(r"[A-Z]")
MIN_FREE_WORDS = 3
#: In a whole sentence fewer letters are an article, not the beginning of a command: "a site for cats".
MIN_PREFIX = 3


@dataclass(frozen=True)
class Parsed:
    """What was meant. `said` tells what was filled in: a project that was left out."""

    action: Action
    input: Input
    said: str = ""


def verbs() -> dict[str, Action]:
    """Every word that names an action."""
    return {word: one for one in ACTIONS.values() for word in one.words}


def find_verb(word: str) -> Action | None:
    """The action of `word`: exact, else a prefix of one action only."""
    known = verbs()
    if word in known:
        return known[word]
    meant = {one.name: one for verb, one in known.items() if verb.startswith(word)} if word else {}
    return next(iter(meant.values())) if len(meant) == 1 else None


def pairs() -> dict[str, Action]:
    """Two words for each action that has none of its own, as on the command line: ``jobs cancel``, with what it must know."""
    found = {}
    for one in ACTIONS.values():
        fields = one.input.model_fields
        if not one.words and not one.about_file and one.name not in NOT_TYPED:
            noun, _, verb = one.name.partition(".")
            words = f"{noun} {_CAPITAL.sub(lambda letter: f'-{letter[0].lower()}', verb)}"
            must = [name for name, info in fields.items() if info.is_required() and name not in one.placeholders]
            found[words] = replace(one, words=(words,), positional=(*one.placeholders, *must))
    return found


def near(word: str) -> list[str]:
    """Verbs that `word` may have been meant as."""
    return difflib.get_close_matches(word, verbs(), n=3, cutoff=0.75)


def parse(text: str, call: Call, *, here: str | None = None) -> Parsed:
    """What `text` asks for. `here` is the project of the place it was said in. Raises BadRequest with what to type instead."""
    text = _DASHES.sub("--", text.strip()).translate(_SMART)
    text = re.sub(r"^/doce\b", "", text).strip()
    first, rest = first_word(text)
    verb = first.lower().lstrip("!")
    second, after = first_word(rest)
    if (pair := pairs().get(f"{verb} {second.lower()}")) is not None:
        return _parsed(pair, after, call, here)
    sentence = len(text.split()) >= MIN_FREE_WORDS
    chosen = find_verb(verb) if verb in verbs() or len(verb) >= MIN_PREFIX or not sentence else None
    if chosen is None:
        meant = near(verb) or difflib.get_close_matches(f"{verb} {second.lower()}", pairs(), n=3, cutoff=0.8)
        if sentence and (len(verb) < MIN_PREFIX or not meant):
            return Parsed(ACTIONS["projects.create"], understand(ACTIONS["projects.create"], {"prompt": text}))
        hint = f"Did you mean {', '.join(meant)}?" if meant else "`help` lists what doce can do; three words or more make a new site."
        if meant and sentence:
            hint += f" `new {' '.join(text.split()[:3])} …` makes a site."
        raise BadRequest(f"I don't know {first!r}.", hint=hint, details={"word": first, "meant": meant})
    return _parsed(chosen, rest, call, here)


def _parsed(chosen: Action, rest: str, call: Call, here: str | None) -> Parsed:
    values, plain = _flags(rest.strip(), chosen)
    said = _positional(chosen, plain, values, call, here)
    return Parsed(chosen, understand(chosen, values), said)


def _flags(text: str, chosen: Action) -> tuple[dict[str, Any], str]:
    """``--name value`` and ``--name=value`` of known fields, taken out of the text; other dashes are somebody's prose."""
    fields = chosen.input.model_fields
    values: dict[str, Any] = {}

    def take(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        name = {"n": "limit"}.get(name, name)
        value = found[2] or found[3]
        if name not in fields or name in chosen.positional:
            return found[0]
        if value is None:
            raise BadRequest(f"--{found[1]} needs a value.", hint=fields[name].description)
        values[name] = value.strip('"')
        return ""

    return values, _FLAG.sub(take, text).strip()


def _positional(chosen: Action, plain: str, values: dict[str, Any], call: Call, here: str | None) -> str:
    """Give the plain words to the fields, in order; the last takes the rest. Returns what was filled in."""
    names = list(chosen.positional)
    said = ""
    if names and names[0] == "project":
        project, plain, said = _project(chosen, plain, call, here)
        values["project"] = project
        names.pop(0)
    for place, name in enumerate(names):
        if place == len(names) - 1:
            values[name] = _unquoted(plain)
            plain = ""
        else:
            values[name], plain = first_word(plain)
        if not values[name] and not chosen.input.model_fields[name].is_required():
            values.pop(name)
    if plain.strip():
        raise BadRequest(f"{chosen.words[0]} does not take {plain.strip()!r}.", hint=usage(chosen))
    return said


def _project(chosen: Action, plain: str, call: Call, here: str | None) -> tuple[str, str, str]:
    """The project: its first word if that is one, else the place's, else the latest."""
    word, rest = first_word(plain)
    takes_more = len(chosen.positional) > 1
    if word:
        try:
            found = find_project(call.services, call.user, word)
            if not takes_more or _named(found, word):
                return found.id, rest, ""
        except (NotFound, Conflict) as error:
            # "make it dark": the first word of what is said, whatever projects begin like that. What changes something else than
            # the conversation is not done to the latest project when several others may be meant.
            if not takes_more or (isinstance(error, Conflict) and not here and chosen.name != "prompts.add"):
                raise
    if here:
        return here, plain, ""
    latest = call.services.projects.latest(call.user.id)
    return latest.id, plain, f"(on {latest.slug}, your latest project)"


def _named(found: ProjectView, word: str) -> bool:
    """`word` is the project's id, its name in addresses, or whole words from the beginning of that."""
    slug = word.strip().lower().rstrip("/").rpartition("/")[2]
    return slug in (found.id, found.slug, found.name.lower()) or found.slug.startswith(f"{slug}-")


def first_word(text: str) -> tuple[str, str]:
    """The first word, and what follows: also on another line."""
    word, *rest = text.split(None, 1) or [""]
    return word, rest[0].strip() if rest else ""


def _unquoted(text: str) -> str:
    try:
        parts = shlex.split(text) if text[:1] == '"' else []
    except ValueError:
        parts = []
    return parts[0] if len(parts) == 1 else text


def usage(chosen: Action) -> str:
    """``chat PROJECT TEXT [--model …]``"""
    words = [chosen.words[0], *(name.upper() for name in chosen.positional)]
    flags = [name for name in chosen.input.model_fields if name not in chosen.positional and name != "attachments"]
    return " ".join([*words, *(f"[--{name.replace('_', '-')} …]" for name in flags)])


def help_text(topic: str = "") -> str:
    """What doce understands, or one command of it."""
    if topic and (chosen := pairs().get(" ".join(topic.lower().split())) or find_verb(topic.lower())):
        fields = [f"  --{name.replace('_', '-')}: {info.description}" for name, info in chosen.input.model_fields.items()]
        examples = [f"  e.g. {example}" for example in chosen.examples]
        return "\n".join([f"{usage(chosen)}: {chosen.summary}", *fields, *examples])
    listed = [f"{usage(one)}: {one.summary}" for one in ACTIONS.values() if one.words]
    ends = ("help [COMMAND]: this list, or more about one.", "Three words or more without a command make a new site.")
    return "\n".join([*listed, f"Also: {', '.join(pairs())}.", *ends])


class Words(Input):
    text: str = Field(max_length=33_000, description="What was typed.")
    project: str | None = Field(None, description="The project of the place it was typed in.")


class Said(View):
    """What came of it."""

    #: name of the action that was done
    action: str
    #: the answer in words, Markdown
    text: str
    #: the action's own answer
    data: Any = None


@action("words.say", input=Words, output=Said, role="member", method="POST", path="/api/words", words=("say",), positional=("text",))
def say(call: Call, given: Words) -> Said:
    """Do what a line of chat asks for."""
    text = re.sub(r"^/doce\b", "", given.text.strip()).strip()
    first, rest = first_word(text)
    if first.lower() in ("", "help"):
        return Said(action="help", text=help_text(rest.strip()))
    here = find_project(call.services, call.user, given.project).id if given.project else None
    parsed = parse(text, call, here=here)
    if parsed.action.name == "words.say":
        raise BadRequest("Say what you want without `say`.")
    if parsed.action.danger:
        slug = find_project(call.services, call.user, getattr(parsed.input, "project", "")).slug
        if slug not in rest.lower().split():
            raise BadRequest(f"{first} needs the whole name, since it cannot be undone.", hint=f"Write: {first} {slug}")
    answer = perform(parsed.action, call.services, call.user, parsed.input, request_id=call.request_id)
    shown = render.plain(parsed.action.name, answer)
    return Said(action=parsed.action.name, text=f"{shown} {parsed.said}".strip(), data=answer.model_dump(mode="json", by_alias=True))
