from __future__ import annotations

from typing import Any

import pytest

from doce.actions.catalog import actions
from doce.actions.prompts import Answer
from doce.actions.registry import Call, perform, understand
from doce.actions.words import Said, Words, find_verb, parse
from doce.auth.users import Person
from doce.errors import BadRequest, Conflict, DoceError, Forbidden, NotFound
from doce.projects.views import ProjectView
from tests.web.house import House

from .conftest import running


class Chat:
    """Somebody who types."""

    def __init__(self, house: House, name: str = "ada", role: str = "member") -> None:
        self.house = house
        self.user: Person
        self.user, self.headers = house.person(name, role)

    @property
    def call(self) -> Call:
        return Call(self.house.services, self.user)

    def parse(self, text: str, here: str | None = None) -> tuple[str, dict[str, Any], str]:
        parsed = parse(text, self.call, here=here)
        return parsed.action.name, parsed.input.model_dump(exclude_unset=True), parsed.said

    def say(self, text: str, project: str | None = None) -> Said:
        said = perform(actions()["words.say"], self.house.services, self.user, Words(text=text, project=project))
        assert isinstance(said, Said)
        return said

    def project(self, prompt: str) -> ProjectView:
        return running(self.house, self.user.id, prompt)


@pytest.fixture
def ada(house: House) -> Chat:
    house.person("root", "admin")
    return Chat(house)


NEW = "projects.create"


