"""Pages and styles out of a design. Lines stay short: the agent's read tool cuts long ones, and edits must match exactly."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from doce.llm.rehearsal.design import Design, Section
from doce.naming import capitalized

#: Lines of the stylesheet that follow-ups change.
SCHEME_LINE = "  color-scheme: {};"
HUE_LINE = "  --hue: {};"
SIZE_LINE = "  --size: {}%;"

STYLES = """\
/* Made by doce's rehearsal model (scripted, no real AI). */
:root {
@SCHEME@
@HUE@
@SIZE@
  --paper: light-dark(hsl(var(--hue) 45% 97%), hsl(var(--hue) 22% 9%));
  --panel: light-dark(hsl(var(--hue) 40% 100%), hsl(var(--hue) 20% 13%));
  --ink: light-dark(hsl(var(--hue) 35% 13%), hsl(var(--hue) 25% 94%));
  --soft: light-dark(hsl(var(--hue) 14% 36%), hsl(var(--hue) 12% 70%));
  --line: light-dark(hsl(var(--hue) 25% 86%), hsl(var(--hue) 15% 24%));
  --accent: light-dark(hsl(var(--hue) 62% 36%), hsl(var(--hue) 70% 70%));
}

*, *::before, *::after { box-sizing: border-box; }
html { font-size: var(--size); scroll-behavior: smooth; }
body {
  margin: 0;
  background: var(--paper);
  color: var(--ink);
  font: 1.0625rem/1.65 ui-sans-serif, system-ui, -apple-system, "Segoe UI", sans-serif;
}
h1, h2, h3 { font-family: ui-serif, Georgia, "Times New Roman", serif; line-height: 1.15; text-wrap: balance; }
h1 { font-size: clamp(2.4rem, 7vw, 4.6rem); margin: 0 0 1rem; letter-spacing: -0.02em; }
h2 { font-size: clamp(1.6rem, 3.4vw, 2.3rem); margin: 0 0 1.5rem; }
h3 { font-size: 1.15rem; margin: 0 0 0.35rem; }
p { margin: 0 0 1rem; max-width: 65ch; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; border-radius: 4px; }

.wrap { width: min(68rem, 100% - 2.5rem); margin-inline: auto; }
.top {
  position: sticky; top: 0; z-index: 1;
  background: color-mix(in srgb, var(--paper) 88%, transparent);
  backdrop-filter: blur(10px);
  border-bottom: 1px solid var(--line);
}
.top .wrap { display: flex; flex-wrap: wrap; gap: 0.4rem 1.5rem; align-items: baseline; padding-block: 0.9rem; }
.brand { font: 600 1.1rem ui-serif, Georgia, serif; color: var(--ink); text-decoration: none; margin-right: auto; }
nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; }
nav a { color: var(--soft); text-decoration: none; font-size: 0.95rem; }
nav a:hover { color: var(--accent); }

.hero { padding-block: clamp(3rem, 9vw, 7rem); }
.hero .wrap { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 3rem; align-items: center; }
.lead { font-size: 1.25rem; color: var(--soft); }
.art { width: 100%; height: auto; border-radius: 1.25rem; background: var(--panel); border: 1px solid var(--line); }
.button {
  display: inline-block; padding: 0.75rem 1.4rem; border-radius: 999px; border: 0; cursor: pointer;
  background: var(--accent); color: var(--paper); font: inherit; font-weight: 600; text-decoration: none;
}

