"""Addresses inside doce: where a sign-in may go on to, and nowhere else."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

HOME = "/"
MAX_LENGTH = 500


def onward(text: str | None) -> str:
    """`text` if it is a path of this doce that a page may go on to, else the first page.

    Browsers read ``//host``, ``/\\host`` and a tab within as another host's address; none of them is a path here.
    """
    if not text or len(text) > MAX_LENGTH or not text.isprintable() or "\\" in text:
        return HOME
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or not text.startswith("/") or text.startswith(("//", "/api/")):
        return HOME
    return text


def sign_in_url(path: str, query: str = "") -> str:
    """The sign-in page that goes on to `path`."""
    wanted = f"{path}?{query}" if query else path
    return "/sign-in" if wanted == HOME else f"/sign-in?next={quote(wanted, safe='/')}"
