"""A person's whole way in a real browser, with the real agent behind it: from the first visit to signing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.system.house import House, house

from .conftest import PASSWORD, PHONE, Open

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A doce that nobody has set up, with the template that starts at once."""
    with house(tmp_path_factory.mktemp("pages") / "data", cache, set_up=False, DOCE_DRAIN_S="1", DOCE_TEMPLATE="static") as made:
        yield made


def test_from_the_first_visit_to_signing_out(home: House, window: Open) -> None:
    ada = window(home)
    page = ada.go()
    assert page.url.endswith("/setup")
    page.fill("[name=name]", "Ada")
    page.fill("[name=password]", "short")
    page.click("text=Begin")
    expect(page.locator("form .wrong")).to_be_visible()
    page.fill("[name=password]", PASSWORD)
    page.click("text=Begin")
    page.wait_for_url(f"{ada.url}/")
    ada.shot("projects-empty")

    page.fill("#prompt", "a portfolio for a ceramicist, warm colours")
    page.click("text=Make it")
    page.wait_for_url("**/projects/*")
    # It streams: text is there while the turn still works.
    page.wait_for_selector(".turn.working .said-text p")
    page.wait_for_selector(".turn.completed")
    expect(page.locator("#titles .pill")).to_have_text("running")
    expect(page.frame_locator("#frame").frame_locator("iframe").locator("h1")).to_contain_text("Ceramicist")
    assert page.locator(".tool").count() >= 2
    assert page.locator("#todos").is_visible()
    expect(page.locator("#spent")).to_contain_text("tokens")
    ada.shot("project-desktop")

    page.fill("#text", "[[rehearse ask]] make it dark")
    page.keyboard.press("Enter")
    page.click(".request >> text=Allow once")
    expect(page.locator(".request.done")).to_contain_text("Allowed once")
    expect(page.locator(".turn.completed")).to_have_count(2)

    page.click("#tab-deploys")
    page.click("#deploy")
    page.wait_for_selector("#live-url")
    expect(page.locator("#build-log")).to_contain_text("v1 (")
    page.fill("#text", "make it light")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.completed")).to_have_count(3)
    page.click("#deploy")
    expect(page.locator(".releases li")).to_have_count(2)
    expect(page.locator(".releases li:first-child .pill")).to_have_text("live")
    page.click("text=Roll back")
    expect(page.locator(".releases li:nth-child(2) .pill")).to_have_text("live")
    ada.shot("deployments-desktop")

    assert ada.wrong == []
    eve = window(home)
    slug = page.url.rpartition("/")[2].partition("#")[0]
    asked = {"method": "POST", "headers": {"content-type": "application/json"}, "body": '{"name": "Eve"}'}
    made = page.evaluate("asked => fetch('/api/users', asked).then(a => a.json())", asked)
    theirs = eve.sign_in("Eve", made["password"])
    expect(theirs.locator("#projects")).to_contain_text("Nothing yet")
    theirs.goto(f"{eve.url}/projects/{slug}")
    expect(theirs.locator("h1")).to_have_text("Not yours to see")
    theirs.goto(f"{eve.url}/settings")
    assert "Providers" not in theirs.content()

    phone = window(home, viewport=PHONE, color_scheme="dark", storage_state=ada.context.storage_state())
    small = phone.go(f"/projects/{slug}")
    small.wait_for_selector(".turn.completed")
    phone.shot("project-phone")
    assert small.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "nothing hangs out at the side"
    small.click("#tab-preview")
    expect(small.frame_locator("#frame").frame_locator("iframe").locator("h1")).to_contain_text("Ceramicist")

    page.click(".menu summary")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.goto(f"{ada.url}/projects/{slug}")
    assert "/sign-in?next=/projects/" in page.url


def test_a_restart_in_mid_stream_shows_no_gap_and_no_double(home: House, window: Open) -> None:
    ada = window(home)
    page = ada.sign_in("Ada")
    page.click(".cover >> nth=0")
    page.wait_for_url("**/projects/*")
    before = page.locator(".turn.completed").count()
    page.fill("#text", "[[rehearse long 6000]] tell me about clay")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.working .said-text p")
    home.kill()
    expect(page.locator("#line")).to_contain_text("Connection lost")
    home.start()
    expect(page.locator(".turn.completed")).to_have_count(before + 1, timeout=90_000)
    expect(page.locator("#line")).to_have_text("")
    shown = page.locator(".turn").last.locator(".agent").inner_text()
    page.reload()
    expect(page.locator(".turn.completed")).to_have_count(before + 1)
    page.wait_for_function("document.querySelector('.turn:last-child .agent').innerText.length > 4000")
    assert page.locator(".turn").last.locator(".agent").inner_text() == shown
    assert len(shown) > 4000


def test_queued_prompts_wait_where_one_can_change_them(home: House, window: Open) -> None:
    page = (ada := window(home)).sign_in("Ada")
    page.click(".cover >> nth=0")
    page.wait_for_url("**/projects/*")
    page.fill("#text", "[[rehearse long 20000]] a long one")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.working")
    for text in ("first", "second"):
        page.fill("#text", f"[[rehearse only: hello]] {text}")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#waiting >> text={text}")
    page.click("#waiting li:nth-child(2) >> text=Remove")
    expect(page.locator("#waiting li")).to_have_count(1)
    page.click("#waiting >> text=Edit")
    page.fill("#waiting textarea", "[[rehearse only: hello]] changed")
    page.click("#waiting >> text=Save")
    expect(page.locator("#waiting .words")).to_contain_text("changed")
    page.click("#stop")
    expect(page.locator(".turn.stopped")).to_have_count(1)
    expect(page.locator(".turn").last).to_contain_text("changed")
    expect(page.locator("#waiting li")).to_have_count(0)
    assert ada.wrong == []


