from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import peewee
import pytest
from pydantic import SecretStr

from doce.auth import setup
from doce.auth.secrets import SecretKey
from doce.auth.users import ApiTokens, Users
from doce.clock import ManualClock
from doce.errors import Conflict, InternalServerError
from doce.settings import Settings

from .test_people import at_once


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    before = os.umask(0)
    try:
        key = SecretKey.load(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert len(path.read_bytes()) == 32
    assert SecretKey.load(path).derive("a") == key.derive("a")
    assert key.derive("a") != key.derive("b")
    assert len(key.derive("a")) == 48
    assert path.read_bytes().hex() not in key.derive("a")
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_two_that_make_it_at_once_use_the_same(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / str(number) / "secret.key"
        derived = at_once(*[lambda path=path: SecretKey.load(path).derive("x")] * 4)  # type: ignore[misc]
        assert len(set(derived)) == 1
        assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_a_damaged_key_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(b"short")
    with pytest.raises(InternalServerError, match="damaged") as caught:
        SecretKey.load(path)
    assert "backup" in (caught.value.hint or "")
    assert str(tmp_path) not in str(caught.value)


def test_setup_leaves_a_token_for_this_machine(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    settings, clock = Settings(data=tmp_path / "data", port=8420), ManualClock()
    users, tokens = Users(clock), ApiTokens(clock)
    before = os.umask(0)
    try:
        admin = setup.setup(settings, users, tokens, "ada")
    finally:
        os.umask(before)
    path = settings.data / "cli.json"
    assert mode(path) == 0o600
    left = json.loads(path.read_text())
    assert left["url"] == "http://localhost:8420"
    assert tokens.who(left["token"]) == admin
    with pytest.raises(Conflict, match="already set up"):
        setup.setup(settings, users, tokens, "eve")
    assert json.loads(path.read_text()) == left


def test_another_address_keeps_the_token(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "files")
    settings.data.mkdir()
    path = setup.leave_token(settings, SecretStr("doce_secret"))
    setup.update_url(settings, "http://localhost:9000")
    assert json.loads(path.read_text()) == {"url": "http://localhost:9000", "token": "doce_secret"}
    assert mode(path) == 0o600
    assert [entry.name for entry in settings.data.iterdir()] == ["cli.json"]


def test_setup_after_doce_took_a_free_port_leaves_that_one(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    settings, clock = Settings(data=tmp_path / "data", port=0), ManualClock()
    setup.update_url(settings, "http://localhost:36023")
    setup.setup(settings, Users(clock), ApiTokens(clock), "ada")
    assert json.loads((settings.data / "cli.json").read_text())["url"] == "http://localhost:36023"


@pytest.mark.parametrize("left", [None, "", "{", "[]", "{}", '"x"', '{"url": "http://a"}'])
def test_a_file_that_is_none_is_left_alone(db: peewee.SqliteDatabase, tmp_path: Path, left: str | None) -> None:
    path = tmp_path / "cli.json"
    if left is not None:
        path.write_text(left)
    setup.update_url(Settings(data=tmp_path), "http://localhost:9000")
    assert (path.read_text() if path.exists() else None) == left