def test_the_grammar(ada: Chat) -> None:
    tea, bread = ada.project("a teahouse page"), ada.project("bread bakery news")
    assert (tea.slug, bread.slug) == ("teahouse-page", "bread-bakery-news")
    on = f"(on {bread.slug}, your latest project)"
    table: dict[str, tuple[str, dict[str, Any], str]] = {
        # verbs: exact, prefix, any case, with what chat puts in front
        "me": ("users.me", {}, ""),
        "ME": ("users.me", {}, ""),
        "!me": ("users.me", {}, ""),
        "/doce me": ("users.me", {}, ""),
        "tok": ("tokens.list", {}, ""),
        "templ": ("templates.list", {}, ""),
        "model": ("projects.updateModel", {}, ""),
        # projects: by slug, its first words, its id, an address, or left out
        "status teahouse-page": ("projects.get", {"project": tea.id}, ""),
        "status teahouse": ("projects.get", {"project": tea.id}, ""),
        "status tea": ("projects.get", {"project": tea.id}, ""),
        f"status {tea.id}": ("projects.get", {"project": tea.id}, ""),
        "status https://doce/p/teahouse-page/": ("projects.get", {"project": tea.id}, ""),
        "status": ("projects.get", {"project": bread.id}, on),
        "stat": ("projects.get", {"project": bread.id}, on),
        # the rest is text, with its own lines and dashes
        "chat teahouse-page make it dark": ("prompts.add", {"project": tea.id, "text": "make it dark"}, ""),
        "chat teahouse make it dark": ("prompts.add", {"project": tea.id, "text": "make it dark"}, ""),
        "chat teahouse-page\nmake it\n  dark": ("prompts.add", {"project": tea.id, "text": "make it\n  dark"}, ""),
        "chat make it dark": ("prompts.add", {"project": bread.id, "text": "make it dark"}, on),
        "chat b is a letter": ("prompts.add", {"project": bread.id, "text": "b is a letter"}, on),
        "chat tea is served hot": ("prompts.add", {"project": bread.id, "text": "tea is served hot"}, on),
        "chat use -ish and --bogus -- all of it": ("prompts.add", {"project": bread.id, "text": "use -ish and --bogus -- all of it"}, on),
        'chat "make it dark"': ("prompts.add", {"project": bread.id, "text": "make it dark"}, on),
        "chat “make it dark”": ("prompts.add", {"project": bread.id, "text": "make it dark"}, on),
        'chat say "hi" to ada': ("prompts.add", {"project": bread.id, "text": 'say "hi" to ada'}, on),
        # flags
        "chat make it dark --model rehearsal/site-builder": (
            "prompts.add", {"project": bread.id, "text": "make it dark", "model": "rehearsal/site-builder"}, on,
        ),
        "new a café menu —template astro-starter": (NEW, {"prompt": "a café menu", "template": "astro-starter"}, ""),
        "new a café menu –template=static": (NEW, {"prompt": "a café menu", "template": "static"}, ""),
        'new a café menu --name "Café Luz"': (NEW, {"prompt": "a café menu", "name": "Café Luz"}, ""),
        "new a café menu --name “Café Luz”": (NEW, {"prompt": "a café menu", "name": "Café Luz"}, ""),
        "list --limit 5": ("projects.list", {"limit": 5}, ""),
        "list -n 5": ("projects.list", {"limit": 5}, ""),
        # free text
        "a portfolio for a ceramicist": (NEW, {"prompt": "a portfolio for a ceramicist"}, ""),
        "an online shop for tea": (NEW, {"prompt": "an online shop for tea"}, ""),
        "make me a website": (NEW, {"prompt": "make me a website"}, ""),
        "I want a site": (NEW, {"prompt": "I want a site"}, ""),
        "陶芸家 の ための": (NEW, {"prompt": "陶芸家 の ための"}, ""),
        "answer teahouse-page per_1 once": ("permissions.answer", {"project": tea.id, "request": "per_1", "reply": "once"}, ""),
        "answer per_1 always": ("permissions.answer", {"project": bread.id, "request": "per_1", "reply": "always"}, on),
        "rename teahouse-page Tea for Two": ("projects.rename", {"project": tea.id, "name": "Tea for Two"}, ""),
        "job 7": ("jobs.get", {"job": 7}, ""),
        "retry teahouse-page": ("projects.start", {"project": tea.id}, ""),
        # two words
        "jobs cancel 7": ("jobs.cancel", {"job": 7}, ""),
        "!Jobs  Run-Now\n7": ("jobs.runNow", {"job": 7}, ""),
        "jobs --limit 3": ("jobs.list", {"limit": 3}, ""),
        "queue pause": ("queue.pause", {}, ""),
        "queue concurrency 4": ("queue.concurrency", {"jobs": 4}, ""),
        "prompts list": ("prompts.list", {"project": bread.id}, on),
        "prompts remove teahouse-page prm_1": ("prompts.remove", {"project": tea.id, "prompt": "prm_1"}, ""),
        "prompts edit teahouse-page prm_1 make it light": (
            "prompts.edit", {"project": tea.id, "prompt": "prm_1", "text": "make it light"}, "",
        ),
        "tokens revoke tok_1": ("tokens.revoke", {"token": "tok_1"}, ""),
    }  # fmt: skip
    table.pop("model")
    for text, wanted in table.items():
        name, values, said = ada.parse(text)
        assert (name, {key: getattr(value, "value", value) for key, value in values.items()}, said) == wanted, text


def test_the_place_it_is_said_in_comes_before_the_latest(ada: Chat) -> None:
    tea = ada.project("a teahouse page")
    ada.project("bread bakery news")
    assert ada.parse("chat make it dark", here=tea.id) == ("prompts.add", {"project": tea.id, "text": "make it dark"}, "")
    assert ada.say("status", project=tea.slug).text.startswith("teahouse-page")


NOT_UNDERSTOOD: list[tuple[str, type[DoceError], str, str]] = [
    ("statsu", BadRequest, "I don't know 'statsu'", "Did you mean status"),
    ("delte my site please", BadRequest, "I don't know 'delte'", "Did you mean delete"),
    ("bogus", BadRequest, "I don't know 'bogus'", "`help` lists"),
    ("prompts edti prm_1 a text", BadRequest, "I don't know 'prompts'", "Did you mean prompts edit"),
    ("st", BadRequest, "I don't know 'st'", ""),
    ("st x", BadRequest, "I don't know 'st'", ""),
    ("me and you", BadRequest, "does not take 'and you'", "me"),
    ("list --limit", BadRequest, "--limit needs a value", "How many"),
    ("list --limit many", BadRequest, "'limit' is not valid", ""),
    ("job x", BadRequest, "'job' is not valid", ""),
    ("job", BadRequest, "'job' is not valid", ""),
    ("status nowhere", NotFound, "no project 'nowhere'", "You have"),
    ("status", NotFound, "no project yet", "doce new"),
    ("answer per_1 maybe", BadRequest, "'reply' is not valid", ""),
    ("new", BadRequest, "empty", ""),
    ("say me", BadRequest, "without `say`", ""),
    ("status eves-page", Forbidden, "somebody else's", "owner"),
]


