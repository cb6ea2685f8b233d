"""The page a preview serves: fetched as a browser would, and looked at for what was asked."""

from __future__ import annotations

import hashlib
import html
import re
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from doce import naming
from doce.errors import DoceError, Unavailable

_SILENT = re.compile(r"<(script|style|template)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_LINKED = re.compile(r"<(?:link|script|img)\b[^>]*?\b(?:href|src)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
#: Linked files that are looked at, at most.
MOST_LINKED = 12


@dataclass(frozen=True)
class Page:
    """A page as it was served. `digest` covers it and its own style sheets, scripts and pictures."""

    url: str
    title: str
    text: str
    digest: str

    def shows(self, prompt: str) -> list[str]:
        """The telling words of `prompt` that the page says."""
        said = f"{self.title} {self.text}".lower()
        return [word for word in naming.meaningful(prompt, 12) if _stem(word.lower()) in said]


def fetch(url: str, *, timeout_s: float = 10) -> Page:
    """The page at `url`. Raises Unavailable when it is not served."""
    # A preview is on this machine: no proxy of the environment stands between.
    with httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=True) as http:
        try:
            response = http.get(url)
        except httpx.HTTPError as error:
            raise Unavailable(f"The preview at {url} does not answer ({type(error).__name__}).") from error
        if response.status_code != 200:
            raise Unavailable(f"The preview at {url} answers HTTP {response.status_code}.")
        source = response.text
        digest = hashlib.sha256(response.content)
        for linked in dict.fromkeys(_LINKED.findall(source)[:MOST_LINKED]):
            address = urljoin(url, html.unescape(linked))
            if urlsplit(address).netloc == urlsplit(url).netloc:
                digest.update(_content(http, address))
    title = _TITLE.search(source)
    return Page(url, _words(title[1]) if title else "", _words(_SILENT.sub(" ", source)), digest.hexdigest())


def check_shows(page: Page, prompt: str, placeholder: Page | None) -> list[str]:
    """The words of `prompt` that `page` says. Raises DoceError when it is still the template's page or says none of them."""
    if placeholder is not None and page.digest == placeholder.digest:
        raise DoceError(f"The page at {page.url} is still the template's own.", hint="The agent ended without changing it.")
    wanted, found = naming.meaningful(prompt, 12), page.shows(prompt)
    if wanted and not found:
        raise DoceError(
            f"The page at {page.url} does not show what was asked: none of {', '.join(wanted)} is on it.",
            hint=f"It says: {page.text[:200]}",
        )
    return found


def wait_for_change(before: Page, *, patience_s: float = 10) -> Page:
    """The page once it differs from `before`. Raises DoceError when it does not."""
    deadline = time.monotonic() + patience_s
    while (now := fetch(before.url)).digest == before.digest:
        if time.monotonic() > deadline:
            raise DoceError(f"The page at {before.url} did not change.", hint="The agent ended without changing it.")
        time.sleep(0.2)
    return now


def _content(http: httpx.Client, address: str) -> bytes:
    """A linked file; one that is missing is a fact about the page too."""
    try:
        response = http.get(address)
    except httpx.HTTPError as error:
        return type(error).__name__.encode()
    return str(response.status_code).encode() + response.content


def _words(source: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", source)).split())


def _stem(word: str) -> str:
    """Enough of a word to find its plural and its adjective: `ceramicist` on a page that says `ceramics`."""
    return word[: max(4, len(word) - 3)] if word.isascii() else word
