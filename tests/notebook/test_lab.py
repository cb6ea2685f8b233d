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

import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.pages.conftest import ARTIFACTS
from tests.system.conftest import cache as cache

from .test_notebooks import FOLDER, cells

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # An answer that says no before the server is up is closed by its collector.
    pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning"),
]

TOKEN = "test-token"
#: For a machine that is busy with other work.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


NEW = "%%doce --new --template static --name"
NOTEBOOKS = {
    "asking": f"{NEW} Asked\n[[rehearse question]] a page about tea",
    "stopping": f"{NEW} Stopped\n[[rehearse long 20000]] a page",
    "reloading": f"{NEW} Reloaded\n[[rehearse slow 150]] [[rehearse only: {' '.join(f'word{n}' for n in range(120))}]] a page",
    "hostile": f"{NEW} Hostile\n[[rehearse only: **bold** <img src=x onerror='window.pwned=1'> <script>window.pwned=1</script>]] a page",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(FOLDER / "quickstart.ipynb", folder)
    for name, source in NOTEBOOKS.items():
        made = cells("%load_ext doce", source)
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
    # Else JupyterLab takes cells that are out of sight out of the page.
    looks = home / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension"
    looks.mkdir(parents=True)
    (looks / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
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
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    yield made
    shot(made, "notebook-last")
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


def cell(page: Page, starts: str) -> Locator:
    """The cell with this in its source, in sight."""
    found = page.locator(".jp-Cell", has=page.locator(f".cm-content:has-text('{starts}')")).first
    found.scroll_into_view_if_needed()
    return found


def panel(page: Page, starts: str) -> Locator:
    return cell(page, starts).locator(".doce-panel")


def save(page: Page) -> None:
    """To disk, with its outputs."""
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")


def shot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def test_quickstart_runs_deploys_and_survives_a_reload(page: Page, lab: str) -> None:
    run_all(page, lab, "quickstart")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    asked = cell(page, "a portfolio for a ceramicist")
    expect(asked.locator(".doce-panel")).to_contain_text("completed")
    expect(asked.locator(".doce-panel")).to_contain_text("Portfolio Ceramicist")
    deployed = cell(page, "site.deploy()")
    expect(deployed.locator(".jp-OutputArea")).to_contain_text("v1")
    expect(cell(page, "%doce help deploy").locator(".jp-OutputArea")).to_contain_text("deploy PROJECT")
    shot(page, "notebook-deployed")
    # What the agent did, with the lines it changed.
    asked.locator("text=Files (2)").click()
    asked.locator("summary:has-text('public/index.html')").click()
    expect(asked.locator("details[open]")).to_contain_text("+  <title>Portfolio Ceramicist</title>")
    shot(page, "notebook-files")
    asked.locator("text=Files (2)").click()
    asked.locator("button:has-text('Preview')").click()
    expect(asked.frame_locator(".doce-panel iframe").locator("h1")).to_contain_text("Ceramicist")
    asked.scroll_into_view_if_needed()
    shot(page, "notebook")
    asked.locator("button:has-text('Deploy')").click()
    expect(asked.locator(".doce-panel a:has-text('Open live site')")).to_have_count(1)
    save(page)
    page.reload()
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    # The static summary is there, whatever became of the widgets.
    summary = cell(page, "a portfolio for a ceramicist").locator(".jp-RenderedMarkdown")
    expect(summary).to_contain_text("Done")
    expect(summary.locator("a:has-text('preview')")).to_have_count(1)


def test_stop_in_the_panel(page: Page, lab: str) -> None:
    run_all(page, lab, "stopping")
    asked = cell(page, "rehearse long")
    expect(asked.locator(".doce-panel")).to_contain_text("working")
    asked.locator("button:has-text('Stop')").click()
    expect(asked.locator(".doce-panel")).to_contain_text("stopped")
    expect(asked.locator(".jp-RenderedMarkdown")).to_contain_text("Stopped")
    expect(asked.locator("button:has-text('Stop')")).to_be_disabled()


@pytest.mark.nightly
def test_a_question_is_answered_in_the_panel(page: Page, lab: str) -> None:
    run_all(page, lab, "asking")
    asked = cell(page, "rehearse question")
    answer = asked.locator("button").filter(has_text="Answer").first
    expect(answer).to_be_visible()
    answer.click()
    expect(asked.locator(".doce-panel")).to_contain_text("Choose an answer")
    asked.locator("input[type=radio]").first.check()
    shot(page, "notebook-question")
    answer.click()
    expect(asked.locator(".doce-panel")).to_contain_text("completed")


@pytest.mark.nightly
def test_a_tab_reloaded_in_mid_turn_shows_the_rest_and_nothing_twice(page: Page, lab: str) -> None:
    run_all(page, lab, "reloading")
    expect(panel(page, "rehearse slow")).to_contain_text("word3")
    save(page)
    page.reload()
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    again = panel(page, "rehearse slow")
    expect(again).to_contain_text("working")
    shot(page, "notebook-reloaded")
    expect(again).to_contain_text("completed")
    expect(again.locator("p").filter(has_text="word")).to_have_text(" ".join(f"word{n}" for n in range(120)))


def test_nothing_that_a_model_wrote_runs_in_the_browser(page: Page, lab: str) -> None:
    run_all(page, lab, "hostile")
    asked = cell(page, "rehearse only")
    expect(asked.locator(".doce-panel")).to_contain_text("completed")
    expect(asked.locator(".doce-panel")).to_contain_text("<img src=x")
    expect(asked.locator(".jp-RenderedMarkdown")).to_contain_text("<script>")
    expect(asked.locator(".jp-RenderedMarkdown strong").filter(has_text="bold")).to_have_count(1)
    assert page.evaluate("() => window.pwned") is None


@pytest.mark.nightly
def test_quickstart_in_notebook_7(page: Page, place: Path, cache: Path) -> None:
    process, url = start("notebook", place, cache)
    try:
        page.goto(f"{url}/notebooks/quickstart.ipynb?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.evaluate(READY)
        page.evaluate(RUN_ALL)
        asked = cell(page, "a portfolio for a ceramicist")
        expect(asked.locator(".doce-panel")).to_contain_text("completed")
        asked.locator("button:has-text('Preview')").click()
        expect(asked.frame_locator(".doce-panel iframe").locator("h1")).to_contain_text("Ceramicist")
        shot(page, "notebook-7")
        expect(cell(page, "site.deploy()").locator(".jp-OutputArea")).to_contain_text("v1")
    finally:
        end(process, place)