def test_what_is_not_understood_says_what_to_type(ada: Chat) -> None:
    eve = Chat(ada.house, "eve")
    eve.project("eves page")
    # Those that are about a project of one's own come last: before, there is none.
    for text, error, says, hint in sorted(NOT_UNDERSTOOD, key=lambda entry: entry[0] in ("status nowhere", "answer per_1 maybe")):
        if text == "status nowhere":
            ada.project("a teahouse page")
        with pytest.raises(error) as caught:
            ada.say(text)
        assert says in caught.value.message, text
        assert hint in (caught.value.hint or ""), text


def test_delete_needs_the_whole_name(ada: Chat) -> None:
    tea = ada.project("a teahouse page")
    for text in ("delete", "delete tea", f"delete {tea.id}", "delete teahouse", "del"):
        with pytest.raises(BadRequest, match="whole name") as caught:
            ada.say(text)
        assert tea.slug in (caught.value.hint or "")
    assert ada.house.services.projects.get(tea.id).status.value == "running"
    said = ada.say("delete Teahouse-Page")
    assert said.action == "projects.delete"
    assert ada.house.services.projects.get(tea.id).status.value == "deleting"


def test_several_that_begin_like_that_are_named(ada: Chat) -> None:
    ada.project("tea shop")
    ada.project("tea house")
    with pytest.raises(Conflict, match="several") as caught:
        ada.say("status tea")
    assert "tea-shop" in (caught.value.hint or "")
    assert "tea-house" in (caught.value.hint or "")


def test_what_several_may_be_meant_by_is_not_done_to_the_latest(ada: Chat) -> None:
    ada.project("ceramic portfolio")
    ada.project("ceramic shop")
    latest = ada.project("a bakery page")
    for text in ("rename ceramic Birra", "model ceramic rehearsal/site-builder", "rollback ceramic v1"):
        with pytest.raises(Conflict, match="could be several"):
            ada.parse(text)
    # Said to the agent it is a sentence like any other, and in a project's own place it is about that project.
    assert ada.parse("chat ceramic tiles, please")[1] == {"project": latest.id, "text": "ceramic tiles, please"}
    assert ada.parse("rename ceramic Birra", here=latest.id)[1] == {"project": latest.id, "name": "ceramic Birra"}


def test_help_and_nothing(ada: Chat) -> None:
    assert ada.say("").text == ada.say("help").text == ada.say("/doce").text == ada.say("/doce help").text
    assert ada.say("help chat").text.startswith("chat PROJECT TEXT [--model …]")
    assert ada.say("help bogus").text == ada.say("help").text


def test_prefixes() -> None:
    assert find_verb("") is None
    assert find_verb("st") is None, "status, start, stop"
    assert find_verb("sto") is actions()["agent.stop"]
    assert find_verb("mod") is None, "model, models"
    assert find_verb("cre") is actions()["projects.create"]


def test_what_is_not_for_typing(ada: Chat) -> None:
    for text in ("tokens create cron", "projects delete-all"):
        with pytest.raises(BadRequest):
            ada.say(text)
    assert len(ada.house.services.tokens.list(ada.user.id)) == 1


