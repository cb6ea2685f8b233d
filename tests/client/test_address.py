"""Which doce is meant, and that a token never goes to another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doce.client import find
from doce.errors import BadRequest
from doce.settings import Settings, load

LEFT = {"url": "http://localhost:9000", "token": "doce_left"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DOCE_URL", "DOCE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return load({}, data=tmp_path, port=8999)


def leave(settings: Settings, text: str) -> None:
    (settings.data / "cli.json").write_text(text)


def test_nothing_said_and_nothing_left(settings: Settings) -> None:
    address = find(settings=settings)
    assert (address.url, address.token) == ("http://localhost:8999", None)


def test_what_doce_left_in_its_data_folder(settings: Settings) -> None:
    leave(settings, json.dumps(LEFT))
    address = find(settings=settings)
    assert address.url == "http://localhost:9000"
    assert address.token is not None
    assert address.token.get_secret_value() == "doce_left"
    assert "doce_left" not in repr(address)


def test_the_environment_wins(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(settings, json.dumps(LEFT))
    monkeypatch.setenv("DOCE_URL", "https://doce.example.com/")
    monkeypatch.setenv("DOCE_TOKEN", "doce_said")
    address = find(settings=settings)
    assert address.url == "https://doce.example.com"
    assert address.token is not None
    assert address.token.get_secret_value() == "doce_said"


def test_the_left_token_stays_with_its_address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(settings, json.dumps(LEFT))
    monkeypatch.setenv("DOCE_URL", "https://elsewhere.example.com")
    assert find(settings=settings).token is None
    assert find("http://localhost:9000/", settings=settings).token is not None


@pytest.mark.parametrize("url", ["localhost:8420", "ftp://localhost", "http://", "http://localhost:99999", "http://[::1", "no"])
def test_an_address_that_is_none(settings: Settings, url: str) -> None:
    with pytest.raises(BadRequest, match="is not an address of a doce"):
        find(url, settings=settings)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "http://localhost:1"}', "null", "{"])
def test_a_file_that_cannot_be_read(settings: Settings, text: str) -> None:
    leave(settings, text)
    with pytest.raises(BadRequest) as caught:
        find(settings=settings)
    assert "cli.json cannot be read" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1", True), ("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://doce.localhost", True),
        ("http://example.com", False), ("http://10.0.0.1", False), ("http://localhost.example.com", False),
    ],
)  # fmt: skip
def test_local(settings: Settings, url: str, local: bool) -> None:
    assert find(url, settings=settings).local is local
