"""Lists and cards that only one person sees, and what they may have meant, as buttons. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from doce import addresses
from doce.errors import DoceError
from doce.productions.deployments import ProductionView
from doce.projects.views import ProjectView
from doce.settings import Settings
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.card import ICONS
from doce_slack.text import ago, escaped, line

#: Projects on a page.
PAGE = 10
WHICH = {"mine": "Your projects", "all": "All projects", "running": "Running now"}
NONE = {"mine": "You have no project yet.", "all": "There is no project yet.", "running": "Nothing is running."}
#: Most of a button's value (Slack takes 2,000), and of an option's.
VALUE, OPTION = 1900, 150


def listed(
    which: str, projects: Sequence[tuple[ProjectView, str]], following: str | None, *, first: bool, now: int
) -> tuple[str, list[Block]]:
    """A page of projects with their state. `which`: mine, all or running."""
    if not projects:
        text = f"{NONE[which]} `/doce new a portfolio for a ceramicist` makes one."
        return text, [blocks.section(text), *blocks.actions(blocks.button("New site", "new", style="primary"))]
    body: list[Block] = [blocks.section(f"*{WHICH[which]}*")]
    body += rows(projects, now)
    body += blocks.actions(
        blocks.button("First page", "page_first", f"{which}:") if not first else None,
        blocks.button("More", "page", f"{which}:{following}") if following else None,
    )
    return f"{WHICH[which]}: {', '.join(project.slug for project, _ in projects)}", body


def rows(projects: Iterable[tuple[ProjectView, str]], now: int) -> list[Block]:
    """Each with its state and a way to go on with it."""
    return [
        blocks.section(
            f"{ICONS[word]} *{escaped(project.name)}* · {word} · {ago(now - project.updated_at)}\n`{project.slug}`",
            blocks.button("Continue here", "continue", project.id),
        )
        for project, word in projects
    ]


def opened(settings: Settings, project: ProjectView, production: ProductionView, word: str, said: str = "") -> tuple[str, list[Block]]:
    """A project's links, and a way to go on with it."""
    body = [blocks.section(f"*{escaped(project.name)}*  ·  {ICONS[word]} {word}\n> {escaped(line(project.prompt, 200))}")]
    if project.error:
        body.append(blocks.section(f":warning: {escaped(' '.join(part for part in (project.error, project.error_hint) if part))}"))
    live = f"<{production.url}|live v{production.version}>" if production.url else "no deploy yet"
    body.append(blocks.context(" · ".join(part for part in (escaped(project.model), live, f"`{project.slug}`", escaped(said)) if part)))
    body += blocks.actions(
        blocks.button("Preview", "preview", url=project.preview_url) if project.preview_url else None,
        blocks.button("Live site", "visit", url=production.url) if production.url else None,
        blocks.button("Open in doce", "open", url=f"{addresses.doce_url(settings)}/projects/{project.slug}"),
        blocks.button("Continue here", "continue", project.id, style="primary"),
        blocks.button("Start", "start", project.id) if word == "stopped" else None,
    )
    return f"{project.name} is {word}.", body


def meant(error: DoceError, text: str) -> list[Block]:
    """What somebody may have meant by a command that did not work, to press."""
    details = error.details or {}
    word = str(details.get("word") or "")
    if projects := details.get("projects"):
        return _choices("Which one?", [(str(slug), _replaced(text, word, str(slug))) for slug in projects])
    if details.get("meant"):
        offered = [(f"/doce {_replaced(text, word, str(verb))}", _replaced(text, word, str(verb))) for verb in details["meant"]]
        return blocks.actions(
            *(blocks.button(words, f"run{number}", command[:VALUE]) for number, (words, command) in enumerate(offered[:3])),
            blocks.button("Help", "run_help", "help"),
        )
    if "word" in details and word:
        return blocks.actions(blocks.button(f"New site called {line(word, 40)}", "new", word[:60]))
    return []


def _choices(label: str, commands: Sequence[tuple[str, str]]) -> list[Block]:
    """A list where the commands fit into its options, else a button for each."""
    if all(len(command) <= OPTION for _, command in commands):
        return blocks.actions(blocks.select("run", label, [blocks.option(words, command) for words, command in commands]))
    return blocks.actions(*(blocks.button(words, f"run{number}", command[:VALUE]) for number, (words, command) in enumerate(commands[:5])))


def _replaced(text: str, word: str, by: str) -> str:
    return re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", lambda _: by, text, count=1)
