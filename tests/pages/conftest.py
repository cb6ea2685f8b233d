from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.system.conftest import cache as cache
from tests.system.house import House

#: Screenshots for whoever looks at a run; an ignored folder.
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
PATIENCE_MS = 60_000
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PASSWORD = "correct horse"

expect.set_options(timeout=PATIENCE_MS)


class Window:
    """A browser of its own, without a memory; what goes wrong in its pages is kept."""

    def __init__(self, browser: Browser, house: House, **options: Any) -> None:
        self.url = f"http://localhost:{house.port}"
        self.context: BrowserContext = browser.new_context(**{"viewport": DESKTOP, **options})
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)

    def go(self, path: str = "/") -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    def sign_in(self, name: str, password: str = PASSWORD) -> Page:
        page = self.go("/sign-in")
        page.fill("[name=name]", name)
        page.fill("[name=password]", password)
        page.click("text=Sign in >> nth=-1")
        page.wait_for_url(f"{self.url}/")
        return page

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")


Open = Callable[..., Window]


@pytest.fixture
def window(browser: Browser) -> Iterator[Open]:
    """Opens windows on a house; each is closed at the end."""
    with contextlib.ExitStack() as opened:

        def open_one(house: House, **options: Any) -> Window:
            made = Window(browser, house, **options)
            opened.callback(made.context.close)
            return made

        yield open_one