section { padding-block: clamp(2.5rem, 6vw, 4.5rem); border-top: 1px solid var(--line); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: 1.25rem; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 1rem; padding: 1.3rem; }
.card p { color: var(--soft); margin: 0; }
.card .art { border-radius: 0.6rem; margin-bottom: 0.9rem; }
.rows { list-style: none; margin: 0; padding: 0; max-width: 44rem; }
.rows li { display: flex; justify-content: space-between; gap: 1.5rem; padding: 0.8rem 0; border-bottom: 1px dashed var(--line); }
.rows b { font-weight: 600; }
.rows span { color: var(--soft); text-align: right; }
blockquote { margin: 0; font: italic 1.15rem/1.5 ui-serif, Georgia, serif; }
details { border-bottom: 1px solid var(--line); padding: 0.9rem 0; max-width: 44rem; }
summary { cursor: pointer; font-weight: 600; }
form { display: grid; gap: 0.9rem; max-width: 30rem; }
label { display: grid; gap: 0.3rem; font-size: 0.95rem; color: var(--soft); }
input, textarea {
  font: inherit; color: inherit; padding: 0.7rem 0.9rem;
  background: var(--panel); border: 1px solid var(--line); border-radius: 0.6rem;
}
footer { padding-block: 2.5rem; color: var(--soft); border-top: 1px solid var(--line); font-size: 0.95rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
"""


def styles(design: Design) -> str:
    """The stylesheet."""
    lines = {
        "@SCHEME@": SCHEME_LINE.format(design.scheme),
        "@HUE@": HUE_LINE.format(design.hue),
        "@SIZE@": SIZE_LINE.format(100),
    }
    text = STYLES
    for mark, line in lines.items():
        text = text.replace(mark, line)
    return text


def html_page(design: Design) -> str:
    """A whole page for a site of plain files."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '  <meta charset="utf-8">',
            '  <meta name="viewport" content="width=device-width, initial-scale=1">',
            f"  <title>{escape(design.title)}</title>",
            f'  <meta name="description" content="{escape(design.tagline)}">',
            '  <meta name="generator" content="doce rehearsal (scripted, no real AI)">',
            '  <link rel="stylesheet" href="styles.css">',
            "</head>",
            "<body>",
            *body(design),
            "</body>",
            "</html>",
            "",
        ]
    )


def astro_page(design: Design) -> str:
    """The start page of an Astro site, in its Base layout."""
    lines = [braces(line) for line in body(design)]
    title, tagline = (braces(escape(text)) for text in (design.title, design.tagline))
    return "\n".join(
        [
            "---",
            'import Base from "../layouts/Base.astro";',
            "// Made by doce's rehearsal model (scripted, no real AI).",
            "---",
            f'<Base title="{_attribute(title)}" description="{_attribute(tagline)}">',
            *lines,
            "</Base>",
            "",
        ]
    )


def braces(text: str) -> str:
    """Astro reads an expression in braces: words of a person must not become one."""
    return text.replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


def _attribute(text: str) -> str:
    return text.replace("\n", " ")


def body(design: Design) -> list[str]:
    """Header, main and footer, a line each."""
    links = [f'      <a href="#{section.id}">{escape(section.title)}</a>' for section in design.sections]
    first = design.sections[0]
    lines = [
        '<header class="top">',
        '  <div class="wrap">',
        f'    <a class="brand" href="#top">{escape(design.title)}</a>',
        '    <nav aria-label="Sections">',
        *links,
        "    </nav>",
        "  </div>",
        "</header>",
        '<main id="top">',
        '  <div class="hero">',
        '    <div class="wrap">',
        "      <div>",
        f"        <h1>{escape(design.title)}</h1>",
        f'        <p class="lead">{escape(design.tagline)}</p>',
        f'        <a class="button" href="#{first.id}">{escape(first.title)}</a>',
        "      </div>",
        *art(design.seed, "      "),
        "    </div>",
        "  </div>",
    ]
    for section in design.sections:
        lines += section_lines(section, design.words, design.seed)
    return [
        *lines,
        "</main>",
        "<footer>",
        '  <div class="wrap">',
        f"    <p>{escape(design.title)}. Rehearsed with doce: scripted words, waiting for real ones.</p>",
        "  </div>",
        "</footer>",
    ]


