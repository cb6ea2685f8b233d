from __future__ import annotations

import threading
from collections.abc import Callable

import peewee
import pytest

from doce.auth import passwords, policy
from doce.auth.attempts import LIMIT, REMEMBERED, WINDOW_MS, Attempts
from doce.auth.passwords import hash_password, verify_password
from doce.auth.users import ApiTokens, Person, Users
from doce.clock import ManualClock
from doce.db.models import ApiToken, User
from doce.errors import BadRequest, Conflict, DoceError, NotFound, RateLimited, SetupRequired, Unauthorized


def at_once(*work: Callable[[], object]) -> list[object]:
    """Each in a thread, begun together; what each returned or raised."""
    barrier = threading.Barrier(len(work))
    results: list[object] = [None] * len(work)

    def run(place: int, one: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results[place] = one()
        except DoceError as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# Passwords


def test_a_password_is_kept_as_scrypt_with_its_parameters() -> None:
    stored = hash_password("correct horse")
    name, n, r, p, hashed = stored.split("$")
    assert (name, int(n), int(r), int(p)) == ("scrypt", 2**15, 8, 1)
    salt, _, key = hashed.partition(":")
    assert (len(bytes.fromhex(salt)), len(bytes.fromhex(key))) == (16, 64)
    assert "correct" not in stored
    assert hash_password("correct horse") != stored
    assert verify_password("correct horse", stored)
    assert not verify_password("correct horsf", stored)
    assert not verify_password("", stored)


def test_parameters_come_from_the_stored_hash() -> None:
    """One made with cheaper parameters of another time still opens."""
    made = passwords._derive("old enough", b"0" * 16, 2**10, 8, 1)
    assert verify_password("old enough", f"scrypt$1024$8$1${(b'0' * 16).hex()}:{made.hex()}")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_too_short_and_too_long(password: str) -> None:
    with pytest.raises(BadRequest, match="characters"):
        hash_password(password)


def test_only_the_whole_password_opens() -> None:
    longest = "p" * passwords.MAX_LENGTH
    stored = hash_password(longest)
    assert verify_password(longest, stored)
    assert not verify_password(longest + "p", stored)


def test_any_language_is_a_password() -> None:
    assert verify_password("пароль 🎈", hash_password("пароль 🎈"))


def test_an_unknown_user_costs_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work with the same parameters, so that the time tells nothing."""
    asked: list[tuple[int, int, int, int]] = []
    real = passwords._derive

    def derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        asked.append((len(salt), n, r, p))
        return real(password, salt, n, r, p)

    monkeypatch.setattr(passwords, "_derive", derive)
    stored = hash_password("correct horse")
    assert not verify_password("whatever", None)
    assert not verify_password("whatever", stored)
    assert len(set(asked)) == 1
    assert len(asked) == 3


def test_at_most_two_hashes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    third = threading.Event()

    def scrypt(*_: object, **__: object) -> bytes:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            if inside == 3:
                third.set()
        third.wait(0.05)
        with lock:
            inside -= 1
        return b"\0" * 64

    monkeypatch.setattr(passwords.hashlib, "scrypt", scrypt)
    at_once(*[lambda: hash_password("correct horse")] * 5)
    assert most == 2


# Users


def test_of_two_first_admins_one_is_made(db: peewee.SqliteDatabase) -> None:
    users = Users(ManualClock())
    results = at_once(lambda: users.first_admin("ada"), lambda: users.first_admin("eve"))
    made = [one for one in results if isinstance(one, Person)]
    assert len(made) == 1
    assert made[0].is_admin
    assert [type(one) for one in results if not isinstance(one, Person)] == [Conflict]
    assert User.select().count() == 1


def test_names(db: peewee.SqliteDatabase) -> None:
    users = Users(ManualClock())
    admin = users.first_admin("  Ada   Lovelace ", "correct horse")
    assert admin.name == "Ada Lovelace"
    stored = User.get().password
    assert verify_password("correct horse", stored)
    for taken in ("ada lovelace", "Ada  Lovelace", " ADA LOVELACE"):
        with pytest.raises(Conflict):
            users.add(taken, "member")
    for bad in ("", " ", "x" * 101, "a\0b", "a\x1b[2Jb"):
        with pytest.raises(BadRequest):
            users.add(bad, "member")
    with pytest.raises(BadRequest):
        users.add("bob", "member", "")
    assert users.get(admin.id) == admin
    with pytest.raises(NotFound):
        users.get("usr_nobody")


def test_policy(db: peewee.SqliteDatabase) -> None:
    users = Users(ManualClock())
    with pytest.raises(SetupRequired, match="no user"):
        policy.signed_in(users, None)
    admin = users.first_admin("ada")
    with pytest.raises(Unauthorized):
        policy.signed_in(users, None)
    assert policy.signed_in(users, admin) is admin
    assert not policy.NOBODY.is_admin


# Tokens


def test_a_token_is_hashed_shown_once_and_revocable(db: peewee.SqliteDatabase) -> None:
    clock = ManualClock()
    users, tokens = Users(clock), ApiTokens(clock)
    ada, bob = users.first_admin("ada"), users.add("bob", "member")
    token, secret = tokens.create(ada.id, "  laptop ")
    plain = secret.get_secret_value()
    assert plain.startswith("doce_")
    assert len(plain) > 40
    assert plain not in str(secret)
    row = ApiToken.get()
    assert plain not in row.hash
    assert len(row.hash) == 64
    assert token.name == "laptop"
    assert tokens.who(plain) == ada
    assert tokens.who(plain[:-1]) is None
    assert tokens.who(row.hash) is None
    assert tokens.who("doce_\ud800") is None
    with pytest.raises(NotFound):
        tokens.revoke(bob.id, token.id)
    tokens.revoke(ada.id, token.id)
    assert tokens.who(plain) is None
    assert tokens.list(ada.id) == []
    with pytest.raises(NotFound):
        tokens.revoke(ada.id, token.id)


def test_its_last_use_is_written_once_a_minute(db: peewee.SqliteDatabase) -> None:
    clock = ManualClock()
    users, tokens = Users(clock), ApiTokens(clock)
    ada = users.first_admin("ada")
    _, secret = tokens.create(ada.id, "laptop")

    def used() -> int | None:
        tokens.who(secret.get_secret_value())
        return tokens.list(ada.id)[0].last_used_at

    first = used()
    clock.advance(s=59)
    assert used() == first
    clock.advance(s=2)
    assert used() == clock.now_ms()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb\0"])
def test_a_token_needs_a_name(db: peewee.SqliteDatabase, name: str) -> None:
    ada = Users(ManualClock()).first_admin("ada")
    with pytest.raises(BadRequest):
        ApiTokens(ManualClock()).create(ada.id, name)


# Attempts


def test_five_failures_a_minute() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(LIMIT):
        attempts.check("a")
        attempts.failed("a")
        clock.advance(s=1)
    with pytest.raises(RateLimited) as caught:
        attempts.check("a")
    assert caught.value.retry_after_s == 55
    attempts.check("b")
    clock.advance(ms=WINDOW_MS - LIMIT * 1000 - 1)
    with pytest.raises(RateLimited) as caught:
        attempts.check("a")
    assert caught.value.retry_after_s == 1
    clock.advance(ms=1)
    attempts.check("a")
    attempts.failed("a")
    with pytest.raises(RateLimited):
        attempts.check("a")


def test_who_comes_back_when_told_is_let_in() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(LIMIT):
        attempts.failed("a")
    clock.advance(ms=300)
    with pytest.raises(RateLimited) as caught:
        attempts.check("a")
    clock.advance(s=caught.value.retry_after_s)
    attempts.check("a")


def test_of_many_at_once_no_more_than_the_limit_pass() -> None:
    attempts = Attempts(ManualClock())
    results = at_once(*[lambda: attempts.failed("a")] * 20)
    assert len([one for one in results if one is None]) == LIMIT


def test_addresses_without_end_do_not_fill_the_memory() -> None:
    attempts = Attempts(ManualClock())
    for number in range(REMEMBERED + 50):
        attempts.failed(str(number))
    assert len(attempts._failures) == REMEMBERED
