"""Follow-ups: what to change in the page that is there. Every edit names text that was read, so it matches exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from doce.llm.rehearsal.design import HUES, Section, scheme_of, section_for
from doce.llm.rehearsal.pages import HUE_LINE, SCHEME_LINE, SIZE_LINE, braces, section_lines
from doce.naming import meaningful


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `old`, which stands there once, by `new` in ``page`` or ``styles``; `told` says it to the person."""

    where: str
    old: str
    new: str
    told: str


_ADD = re.compile(r"\b(?:add|include|insert|put in|append)\s+(?:an?\s+|the\s+|some\s+|another\s+)?(.+)", re.IGNORECASE | re.DOTALL)
_REMOVE = re.compile(r"\b(?:remove|delete|drop|take out|get rid of)\s+(?:the\s+)?(.+?)(?:\s+section|\s+part)?\s*[.!]?\s*$", re.IGNORECASE)
_TITLE = re.compile(
    r"\b(?:title|headline|heading|name)\b.*?\b(?:to|into|should be|is)\s+[\"“']?([^\"”'\n]{1,80}?)[\"”'.]?\s*$", re.IGNORECASE
)
_QUIET = frozenset("make change section page site website please list form block text color colour".split())


def edits(request: str, page: str, styles: str, *, astro: bool = False) -> list[Edit]:
    """What `request` changes. Never empty for a page with a place to add to: what is not understood becomes a section."""
    found = [*_styling(request, styles), *_title(request, page, astro), *_removal(request, page)]
    if not found or _ADD.search(request):
        added = _addition(request, page, styles, astro, alone=not found)
        found += [edit for edit in added if edit is not None]
    return found


def _styling(request: str, styles: str) -> Iterator[Edit]:
    scheme = scheme_of(request)
    if scheme and (line := _line(styles, SCHEME_LINE)):
        yield from _swap(line, SCHEME_LINE.format(scheme), f"it is {scheme} now, whatever the device prefers")
    if not _ADD.search(request):
        for word in re.findall(r"\w+", request.lower()):
            if word in HUES and (line := _line(styles, HUE_LINE)):
                yield from _swap(line, HUE_LINE.format(HUES[word]), f"the colours turn to {word}")
                break
    size = 112 if re.search(r"\b(bigger|larger) (text|font|letters|type)\b|\b(text|font)\b.*\b(bigger|larger)\b", request, re.I) else None
    size = 92 if re.search(r"\bsmaller (text|font|letters|type)\b|\b(text|font)\b.*\bsmaller\b", request, re.I) else size
    if size and (line := _line(styles, SIZE_LINE)):
        yield from _swap(line, SIZE_LINE.format(size), f"the text has {size} % of its size")


def _line(styles: str, form: str) -> str | None:
    """The line of the stylesheet that has this form."""
    before, _, after = form.partition("{}")
    return next((line for line in styles.splitlines() if line.startswith(before) and line.endswith(after)), None)


def _swap(old: str, new: str, told: str) -> Iterator[Edit]:
    if old != new:
        yield Edit("styles", old, new, told)


def _title(request: str, page: str, astro: bool) -> Iterator[Edit]:
    wanted = _TITLE.search(request)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
    if not wanted or not heading:
        return
    text = escape(wanted[1].strip())
    text = braces(text) if astro else text
    opening = heading[0][: heading[0].index(">") + 1]
    yield Edit("page", heading[0], f"{opening}{text}</h1>", f"the headline says “{wanted[1].strip()}”")
    title = re.search(r"<title>.*?</title>", page, re.DOTALL)
    if title:
        yield Edit("page", title[0], f"<title>{text}</title>", "the title of the window too")


def _removal(request: str, page: str) -> Iterator[Edit]:
    wanted = _REMOVE.search(request)
    if not wanted:
        return
    words = {word.lower() for word in meaningful(wanted[1], 6)} - _QUIET
    for block in re.finditer(r"[ \t]*<section\b.*?</section>\n?", page, re.DOTALL):
        head = re.search(r"<h2[^>]*>(.*?)</h2>", block[0], re.DOTALL)
        name = (head[1] if head else block[0][:80]).lower()
        if any(word.rstrip("s") in name for word in words):
            yield Edit("page", block[0], "", f"the part “{head[1] if head else wanted[1]}” is gone")
            identity = re.search(r'id="([^"]+)"', block[0])
            link = re.search(rf'[ \t]*<a href="#{re.escape(identity[1])}">[^\n]*</a>\n', page) if identity else None
            if link:
                yield Edit("page", link[0], "", "and its link")
            return


def _addition(request: str, page: str, styles: str, astro: bool, *, alone: bool) -> Iterator[Edit | None]:
    """A section before the end of the page, and its link."""
    asked = _ADD.search(request)
    if not asked and not alone:
        return
    subject = asked[1] if asked else request
    words = tuple(word for word in meaningful(subject, 6) if word.lower() not in _QUIET) or tuple(meaningful(request, 4)) or ("More",)
    section = _unused(section_for(subject, words), page)
    lines = section_lines(section, words, sum(map(ord, request)) * 7919)
    text = "\n".join(braces(line) for line in lines) if astro else "\n".join(lines)
    for end in ("</main>", "</body>", "</Base>", "</html>"):
        if page.count(end) == 1:
            yield Edit("page", end, f"{text}\n{end}", f"there is a new part, “{section.title}”")
            break
    else:
        yield None
        return
    if page.count("    </nav>") == 1:
        link = f'      <a href="#{section.id}">{escape(section.title)}</a>'
        yield Edit("page", "    </nav>", f"{braces(link) if astro else link}\n    </nav>", "with a link to it")


def _unused(section: Section, page: str) -> Section:
    """The same section under a title whose id the page does not have yet."""
    number, candidate = 1, section
    while f'id="{candidate.id}"' in page:
        number += 1
        candidate = Section(section.kind, f"{section.title} {number}", section.about)
    return candidate