def art(seed: int, indent: str = "") -> list[str]:
    """A drawing of a few shapes in the site's colour, different for every seed, without words."""
    shapes = []
    for index in range(5):
        bits = (seed >> (index * 7)) & 0x3FFF
        x, y, size = 40 + bits % 320, 40 + (bits // 7) % 220, 30 + (bits // 13) % 80
        opacity = round(0.18 + (bits % 5) * 0.12, 2)
        look = f'fill="currentColor" opacity="{opacity}"'
        match (bits // 3) % 3:
            case 0:
                shapes.append(f'<circle cx="{x}" cy="{y}" r="{size}" {look}/>')
            case 1:
                shapes.append(f'<rect x="{x - size}" y="{y - size}" width="{size * 2}" height="{size}" rx="{size // 4}" {look}/>')
            case _:
                shapes.append(f'<path d="M{x} {y - size} q{size} {size} 0 {size * 2} q-{size} -{size} 0 -{size * 2}z" {look}/>')
    return [
        f'{indent}<svg class="art" viewBox="0 0 400 300" aria-hidden="true" style="color: var(--accent)">',
        *(f"{indent}  {shape}" for shape in shapes),
        f"{indent}</svg>",
    ]


def section_lines(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    """A section, a line each; `words` are what it talks about."""
    inner = _KINDS.get(section.kind, _text)(section, words or ("this",), seed)
    return [
        f'  <section id="{section.id}" aria-labelledby="{section.id}-title">',
        '    <div class="wrap">',
        f'      <h2 id="{section.id}-title">{escape(section.title)}</h2>',
        *(f"      {line}" for line in inner),
        "    </div>",
        "  </section>",
    ]


Lines = Callable[[Section, tuple[str, ...], int], list[str]]


def _names(words: tuple[str, ...], count: int) -> list[str]:
    """`count` names made of the words, escaped."""
    kinds = ("first", "second", "third", "fourth", "fifth", "sixth")
    names = [capitalized(words[index % len(words)]) for index in range(count)]
    if len(words) < count:
        names = [f"{name}, {kinds[index % len(kinds)]}" for index, name in enumerate(names)]
    return [escape(name) for name in names]


def _gallery(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    lines = ['<div class="grid">']
    for index, name in enumerate(_names(words, 6)):
        lines += [
            '  <article class="card">',
            *art(seed * (index + 3) + index * 977, "    "),
            f"    <h3>{name}</h3>",
            f"    <p>{2026 - index // 2}</p>",
            "  </article>",
        ]
    return [*lines, "</div>"]


def _cards(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    lines = ['<div class="grid">']
    for name in _names(words, 3):
        told = f"About {name.lower()}, in a sentence of its own."
        lines += ['  <article class="card">', f"    <h3>{name}</h3>", f"    <p>{told}</p>", "  </article>"]
    return [*lines, "</div>"]


def _rows(pairs: list[tuple[str, str]]) -> list[str]:
    return ['<ul class="rows">', *(f"  <li><b>{name}</b> <span>{value}</span></li>" for name, value in pairs), "</ul>"]


def _prices(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return _rows([(name, f"€ {8 + (seed >> index * 3) % 60}") for index, name in enumerate(_names(words, 5))])


def _hours(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    opening = 7 + seed % 4
    return _rows(
        [
            ("Monday", "closed"),
            ("Tuesday to Friday", f"{opening}:00 to 18:00"),
            ("Saturday", f"{opening + 1}:00 to 16:00"),
            ("Sunday", "closed"),
        ]
    )


def _programme(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return _rows([(name, f"{9 + index * 2}:{'30' if seed >> index & 1 else '00'}") for index, name in enumerate(_names(words, 4))])


def _contact(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return [
        "<form>",
        '  <label>Your name <input name="name" autocomplete="name" required></label>',
        '  <label>Your e-mail <input name="email" type="email" autocomplete="email" required></label>',
        f'  <label>What is it about? <textarea name="message" rows="4" placeholder="{escape(words[0])}"></textarea></label>',
        '  <button class="button" type="submit">Send</button>',
        "</form>",
    ]


def _newsletter(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return [
        f"<p>News about {escape(words[0].lower())}, a few times a year.</p>",
        "<form>",
        '  <label>Your e-mail <input name="email" type="email" autocomplete="email" required></label>',
        '  <button class="button" type="submit">Subscribe</button>',
        "</form>",
    ]


def _faq(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return [
        line
        for name in _names(words, 3)
        for line in ("<details>", f"  <summary>What about {name.lower()}?</summary>", "  <p>The answer goes here.</p>", "</details>")
    ]


def _voices(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    lines = ['<div class="grid">']
    for name in _names(words, 3):
        lines += [f'  <div class="card"><blockquote>“{name}: just what I was looking for.”</blockquote></div>']
    return [*lines, "</div>"]


def _about(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    listed = ", ".join(escape(word.lower()) for word in words[:5])
    return [f"<p>This is about {listed}.</p>", "<p>Two or three sentences tell who is behind it, since when, and what matters to them.</p>"]


def _location(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return [f"<p>Find us in the middle of {escape(capitalized(words[-1]))}, five minutes from the station.</p>"]


def _text(section: Section, words: tuple[str, ...], seed: int) -> list[str]:
    return [f"<p>{escape(' '.join(words))}</p>"]


_KINDS: dict[str, Lines] = {
    "gallery": _gallery, "features": _cards, "team": _cards, "posts": _cards, "prices": _prices, "menu": _prices, "hours": _hours,
    "programme": _programme, "contact": _contact, "newsletter": _newsletter, "faq": _faq, "voices": _voices, "about": _about,
    "location": _location, "text": _text,
}  # fmt: skip
