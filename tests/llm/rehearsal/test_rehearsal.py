"""The rehearsal model over a small stand-in for the agent's tools that keeps files in a dictionary."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doce.llm.rehearsal import HELP, complete, reply
from doce.llm.rehearsal.design import design
from doce.llm.rehearsal.faults import wishes
from doce.llm.rehearsal.pages import astro_page, html_page

ROOT = "/work/space"
SYSTEM = f"You are a coding agent.\n<env>\n  Working directory: {ROOT}\n  Workspace root folder: {ROOT}\n</env>"
TOOLS = ["bash", "edit", "glob", "grep", "question", "read", "task", "todowrite", "write"]
STARTER = "<!doctype html>\n<title>A site is being made here</title>\n<h1>A site is being made here</h1>\n"


class Workspace:
    """Files, and the tools as OpenCode answers them."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        self.ran: list[str] = []

    @classmethod
    def static(cls) -> Workspace:
        return cls({"public/index.html": STARTER, "public/styles.css": ":root {}\n", "dev-server.mjs": "", "package.json": "{}"})

    @classmethod
    def astro(cls) -> Workspace:
        page = '---\n---\n<Base title="A site is being made here"><h1>A site is being made here</h1></Base>\n'
        return cls({"src/pages/index.astro": page, "src/styles/global.css": ":root {}\n", "astro.config.mjs": ""})

    def turn(self, prompt: str, most: int = 20) -> str:
        """One turn to its end; returns the closing words."""
        self.messages.append({"role": "user", "content": prompt})
        for _ in range(most):
            request = self.request()
            message = complete(request)["choices"][0]["message"]
            assert _streamed(request) == (message["content"], [call["function"] for call in message.get("tool_calls", [])])
            self.messages.append(message)
            calls = message.get("tool_calls", [])
            if not calls:
                return str(message["content"])
            for call in calls:
                arguments = json.loads(call["function"]["arguments"])
                result = self.tool(call["function"]["name"], arguments)
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        raise AssertionError("the turn does not end")

    def request(self) -> dict[str, Any]:
        return {
            "model": "rehearsal/site-builder", "stream": True, "messages": list(self.messages),
            "tools": [{"type": "function", "function": {"name": name}} for name in TOOLS],
        }  # fmt: skip

    def tool(self, name: str, arguments: dict[str, Any]) -> str:
        self.ran.append(name)
        path = str(arguments.get("filePath", "")).removeprefix(ROOT).strip("/")
        if name == "read" and not path:
            names = sorted({file.split("/")[0] + ("/" if "/" in file else "") for file in self.files})
            return (
                f"<path>{ROOT}</path>\n<type>directory</type>\n<entries>\n" + "\n".join(names) + f"\n\n({len(names)} entries)\n</entries>"
            )
        if name == "read":
            if path not in self.files:
                return f"File not found: {ROOT}/{path}"
            lines = self.files[path].split("\n")
            numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, 1))
            return f"<path>{ROOT}/{path}</path>\n<type>file</type>\n<content>\n{numbered}\n\n(End of file)\n</content>"
        if name == "write":
            self.files[path] = arguments["content"]
            return "Wrote file successfully."
        if name == "edit":
            if self.files[path].count(arguments["oldString"]) != 1:
                return "Could not find oldString in the file. It must match exactly."
            self.files[path] = self.files[path].replace(arguments["oldString"], arguments["newString"])
            return "Edit applied successfully."
        return "done"


