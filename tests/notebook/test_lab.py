"""JupyterLab in a real browser: the quickstart, its buttons, a question, a deploy, a reload. Notebook 7 shows the same panel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import ARTIFACTS
from tests.system.conftest import cache as cache

from .test_notebooks import FOLDER, cells

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # An answer that says no before the server is up is closed by its collector.
    pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning"),
]

TOKEN = "test-token"
#: For a machine that is busy with other work.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(FOLDER / "quickstart.ipynb", folder)
    asking = cells(
        "%load_ext doce",
        "%%doce --new --name Asked --template static\n[[rehearse question]] a page about tea",
    )
    stopping = cells("%load_ext doce", "%%doce --new --name Stopped --template static\n[[rehearse long 20000]] a page")
    for name, made in {"asking": asking, "stopping": stopping}.items():
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(made, folder / f"{name}.ipynb")
    return folder


def start(kind: str, place: Path, cache: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`jupyter lab` or `jupyter notebook` on a port of its own; returns when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DOCE_", "JUPYTER"))}
    home = place / f"home-{kind}"
    home.mkdir()
    environment |= {"HOME": str(home), "DOCE_CACHE": str(cache), "DOCE_MIN_FREE_MB": "100", "DOCE_DRAIN_S": "1"}
    log = (place / f"{kind}.log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "jupyter", kind, "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--ServerApp.port={port}",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={place}", "--LabApp.news_url=None", "--expose-app-in-browser",
        ],
        env=environment, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
        start_new_session=True,
    )  # fmt: skip
    log.close()
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=1).close()
            return process, url
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, (place / f"{kind}.log").read_text()[-2000:]
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError((place / f"{kind}.log").read_text()[-2000:])


def end(process: subprocess.Popen[bytes], place: Path) -> None:
    process.terminate()
    process.wait(20)
    for one in psutil.process_iter():
        try:
            if str(place) in one.environ().get("HOME", ""):
                one.kill()
        except (psutil.Error, OSError):
            continue


@pytest.fixture(scope="module")
def lab(place: Path, cache: Path) -> Iterator[str]:
    process, url = start("lab", place, cache)
    yield url
    end(process, place)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    yield made
    ARTIFACTS.mkdir(exist_ok=True)
    made.screenshot(path=ARTIFACTS / "notebook-last.png")
    context.close()


#: The notebook's kernel is there, listens, and has answered.
READY = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const context = app.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
#: Not awaited: that would be the end of all cells.
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"


def run_all(page: Page, lab: str, name: str) -> None:
    """Open a notebook and run all its cells."""
    page.goto(f"{lab}/lab/tree/{name}.ipynb?token={TOKEN}&reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.evaluate(READY)
    for toast in page.locator(".Toastify__toast button:has-text('No')").all():
        toast.click()
    page.evaluate(RUN_ALL)


def cell(page: Page, starts: str) -> Any:
    found = page.locator(".jp-Cell", has=page.locator(f".cm-content:has-text('{starts}')"))
    found.first.scroll_into_view_if_needed()
    return found.first


def test_quickstart_runs_deploys_and_survives_a_reload(page: Page, lab: str) -> None:
    run_all(page, lab, "quickstart")
    asked = cell(page, "a portfolio for a ceramicist")
    expect(asked.locator(".doce-panel")).to_contain_text("completed", timeout=90_000)
    expect(asked.locator(".doce-panel")).to_contain_text("Portfolio Ceramicist")
    deployed = page.locator(".jp-Cell", has=page.locator(".cm-content:has-text('site.deploy()')")).first
    expect(deployed.locator(".jp-OutputArea")).to_contain_text("v1", timeout=120_000)
    asked.scroll_into_view_if_needed()
    asked.locator("button:has-text('Preview')").click()
    frame = asked.frame_locator(".doce-panel iframe")
    expect(frame.locator("h1")).to_contain_text("Ceramicist")
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "notebook.png")
    asked.locator("button:has-text('Deploy')").click()
    expect(asked.locator(".doce-panel a:has-text('Open live site')")).to_have_count(1)
    page.keyboard.press("Control+s")
    page.wait_for_selector("text=Saving completed")
    page.reload()
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    again = cell(page, "a portfolio for a ceramicist")
    # The static summary is there, whatever became of the widgets.
    expect(again.locator(".jp-RenderedMarkdown")).to_contain_text("Done")
    expect(again.locator(".jp-RenderedMarkdown a:has-text('preview')")).to_have_count(1)


def test_stop_in_the_panel(page: Page, lab: str) -> None:
    run_all(page, lab, "stopping")
    asked = cell(page, "rehearse long")
    expect(asked.locator(".doce-panel")).to_contain_text("working")
    asked.locator("button:has-text('Stop')").click()
    expect(asked.locator(".doce-panel")).to_contain_text("stopped")
    expect(asked.locator(".jp-RenderedMarkdown")).to_contain_text("Stopped")


def test_a_question_is_answered_in_the_panel(page: Page, lab: str) -> None:
    run_all(page, lab, "asking")
    asked = cell(page, "rehearse question")
    answer = asked.locator("button:has-text('Answer')")
    expect(answer).to_be_visible(timeout=90_000)
    asked.locator(".widget-radio input, .widget-checkbox input").first.check()
    page.screenshot(path=ARTIFACTS / "notebook-question.png")
    answer.click()
    expect(asked.locator(".doce-panel")).to_contain_text("completed", timeout=90_000)


def test_notebook_7_shows_the_same(page: Page, place: Path, cache: Path) -> None:
    pytest.importorskip("notebook")
    process, url = start("notebook", place, cache)
    try:
        page.goto(f"{url}/notebooks/stopping.ipynb?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.evaluate(READY)
        page.evaluate(RUN_ALL)
        asked = cell(page, "rehearse long")
        expect(asked.locator(".doce-panel")).to_contain_text("working", timeout=90_000)
        asked.locator("button:has-text('Stop')").click()
        expect(asked.locator(".doce-panel")).to_contain_text("stopped")
    finally:
        end(process, place)
