"""Providers, settings and files on the command line: what is asked, and that a key is never on it."""

from __future__ import annotations

from pathlib import Path

from tests.client.doce_twin import Answer, DoceTwin

from .conftest import Doce

TESTED = {"provider": "mine", "models": 2, "message": "mine is set up; it has 2 models."}


def test_a_key_comes_from_a_pipe(twin: DoceTwin, doce: Doce) -> None:
    twin.answer = lambda asked: Answer(body=TESTED)
    done = doce("providers", "set", "mine", "--base-url", "http://localhost/v1", stdin="sk-secret\n")
    assert (done.returncode, done.stdout) == (0, "mine is set up; it has 2 models.\n")
    assert (twin.asked[0].method, twin.asked[0].path) == ("POST", "/api/providers/mine")
    assert twin.asked[0].body == {"key": "sk-secret", "baseUrl": "http://localhost/v1"}
    doce("providers", "set", "ollama", "--base-url", "http://localhost/v1", "--no-key")
    assert twin.asked[1].body == {"baseUrl": "http://localhost/v1"}
    assert doce("providers", "set", "mine", "--key", "sk-secret").returncode == 2
    doce("providers", "test", "mine")
    doce("providers", "remove", "mine")
    assert [(asked.method, asked.path) for asked in twin.asked[2:]] == [
        ("POST", "/api/providers/mine/test"), ("DELETE", "/api/providers/mine"),
    ]  # fmt: skip


def test_providers_are_listed(twin: DoceTwin, doce: Doce) -> None:
    one = {"name": "mine", "baseUrl": "http://localhost/v1", "source": "stored", "hasKey": True, "updatedAt": 1}
    twin.answer = lambda asked: Answer(body={"items": [one], "next": None})
    assert doce("provider").stdout == "mine · http://localhost/v1 · stored · key set\n"


def test_settings_are_changed_at_their_type(twin: DoceTwin, doce: Doce) -> None:
    twin.answer = lambda asked: Answer(body={"items": [], "next": None})
    for words in (("min-free-mb", "5"), ("DOCE_TEMPLATE", "astro-starter"), ("question_timeout_s", "1.5"), ("model", "default")):
        assert doce("settings", "set", *words).returncode == 0
    assert [asked.body for asked in twin.asked] == [
        {"minFreeMb": 5}, {"template": "astro-starter"}, {"questionTimeoutS": 1.5}, {"model": None},
    ]  # fmt: skip


def test_what_runs_now(twin: DoceTwin, doce: Doce) -> None:
    one = {"name": "DOCE_MODEL", "value": "a/b", "default": "", "description": "", "changeable": True, "changed": True}
    twin.answer = lambda asked: Answer(body={"items": [one], "next": None})
    assert doce("settings", "now").stdout == "DOCE_MODEL=a/b (changed)\n"


def test_a_download_that_breaks_leaves_no_file(twin: DoceTwin, doce: Doce, tmp_path: Path) -> None:
    twin.answer = lambda asked: Answer(text="the bytes")
    done = doce("projects", "export", "shop", "-o", str(tmp_path / "shop.zip"))
    assert (done.returncode, (tmp_path / "shop.zip").read_text()) == (0, "the bytes")
    assert twin.asked[0].path == "/api/projects/shop/export"
    assert doce("files", "download", "shop", "public/a b.txt", "-o", "-").stdout == "the bytes"
    assert twin.asked[1].query == {"path": "public/a b.txt"}
    twin.answer = lambda asked: Answer(chunks=[b"the by"])
    done = doce("projects", "export", "shop", "-o", str(tmp_path / "broken.zip"))
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"shop.zip"}