def _streamed(request: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """Text and tool calls as they come out of the stream."""
    text, calls = "", []
    for piece in reply(request).pieces:
        assert piece.chunk is not None
        for choice in piece.chunk["choices"]:
            text += choice["delta"].get("content") or ""
            calls += [call["function"] for call in choice["delta"].get("tool_calls", [])]
    return text, calls


class Reader(HTMLParser):
    """Collects what a page says."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a portfolio for a ceramicist", ["Portfolio Ceramicist", "Selected work", "About", "Contact"]),
        ("a small bakery in Porto with opening hours", ["Bakery", "Opening hours", "Menu"]),
        ("landing page for our weather app called Nimbus with pricing", ["Nimbus", "Features", "Prices"]),
        ("陶芸家のためのポートフォリオ", ["陶芸家のためのポートフォリオ"]),
        ("🎈🎈🎈", ["Site"]),
    ],
)
def test_a_page_is_about_its_own_words(prompt: str, says: list[str]) -> None:
    workspace = Workspace.static()
    told = workspace.turn(prompt)
    page = workspace.files["public/index.html"]
    for word in says:
        assert word in page
    assert "no real AI" in told
    assert {"read", "write", "edit", "bash", "todowrite"} <= set(workspace.ran)
    assert "script" not in read(page).tags
    assert "http" not in page.replace("http-equiv", "")


def test_astro_gets_a_page_in_its_layout_with_braces_made_harmless() -> None:
    workspace = Workspace.astro()
    workspace.turn("a café {process.env.SECRET} `${x}` <script>alert(1)</script>")
    page = workspace.files["src/pages/index.astro"]
    assert page.startswith('---\nimport Base from "../layouts/Base.astro";')
    markup = page.split("---\n", 2)[2]
    assert "{" not in markup
    assert "`" not in markup
    assert "<script>" not in markup
    assert "public/index.html" not in workspace.files


@pytest.mark.parametrize(
    ("request_", "file", "says"),
    [
        ("make it dark", "styles.css", "color-scheme: dark;"),
        ("lighter please", "styles.css", "color-scheme: light;"),
        ("make the headline blue", "styles.css", "--hue: 216;"),
        ("add a price list", "index.html", ">Prices</h2>"),
        ("add opening hours and make it dark", "index.html", ">Opening hours</h2>"),
        ("change the headline to Clay & Fire", "index.html", "<h1>Clay &amp; Fire</h1>"),
        ("bigger text", "styles.css", "--size: 112%;"),
        ("our grandmother's secret glaze recipes", "index.html", "glaze"),
    ],
)
def test_follow_ups_change_the_page_that_is_there(request_: str, file: str, says: str) -> None:
    workspace = Workspace.static()
    workspace.turn("a portfolio for a ceramicist")
    before = dict(workspace.files)
    told = workspace.turn(request_)
    assert says in workspace.files[f"public/{file}"]
    assert workspace.files != before
    assert "Portfolio Ceramicist" in workspace.files["public/index.html"]
    assert "Done" in told


def test_a_part_can_be_removed_and_added_again() -> None:
    workspace = Workspace.static()
    workspace.turn("a portfolio for a ceramicist")
    workspace.turn("remove the contact section")
    assert ">Contact</h2>" not in workspace.files["public/index.html"]
    assert "#contact" not in workspace.files["public/index.html"]
    for _ in range(2):
        workspace.turn("add a contact form")
    page = workspace.files["public/index.html"]
    assert 'id="contact"' in page
    assert 'id="contact-2"' in page


def test_somebody_elses_page_is_edited_with_care() -> None:
    own = "<!doctype html>\n<html>\n<body>\n<p>" + "Mine. " * 60 + "</p>\n</body>\n</html>\n"
    workspace = Workspace({"public/index.html": own, "public/styles.css": "p { color: red }\n"})
    workspace.turn("add a price list")
    page = workspace.files["public/index.html"]
    assert "Mine. Mine." in page
    assert "Prices" in page
    assert workspace.files["public/styles.css"] == "p { color: red }\n"


def test_a_call_repeated_in_mid_turn_says_the_same() -> None:
    workspace = Workspace.static()
    workspace.turn("a bookshop")
    for end in range(2, len(workspace.messages) + 1):
        request = {**workspace.request(), "messages": workspace.messages[:end]}
        assert complete(request) == complete(json.loads(json.dumps(request)))


def test_words_that_were_cut_off_do_not_count_as_a_step() -> None:
    workspace = Workspace.static()
    workspace.messages.append({"role": "user", "content": "a bookshop"})
    fresh = complete(workspace.request())["choices"][0]["message"]["content"]
    workspace.messages.append({"role": "assistant", "content": "Let me lo"})
    assert complete(workspace.request())["choices"][0]["message"]["content"] == fresh


def test_faults_are_played_as_often_as_was_asked() -> None:
    def ask(wish: str, attempt: int = 0) -> Any:
        workspace = Workspace.static()
        workspace.messages.append({"role": "user", "content": f"[[rehearse {wish}]] a shop"})
        return reply(workspace.request(), attempt)

    assert [ask("500 x2", attempt).status for attempt in range(3)] == [500, 500, 200]
    assert (ask("429").status, ask("429").headers["retry-after"], ask("429", 1).status) == (429, "1", 200)
    assert [ask("401", attempt).status for attempt in range(3)] == [401, 401, 401]
    assert any(piece.broken for piece in ask("break").pieces)
    assert not any(piece.broken for piece in ask("break", 1).pieces)
    assert any(piece.error for piece in ask("error").pieces)
    assert ask("hang").pieces[0].delay_ms > 3_600_000
    assert {piece.delay_ms for piece in ask("slow 70").pieces if piece.chunk and piece.chunk["choices"]} == {70}
    text = "".join(c["delta"].get("content") or "" for p in ask("long 20000").pieces if p.chunk for c in p.chunk["choices"])
    assert len(text) == 20_000


def test_wishes_with_their_own_steps() -> None:
    workspace = Workspace.static()
    assert workspace.turn("[[rehearse only: just this]]") == "just this"
    assert workspace.turn("[[rehearse run: id -u]]").startswith("It said:")
    workspace.turn("[[rehearse question]] which?")
    assert "question" in workspace.ran
    workspace.turn("[[rehearse subagent]] a shop")
    assert "task" in workspace.ran


def test_the_table_of_faults_is_what_is_understood() -> None:
    for line in HELP.splitlines():
        (wish,) = wishes(line).values()
        assert wish.kind


def test_side_questions() -> None:
    def side(system: str, prompt: str) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        return str(complete({"messages": messages})["choices"][0]["message"]["content"])

    assert side("Name this project: …", "a portfolio for a ceramicist") == "Portfolio Ceramicist"
    assert side("You are a title generator.", "make a page about tea") == "About Tea"
    assert "person asked" in side("Summarize the conversation.", "Summarize.")


@given(st.text(min_size=1, max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_words_make_a_page_that_parses(prompt: str) -> None:
    made = design(prompt)
    page = html_page(made)
    reader = read(page)
    assert reader.tags.count("h1") == reader.tags.count("main") == 1
    assert "script" not in reader.tags
    assert 3 <= len(made.sections) <= 6
    assert max(map(len, page.split("\n"))) < 1900
    assert "{" not in astro_page(made).split("---\n", 2)[2]


@given(st.text(min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_follow_up_ends_and_keeps_the_page_whole(request_: str) -> None:
    workspace = Workspace.static()
    workspace.turn("a portfolio for a ceramicist")
    workspace.turn(request_)
    reader = read(workspace.files["public/index.html"])
    assert reader.tags.count("main") == 1
    assert "script" not in reader.tags