def test_a_question_is_answered_in_the_page(home: House, window: Open) -> None:
    page = window(home).sign_in("Ada")
    page.click(".cover >> nth=0")
    page.wait_for_url("**/projects/*")
    page.fill("#text", "[[rehearse question]] which colour")
    page.keyboard.press("Enter")
    page.wait_for_selector(".request .option")
    page.click(".request button:text-is('Answer')")
    expect(page.locator(".request .wrong")).to_contain_text("Choose an answer")
    page.check(".request .option input >> nth=0")
    page.click(".request button:text-is('Answer')")
    expect(page.locator(".request.done").last).to_contain_text("Answered")


def test_what_others_wrote_is_only_ever_text(home: House, window: Open) -> None:
    """A prompt, an answer and file names that are markup."""
    ada = window(home)
    page = ada.sign_in("Ada")
    page.evaluate("window.harmed = () => { document.title = 'harmed' }")
    evil = "<img src=x onerror=harmed()><script>harmed()</script>[a](javascript:harmed())"
    page.click(".cover >> nth=0")
    page.wait_for_url("**/projects/*")
    page.fill("#text", f"[[rehearse only: {evil} **bold**]] {evil}")
    page.keyboard.press("Enter")
    last = page.locator(".turn.completed").last
    expect(last.locator(".asked")).to_contain_text("<img src=x")
    expect(last.locator(".said-text")).to_contain_text("<script>")
    expect(last.locator(".said-text strong")).to_have_text("bold")
    assert page.locator(".turn img, .turn script, .turn a[href^=javascript]").count() == 0
    assert page.title() != "harmed"
    assert [one for one in ada.wrong if "Content Security Policy" in one] == []


def test_files_assets_logs_and_settings(home: House, window: Open) -> None:
    page = (ada := window(home)).sign_in("Ada")
    page.click(".cover >> nth=0")
    page.wait_for_url("**/projects/*")
    page.click("#tab-files")
    page.click("#tree summary:text-is('public/')")
    page.click("#tree >> text=index.html")
    expect(page.locator("#content .source")).to_contain_text("<!doctype html>", ignore_case=True)
    page.click("#tab-assets")
    page.set_input_files("#upload-files", {"name": "note.txt", "mimeType": "text/plain", "buffer": b"hello"})
    page.wait_for_selector("#asset-list input[value='note.txt']")
    page.fill("#asset-list input[value='note.txt']", "renamed.txt")
    page.click("#asset-list li:has(input[value='note.txt']) >> text=Rename")
    page.wait_for_selector("#asset-list input[value='renamed.txt']")
    page.click("[aria-label='Delete renamed.txt']")
    page.click("dialog >> text=Yes")
    expect(page.locator("#asset-list input[value='renamed.txt']")).to_have_count(0)
    page.click("#tab-logs")
    page.wait_for_selector("#log .line.host")
    page.uncheck("[data-source=host]")
    expect(page.locator("#log .line.host").first).to_be_hidden()
    ada.shot("logs-desktop")
    page.goto(f"{ada.url}/queue")
    page.click("text=Pause")
    page.wait_for_selector("#state >> text=paused")
    page.click("text=Resume")
    expect(page.locator("#state >> text=paused")).to_have_count(0)
    page.click("button.lines >> nth=0")
    expect(page.locator("#lines-title")).to_contain_text("succeeded")
    ada.shot("queue-desktop")
    page.goto(f"{ada.url}/settings")
    page.fill("#new-token input", "cron")
    page.click("#new-token button")
    expect(page.locator("#secret code")).to_contain_text("doce_")
    ada.shot("settings-desktop")
    assert ada.wrong == []


def test_the_first_page_is_light(home: House, window: Open) -> None:
    """All that a first visit loads, as it comes over the wire; and when one can type."""
    ada = window(home)
    ada.sign_in("Ada")
    session = ada.context.new_cdp_session(ada.page)
    session.send("Network.enable")
    session.send("Network.clearBrowserCache")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    page = ada.go()
    page.wait_for_load_state("load")
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    print(f"the first page: {sum(sizes) / 1000:.1f} kB in {len(sizes)} files, interactive after {ready:.0f} ms")
    assert 2_000 < sum(sizes) <= 100_000
    assert ada.wrong == []


def test_a_site_never_gets_the_session(home: House, window: Open) -> None:
    """Neither at its own address nor when doce was opened at the sites' host name."""
    ada = window(home)
    page = ada.sign_in("Ada")
    (kept,) = ada.context.cookies()
    assert (kept["name"], kept["domain"], kept["httpOnly"], kept["sameSite"]) == ("doce_session", "localhost", True, "Lax")
    preview = page.evaluate("fetch('/api/projects').then(a => a.json()).then(a => a.items[0].previewUrl)")
    with page.expect_request(preview) as asked:
        page.goto(preview)
    assert "cookie" not in asked.value.all_headers()
    page.goto(f"http://127.0.0.1:{home.port}/settings")
    assert page.url == f"{ada.url}/settings", "sent on to doce's own name"
