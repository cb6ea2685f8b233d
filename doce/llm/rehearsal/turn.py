"""A turn, step by step: look at what is there, write or edit it, check it, say what was done."""

from __future__ import annotations

from dataclasses import dataclass

from doce.llm.rehearsal.conversation import Conversation
from doce.llm.rehearsal.design import Design, design
from doce.llm.rehearsal.edits import Edit, edits
from doce.llm.rehearsal.pages import astro_page, html_page, styles
from doce.llm.rehearsal.pieces import Step, ToolCall

LABEL = "I am doce's rehearsal model: scripted, no real AI."
#: In every page of ours; a page without it is somebody's.
MARK = "rehears"
STARTER_MARKS = ("doce:starter", "data-starter", "being made here", "is being made")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the files of a site are."""

    page: str
    styles: str
    astro: bool = False


STATIC = Site("public/index.html", "public/styles.css")
ASTRO = Site("src/pages/index.astro", "src/styles/global.css", astro=True)
PLAIN = Site("index.html", "styles.css")


def next_step(talk: Conversation, prompt: str) -> Step:
    """What comes after what was done."""
    if not talk.root or not {"read", "write", "edit"} <= talk.tools:
        return Step(f"{LABEL} I have no tools here, so I can only talk. You said: {prompt[:500]}")
    if talk.rounds == 0:
        return _look(talk, prompt)
    site = _site(talk)
    if talk.rounds == 1:
        return _read(talk, site)
    page, sheet = talk.file(site.page), talk.file(site.styles)
    if page is not None and not _is_starter(page) and (talk.earlier or MARK in page or len(page) > 200):
        return _change(talk, site, prompt, page, sheet or "")
    # A first turn that never came to write anything: what was asked then still counts.
    return _build(talk, site, design(" ".join([*talk.earlier[:1], prompt])))


def _is_starter(page: str) -> bool:
    """The template's own page, which waits to be replaced."""
    return MARK not in page and any(mark in page.lower() for mark in STARTER_MARKS)


def _look(talk: Conversation, prompt: str) -> Step:
    listing = ToolCall("read", {"filePath": talk.root})
    return Step(
        "Let me look at what is here.",
        reasoning=f"{LABEL} The request: {prompt[:200]}. First I look at the workspace, then I write, then I check.",
        calls=(listing,),
    )


def _site(talk: Conversation) -> Site:
    names = talk.listing()
    if any(name.startswith("astro.config") for name in names):
        return ASTRO
    return STATIC if "public" in names or not names else PLAIN


def _read(talk: Conversation, site: Site) -> Step:
    """The page, its styles, and a file that is usually not there: a tool that fails, which is no reason to stop."""
    paths = [site.page, site.styles, "BRAND.md"]
    return Step("", calls=tuple(ToolCall("read", {"filePath": f"{talk.root}/{path}"}) for path in paths))


def _build(talk: Conversation, site: Site, made: Design) -> Step:
    """A first page: plan, styles and page, a first edit that misses, one that fits, a look."""
    page = astro_page(made) if site.astro else html_page(made)
    tasks = [f"Plan {made.title}", "Write the styles", "Write the page", "Check the result"]
    match talk.rounds:
        case 2:
            note = "No brand notes, so colours and words come from the request. " if _missed(talk, "BRAND.md") else ""
            titles = ", ".join(section.title for section in made.sections)
            return Step(
                f"{note}I will make **{made.title}** with these parts: {titles}.\n\n",
                reasoning=f"Hue {made.hue}, scheme {made.scheme}. Sections: {titles}.",
                calls=(_todos(talk, tasks, 1), ToolCall("write", {"filePath": f"{talk.root}/{site.styles}", "content": styles(made)})),
            )
        case 3:
            return Step("", calls=(ToolCall("write", {"filePath": f"{talk.root}/{site.page}", "content": page}),))
        case 4:
            # A model often remembers a line a little wrong; the tool refuses, and the next step gets it right.
            return Step("The lead could be set in a calmer way.", calls=(_edit(talk, site.page, '<p class="lede">', '<p class="lead">'),))
        case 5:
            old = '<h2 id="'
            first = made.sections[0]
            line = f'{old}{first.id}-title">'
            return Step(
                "I had that line wrong; this one fits.", calls=(_edit(talk, site.page, line, f'<h2 id="{first.id}-title" tabindex="-1">'),)
            )
        case 6:
            calls = [_todos(talk, tasks, len(tasks)), *_check(talk, site)]
            return Step("", calls=tuple(calls))
        case _:
            return Step(_summary(made, site))


def _missed(talk: Conversation, path: str) -> bool:
    return any(call.failed for call in talk.done if call.path.endswith(path))


def _change(talk: Conversation, site: Site, prompt: str, page: str, sheet: str) -> Step:
    """A follow-up: the edits one after the other, then a look. An edit that does not fit is left out and said."""
    wanted = edits(prompt, page, sheet, astro=site.astro)
    tried = [call for call in talk.done if call.name == "edit"]
    if talk.rounds == 2 and wanted:
        told = "; ".join(edit.told for edit in wanted[:1])
        return Step(
            f"I know the page. The first change: {told}.", reasoning=f"{len(wanted)} edits.", calls=_next_edits(talk, site, wanted, 0)
        )
    if len(tried) < len(wanted):
        return Step("", calls=_next_edits(talk, site, wanted, len(tried)))
    if not any(call.name == "bash" for call in talk.done) and "bash" in talk.tools and wanted:
        return Step("", calls=_check(talk, site))
    return Step(_told(wanted, [call.failed for call in tried]))


def _next_edits(talk: Conversation, site: Site, wanted: list[Edit], start: int) -> tuple[ToolCall, ...]:
    """One edit a step: two of one file at once could meet."""
    edit = wanted[start]
    return (_edit(talk, site.page if edit.where == "page" else site.styles, edit.old, edit.new),)


def _told(wanted: list[Edit], failed: list[bool]) -> str:
    if not wanted:
        return f"{LABEL} I found no place in this page where I could make that change without breaking it, so I left it alone."
    done = [edit.told for edit, miss in zip(wanted, failed, strict=False) if not miss]
    missed = [edit.told for edit, miss in zip(wanted, failed, strict=False) if miss]
    text = f"Done: {'; '.join(done)}." if done else "Nothing was changed."
    if missed:
        text += f" This did not fit the page as it is, so I left it: {'; '.join(missed)}."
    return f"{text}\n\n{LABEL}"


def _summary(made: Design, site: Site) -> str:
    parts = "\n".join(f"- {section.title}" for section in made.sections)
    where = f"`{site.page}` and `{site.styles}`"
    return f"**{made.title}** is there, in {where}:\n\n{parts}\n\nAsk for changes: colours, dark or light, new parts. {LABEL}"


def _check(talk: Conversation, site: Site) -> tuple[ToolCall, ...]:
    folder = site.page.rpartition("/")[0] or "."
    return (ToolCall("bash", {"command": f"ls -la {folder}", "description": "List the files"}),) if "bash" in talk.tools else ()


def _edit(talk: Conversation, path: str, old: str, new: str) -> ToolCall:
    return ToolCall("edit", {"filePath": f"{talk.root}/{path}", "oldString": old, "newString": new})


def _todos(talk: Conversation, tasks: list[str], done: int) -> ToolCall:
    def status(index: int) -> str:
        return "completed" if index < done else "in_progress" if index == done else "pending"

    if "todowrite" not in talk.tools:
        return ToolCall("read", {"filePath": talk.root})
    return ToolCall("todowrite", {"todos": [{"content": task, "status": status(i), "priority": "medium"} for i, task in enumerate(tasks)]})
