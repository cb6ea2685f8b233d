"""Values as HTML for a notebook: everything is escaped, nothing runs."""

from __future__ import annotations

import datetime
import html
from collections.abc import Mapping, Sequence
from typing import Any

#: Fields that are moments, epoch ms.
_MOMENTS = {"createdAt", "updatedAt", "finishedAt", "startedAt"}
WIDTH, HEIGHT = 420, 90
#: In a widget front ends take a link's look away.
LINK = "color:#2f6fb3;text-decoration:underline"


def cell(name: str, value: Any) -> str:
    """One value as it is shown."""
    if value is None:
        return ""
    if name in _MOMENTS:
        return datetime.datetime.fromtimestamp(value / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    if name in ("url", "previewUrl"):
        return link(str(value))
    if name == "version":
        return f"v{value}"
    if name == "cost":
        return f"${value:.4f}"
    return html.escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and name != "id" else str(value))


def link(url: str, text: str | None = None, *, style: str = "") -> str:
    """A link to the web; anything else stays text."""
    shown = html.escape(text or url)
    look = f' style="{style}"' if style else ""
    return (
        f'<a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer"{look}>{shown}</a>'
        if url.startswith(("http://", "https://"))
        else shown
    )


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a table; text for nothing."""
    if not rows:
        return "<p><i>nothing yet</i></p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell(name, row.get(name))}</td>" for name in columns) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def bars(values: Sequence[tuple[str, float]], unit: str) -> str:
    """A small bar chart, oldest on the left, as SVG."""
    if not values:
        return ""
    shown = list(reversed(values))[-30:]
    most = max(value for _, value in shown) or 1
    step = min(WIDTH / len(shown), 36)
    drawn = "".join(
        f'<rect x="{number * step + 1:.1f}" y="{HEIGHT - value / most * HEIGHT:.1f}" width="{max(step - 2, 1):.1f}" '
        f'height="{value / most * HEIGHT:.1f}" fill="#c2410c"><title>{html.escape(label)}: {value:,.0f} {unit}</title></rect>'
        for number, (label, value) in enumerate(shown)
    )
    label = f"{unit} by day, {html.escape(shown[0][0])} to {html.escape(shown[-1][0])}, at most {most:,.0f}"
    drawing = f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>'
    return f'<figure style="margin:8px 0">{drawing}<figcaption><small>{label}</small></figcaption></figure>'


def project(found: Mapping[str, Any], production: Mapping[str, Any]) -> str:
    """A project as a card."""
    parts = [f"<b>{html.escape(found['name'])}</b> <code>{html.escape(found['slug'])}</code> · {html.escape(found['status'])}"]
    if found["step"]:
        parts.append(html.escape(found["step"]))
    if found["error"]:
        parts.append(f"<b>{html.escape(found['error'])}</b> {html.escape(found['errorHint'] or '')}")
    if found["previewUrl"]:
        parts.append(f"preview: {link(found['previewUrl'])}")
    if production["url"]:
        parts.append(f"live: {link(production['url'])} (v{production['version']})")
    used = found["usage"]
    cost = f" · ${used['cost']:.4f}" if used["cost"] else ""
    parts.append(f"{used['input'] + used['output']:,} tokens{cost}")
    return "<br>".join(parts)


def project_markdown(found: Mapping[str, Any], production: Mapping[str, Any]) -> str:
    """The same for what renders Markdown only."""
    links = [f"[{name}]({url})" for name, url in (("preview", found["previewUrl"]), ("live", production["url"])) if url]
    return " · ".join([f"**{found['name']}** (`{found['slug']}`)", str(found["status"]), *links])