def test_two_words_are_done_and_checked(ada: Chat) -> None:
    tea = ada.project("a teahouse page")
    assert ada.say("jobs cancel 1").text.startswith("1 · project.create · cancelled")
    with pytest.raises(Forbidden, match="Only an admin"):
        ada.say("queue pause")
    with pytest.raises(BadRequest, match="'job' is not valid"):
        ada.say("jobs cancel")
    with pytest.raises(BadRequest, match="does not take") as caught:
        ada.say("queue get now")
    assert "queue" in (caught.value.hint or "")
    assert ada.say("help jobs cancel").text.startswith("jobs cancel JOB: Cancel a job")
    assert "jobs cancel" in ada.say("help").text
    prompt = ada.house.services.prompts.next(tea.id)
    assert prompt
    assert ada.say(f"prompts remove {prompt.id}").action == "prompts.remove"


def test_every_answer_in_words(ada: Chat) -> None:
    """What each command that can be typed says; a command without a line here fails."""
    project = ada.project("a teahouse page")
    secret = ada.headers["authorization"].removeprefix("Bearer ")
    wanted = {
        "me": "ada · member",
        "new a site about cats --name Cats": "Making Cats",
        "list": "cats · created",
        "status": "cats · created · waiting for a worker · 1 waiting",
        "open teahouse-page": "http://127.0.0.1:41000/",
        "chat teahouse-page make it dark": "queued · make it dark",
        "start teahouse-page": "teahouse-page · running",
        "rename teahouse-page Tea for Two": "teahouse-page · running",
        "model teahouse-page rehearsal/site-builder": "teahouse-page · running",
        "jobs": "docker.ensureRunning · queued · attempt 0/3",
        "job 1": "1 · project.create · queued",
        "queue": "working · ",
        "tokens": "test",
        "models": "rehearsal/site-builder · Rehearsal (scripted, no real AI) (default)",
        "templates": "static · ",
        "restart teahouse-page": "teahouse-page · stopping",
        "usage teahouse-page": "Nothing has been used yet.",
        "logs teahouse-page": "The log is empty.",
        "versions teahouse-page": "stopped · nothing is live",
        "undeploy teahouse-page": "stopped · nothing is live",
        "stop cats": "Stopping Cats",
        "halt cats": "cats · ",
        "delete teahouse-page": "teahouse-page · deleting",
    }
    done = set()
    for text, says in wanted.items():
        said = ada.say(text)
        done.add(said.action)
        assert says in said.text, (text, said.text)
        assert secret not in said.text
        assert said.data is not None
    typed = {one.name for one in actions().values() if one.words}
    assert typed - done == {
        "words.say", "permissions.answer", "projects.duplicate", "productions.deploy", "productions.rollback", "monitor.show"
    }  # fmt: skip
    assert ada.house.services.projects.exists(project.id)


def test_the_same_sentence_through_every_door(ada: Chat) -> None:
    """HTTP, words over HTTP and a call from inside refuse alike."""
    eve = Chat(ada.house, "eve")
    theirs = eve.project("eves page")
    mine = ada.project("a teahouse page")
    ask = {
        f"status {theirs.slug}": ("GET", f"/api/projects/{theirs.slug}", None),
        "status nowhere": ("GET", "/api/projects/nowhere", None),
        "job 999": ("GET", "/api/jobs/999", None),
        f"answer {mine.slug} per_9 once": ("POST", f"/api/projects/{mine.id}/permissions/per_9", {"reply": "once"}),
        f"model {mine.slug} nobody/x": ("POST", f"/api/projects/{mine.id}/model", {"model": "nobody/x"}),
        "new a site --template bogus": ("POST", "/api/projects", {"prompt": "a site", "template": "bogus"}),
    }
    for text, (method, path, body) in ask.items():
        direct = ada.house.http.request(method, path, json=body, headers=ada.headers)
        typed = ada.house.http.post("/api/words", json={"text": text}, headers=ada.headers)
        assert direct.status_code == typed.status_code >= 400, text
        assert direct.json() == typed.json(), text
        with pytest.raises(DoceError) as caught:
            ada.say(text)
        assert caught.value.as_dict() == typed.json()


def test_answer_is_understood() -> None:
    given = understand(actions()["permissions.answer"], {"project": "p", "request": "r", "reply": "once"})
    assert isinstance(given, Answer)
