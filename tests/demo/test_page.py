"""Whether a page shows what was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from doce.demo.page import Page, check_shows, fetch, wait_for_change
from doce.errors import DoceError, Unavailable

HTML = (
    "<!doctype html><title>Tide &amp; Clay</title><link rel=stylesheet href='/style.css'><script src=https://elsewhere.example/x.js></script>"
    "<style>.ceramic{}</style><h1>Pots for <b>ceramicists</b></h1>"
)


class Site:
    """A preview whose files can be changed."""

    def __init__(self) -> None:
        self.files = {"/": HTML, "/style.css": "h1 { color: red }"}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = site.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write((body or "").encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


def test_text_and_title_without_markup(site: Site) -> None:
    page = fetch(site.url)
    assert (page.title, page.text) == ("Tide & Clay", "Tide & Clay Pots for ceramicists")


def page(text: str, digest: str = "1") -> Page:
    return Page("http://x/", "Title", text, digest)


@pytest.mark.parametrize(
    ("prompt", "text", "words"),
    [
        ("a portfolio for a ceramicist", "Ceramics by Ada. Portfolio", ["portfolio", "ceramicist"]),
        ("eine Bäckerei in Köln", "Die BÄCKEREI", ["Bäckerei"]),
        ("一个陶艺家的网站", "欢迎来到一个陶艺家的网站", ["一个陶艺家的网站"]),
    ],
)
def test_words_of_the_prompt_are_found(prompt: str, text: str, words: list[str]) -> None:
    assert check_shows(page(text), prompt, None) == words


def test_a_page_about_something_else() -> None:
    with pytest.raises(DoceError, match="does not show what was asked: none of portfolio, ceramicist") as caught:
        check_shows(page("Hello world"), "a portfolio for a ceramicist", None)
    assert caught.value.hint == "It says: Hello world"


def test_the_page_of_the_template_is_not_the_answer() -> None:
    with pytest.raises(DoceError, match="still the template's own"):
        check_shows(page("a portfolio"), "a portfolio", page("a portfolio"))


def test_a_change_of_the_style_is_a_change(site: Site) -> None:
    before = fetch(site.url)
    site.files["/style.css"] = "h1 { color: black }"
    assert wait_for_change(before).digest != before.digest


def test_a_page_that_stays(site: Site) -> None:
    with pytest.raises(DoceError, match="did not change"):
        wait_for_change(fetch(site.url), patience_s=0)


def test_a_page_that_is_not_there(site: Site) -> None:
    site.files.pop("/")
    with pytest.raises(Unavailable, match="HTTP 404"):
        fetch(site.url)
    with pytest.raises(Unavailable, match="does not answer"):
        fetch("http://127.0.0.1:1/")
