"""What goes wrong around a page: ended sessions, deleted projects, cut connections, hostile words; and who cannot see or has no mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.system.house import House, house
from tests.system.test_key import KEY
from tests.system.test_key import provider as provider

from .conftest import DESKTOP, PHONE, Open, Window

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"
LONG = "Donaudampfschifffahrtsgesellschaftskapitaen"
BROKEN = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG"}


@pytest.fixture(scope="module")
def home(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("trouble") / "data", cache, DOCE_TEMPLATE="static") as made:
        yield made


@pytest.fixture(scope="module")
def password(home: House) -> str:
    """Bo's, an admin."""
    made: str = home.doce.request("POST", "/api/users", body={"name": "Bo", "role": "admin"})["password"]
    return made


@pytest.fixture(scope="module")
def project(home: House) -> str:
    """The slug of a project that rests."""
    made, _ = home.create(f"[[rehearse only: {EVIL} {LONG * 6}]] {LONG * 6}", name=EVIL[:60])
    slug: str = home.doce.project(made)["slug"]
    return slug


def at(window: Window, path: str) -> Page:
    page = window.go(path)
    page.wait_for_selector(".turn.completed", state="attached")
    return page


def test_prompts_written_in_a_row_are_each_taken_once(home: House, window: Open, password: str, project: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")
    before = page.locator(".turn").count()
    for text in ("one", "two", "three"):
        page.fill("#text", f"[[rehearse only: hello]] {text}")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_count(before + 3)
    expect(page.locator(".turn.completed")).to_have_count(before + 3)
    said = page.locator(".turn .asked").all_inner_texts()[before:]
    assert [text.rpartition(" ")[2] for text in said] == ["one", "two", "three"]
    assert bo.wrong == []


def test_an_ended_session_loses_nothing_that_was_typed(home: House, window: Open, password: str, project: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")
    page.fill("#text", "half a thought")
    page.evaluate("fetch('/api/session', { method: 'DELETE' })")
    page.wait_for_url("**/sign-in?next=*")
    page.fill("[name=name]", "Bo")
    page.fill("[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/projects/{project}")
    expect(page.locator("#text")).to_have_value("half a thought")
    page.click(".menu summary")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    assert page.evaluate("sessionStorage.length") == 0, "who comes next at this browser reads none of it"


def test_a_cut_connection_keeps_the_words_and_comes_back(home: House, window: Open, password: str, project: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")
    before = page.locator(".turn").count()
    bo.context.set_offline(True)
    expect(page.locator("#line")).to_contain_text("Connection lost")
    page.fill("#text", "[[rehearse only: hello]] from a train")
    page.keyboard.press("Enter")
    expect(page.locator("#ask .wrong")).to_contain_text("Nothing was lost")
    expect(page.locator("#text")).to_have_value("[[rehearse only: hello]] from a train")
    bo.context.set_offline(False)
    expect(page.locator("#line")).to_have_text("")
    page.press("#text", "Enter")
    expect(page.locator(".turn.completed")).to_have_count(before + 1)
    expect(page.locator("#ask .wrong")).to_be_hidden()


def test_back_and_forward_and_two_windows_show_the_same(home: House, window: Open, password: str, project: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")
    other = bo.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(".turn.completed")
    page.click("nav >> text=Queue")
    page.wait_for_url("**/queue")
    page.go_back()
    page.wait_for_selector(".turn.completed")
    before = page.locator(".turn").count()
    page.fill("#text", "[[rehearse long 3000]] for both")
    page.keyboard.press("Enter")
    for one in (page, other):
        expect(one.locator(".turn")).to_have_count(before + 1)
        expect(one.locator(".turn.completed")).to_have_count(before + 1)
    assert page.locator(".turn").last.inner_text() == other.locator(".turn").last.inner_text()


def test_a_page_nobody_sees_holds_no_connection(home: House, window: Open, password: str, project: str) -> None:
    """A browser has six to a host: the seventh page of somebody would wait for ever."""
    (bo := window(home)).sign_in("Bo", password)
    page = bo.page
    page.clock.install()
    at(bo, f"/projects/{project}")
    before = page.locator(".turn").count()
    hide = "on => { Object.defineProperty(document, 'hidden', { value: on, configurable: true });"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    page.evaluate(hide, True)
    page.clock.fast_forward(21_000)
    home.ask(project, "[[rehearse only: hello]] while you were away")
    assert page.locator(".turn").count() == before
    page.evaluate(hide, False)
    page.clock.run_for(1000)
    expect(page.locator(".turn.completed").last).to_contain_text("while you were away")


def test_a_deleted_project_takes_its_pages_away(home: House, window: Open, password: str) -> None:
    gone, _ = home.create("[[rehearse only: hello]] not for long", name="Gone")
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{gone}#about")
    other = bo.context.new_page()
    other.goto(page.url)
    page.click("text=Delete this project")
    expect(page.locator("dialog >> text=Yes")).to_be_disabled()
    page.fill("dialog input", "gone")
    page.click("dialog >> text=Yes")
    for one in (page, other):
        one.wait_for_url(f"{bo.url}/")
        expect(one.locator("#projects")).not_to_contain_text("Gone")
    page.goto(f"{bo.url}/projects/gone")
    expect(page.locator("h1")).to_have_text("Not here")


def test_a_picture_the_agent_cannot_read_is_told_at_its_prompt(home: House, window: Open, password: str, project: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")
    page.set_input_files("#ask input[type=file]", [BROKEN])  # type: ignore[list-item]
    page.fill("#text", "use this")
    page.keyboard.press("Enter")
    failed = page.locator(".turn").last
    expect(failed).to_contain_text("Image could not be decoded")
    expect(failed).to_contain_text("Failed")
    page.fill("#text", "[[rehearse only: hello]] without it")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.completed").last).to_contain_text("without it")


def test_a_viewer_looks_and_no_more(home: House, window: Open, password: str, project: str) -> None:
    made = home.doce.request("POST", "/api/users", body={"name": "Vic"})
    (vic := window(home)).sign_in("Vic", made["password"])
    vic.go(f"/projects/{project}")
    expect(vic.page.locator("h1")).to_have_text("Not yours to see")
    home.doce.request("POST", f"/api/projects/{project}/members/Vic", body={"role": "viewer"})
    page = at(vic, f"/projects/{project}")
    for part in ("#text", "#send", "#model"):
        expect(page.locator(part)).to_be_disabled()
    page.click("#tab-about")
    expect(page.locator("#members")).to_contain_text("Vic")
    assert page.locator("text=Delete this project").count() == 0
    expect(page.get_by_role("button", name="Restart")).to_be_disabled()
    page.click("#tab-deploys")
    expect(page.locator("#deploy")).to_be_disabled()


def test_a_key_is_set_on_the_page_and_never_shown_again(home: House, window: Open, password: str, provider: str) -> None:
    (bo := window(home)).sign_in("Bo", password)
    page = bo.go("/settings")
    page.wait_for_selector("#models summary")
    page.fill("#new-provider [name=provider]", "mine")
    page.fill("#new-provider [name=baseUrl]", provider)
    page.fill("#new-provider [name=key]", "sk-wrong")
    page.click("text=Add and check")
    expect(page.locator("#new-provider .wrong")).to_contain_text("refuses this key")
    page.fill("#new-provider [name=key]", KEY)
    page.click("text=Add and check")
    expect(page.locator("#providers")).to_contain_text("key is set")
    expect(page.locator("#models")).to_contain_text("mine/builder")
    assert page.input_value("#new-provider [name=key]") == ""
    page.reload()
    expect(page.locator("#models")).to_contain_text("mine/builder")
    assert KEY not in page.content()
    page.click("[aria-label='Remove mine']")
    page.click("dialog >> text=Yes")
    expect(page.locator("#models")).not_to_contain_text("mine/builder")


def test_words_of_every_kind_stay_in_their_place(home: House, window: Open, password: str, project: str) -> None:
    """Markup, very long words and other directions, as a name, a prompt, an answer and a file, on the narrowest page."""
    home.ask(project, f"[[rehearse run: touch 'public/{EVIL.replace('/', ' ')}.txt' public/{LONG * 3}.txt]] עברית \u202e {LONG * 3}")
    bo = window(home, viewport=PHONE)
    bo.sign_in("Bo", password)
    harmed: list[str] = []
    bo.page.on("dialog", lambda dialog: (harmed.append(dialog.message), dialog.dismiss()))
    for path in ("/", "/queue", f"/projects/{project}#chat", f"/projects/{project}#files", f"/projects/{project}#assets"):
        page = bo.go(path)
        if path.endswith("#files"):
            page.click("#tree summary:text-is('public/')")
            expect(page.locator("#tree")).to_contain_text("<img src=x")
        elif path.endswith("#assets"):
            page.wait_for_selector("#asset-list input")
        elif path.endswith("#chat"):
            page.wait_for_selector(".turn.completed")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], f"{path} hangs out at the side"
        assert page.locator("img[src=x], script:not([src])").count() == 0
    assert harmed == []
    assert [one for one in bo.wrong if "Content Security Policy" in one] == []


@pytest.mark.parametrize(
    "look", [{"viewport": DESKTOP, "color_scheme": "light"}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["desktop", "phone"]
)
def test_who_cannot_see_is_told_everything(home: House, window: Open, password: str, project: str, look: dict[str, object]) -> None:
    """axe finds nothing: names, roles, contrast, order of headings."""
    guest = window(home, **look)
    guest.go("/sign-in")
    wrong = faults(guest.page)
    bo = window(home, **look)
    bo.sign_in("Bo", password)
    for path in ("/", "/queue", "/settings", f"/projects/{project}"):
        page = bo.go(path)
        page.wait_for_load_state("networkidle" if path == "/settings" else "load")
        for details in page.locator("details.menu summary, .sheet > details > summary").all():
            details.click()
        wrong += faults(page)
        bo.shot(f"{path.split('/')[1] or 'projects'}-{'phone' if look['viewport'] == PHONE else 'desktop'}-{look['color_scheme']}")
    page.wait_for_selector(".turn.completed", state="attached")
    for tab in page.locator("[role=tab]:visible").all():
        tab.click()
        wrong += faults(page)
    page.goto(f"{bo.url}/nothing")
    assert wrong + faults(page) == []


def faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def test_a_keyboard_is_enough(home: House, window: Open, password: str, project: str) -> None:
    page = (bo := window(home)).go("/sign-in")
    page.keyboard.type("Bo")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    page.wait_for_selector("#create")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "prompt"
    bo.go(f"/projects/{project}")
    page.wait_for_selector(".turn.completed")
    page.focus("#tab-preview")
    for key, tab in (("ArrowRight", "files"), ("End", "about"), ("ArrowRight", "preview"), ("ArrowLeft", "about"), ("Home", "preview")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
        expect(page.locator(f"#{tab}")).to_be_visible()
    page.focus("#text")
    page.keyboard.type("[[rehearse ask]] by hand")
    page.keyboard.press("Enter")
    page.wait_for_selector(".request >> text=Allow once")
    page.focus(".request button")
    page.keyboard.press("Enter")
    expect(page.locator(".request.done").last).to_contain_text("Allowed once")
    page.focus(".menu summary")
    page.keyboard.press("Enter")
    expect(page.locator(".menu-body")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".menu-body")).to_be_hidden()


def test_what_was_used_is_shown_live_after_a_broken_stream_and_after_kill_9(home: House, window: Open, password: str, project: str) -> None:
    """Per prompt, project and user; the page says while it is open what the sums say, and the same when it is loaded anew."""
    (bo := window(home)).sign_in("Bo", password)
    page = at(bo, f"/projects/{project}")

    def used(of: str, name: str) -> int:
        sums = home.doce.request("GET", "/api/usage", query={"by": of, "limit": 1000})["items"]
        return sum(one["input"] + one["output"] for one in sums if one["of"] == name)

    def shown() -> int:
        return int("".join(filter(str.isdigit, page.inner_text("#spent").partition("tokens")[0])))

    me, about = page.evaluate("fetch('/api/me').then(a => a.json())")["id"], home.doce.project(project)["id"]
    for words, dies in (("[[rehearse break]] add a gallery", False), ("[[rehearse long 6000]] and a story", True)):
        turns, mine = page.locator(".turn").count(), used("user", me)
        page.fill("#text", words)
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn.working .said-text p")
        if dies:
            home.kill()
            home.start()
        expect(page.locator(".turn.completed, .turn.interrupted, .turn.failed, .turn.stopped")).to_have_count(turns + 1)
        prompt = home.doce.prompts(project)["items"][0]["id"]
        expect(page.locator("#spent")).to_contain_text(f"{used('project', about):,} tokens")
        assert used("prompt", prompt) > 0
        assert used("user", me) >= mine + used("prompt", prompt)
        live = shown()
        page.reload()
        page.wait_for_selector(".turn.completed")
        assert shown() == live == used("project", about)
