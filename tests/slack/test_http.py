"""Slack over HTTP: what it signed comes in, everything else is told no before anything reads it."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from doce.logger import JsonFormatter
from doce.web.middleware import HEADERS
from doce_slack.manifest import EVENTS_PATH
from doce_slack.requests import MAX_BODY

from .served_door import Place, placed

pytestmark = pytest.mark.slow

OLD, NEW = "0" * 31 + "a", "0" * 31 + "b"
CHALLENGE = json.dumps({"type": "url_verification", "challenge": "so it is", "token": "x"}).encode()
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.fixture
def place(db: peewee.SqliteDatabase, tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        yield made


def signed(secret: str, body: bytes, *, age: float = 0, kind: str = JSON) -> dict[str, str]:
    """Headers as Slack's own library makes them."""
    at = str(int(time.time() - age))
    signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=body)
    assert signature
    return {"x-slack-request-timestamp": at, "x-slack-signature": signature, "content-type": kind}


def post(place: Place, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return place.house.http.post(EVENTS_PATH, content=body, headers=headers)


def test_what_slack_signed_comes_in(place: Place) -> None:
    answer = post(place, CHALLENGE, signed(place.slack.app.signing_secret, CHALLENGE))
    assert answer.status_code == 200
    assert answer.json() == {"challenge": "so it is"}
    # doce's own envelope is around it
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert len(answer.headers["x-request-id"]) == 16


CHANGED: list[dict[str, str | bytes | None]] = [
    {"x-slack-signature": "v0=" + "0" * 64}, {"x-slack-signature": ""}, {"x-slack-signature": "v1"}, {"x-slack-signature": None},
    {"x-slack-signature": "v0=ä".encode("latin-1")}, {"x-slack-request-timestamp": None}, {"x-slack-request-timestamp": ""},
    {"x-slack-request-timestamp": "soon"}, {"x-slack-request-timestamp": "-1"}, {"x-slack-request-timestamp": "1e9"},
    {"x-slack-request-timestamp": "9" * 400}, {"x-slack-request-timestamp": "١٢٣".encode()},
    {"x-slack-request-timestamp": "\u00b2".encode("latin-1")},
]  # fmt: skip


def test_a_bad_signature_or_time_is_401(place: Place) -> None:
    for changed in CHANGED:
        headers: dict[str, str | bytes] = dict(signed(place.slack.app.signing_secret, CHALLENGE))
        for name, value in changed.items():
            headers.pop(name)
            if value is not None:
                headers[name] = value
        answer = place.house.http.post(EVENTS_PATH, content=CHALLENGE, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401, changed
        assert answer.json()["error"]["code"] == "UNAUTHORIZED"


def test_a_request_is_good_for_five_minutes(place: Place) -> None:
    for age, status in ((0, 200), (290, 200), (310, 401), (-290, 200), (-310, 401), (86_400, 401)):
        assert post(place, CHALLENGE, signed(place.slack.app.signing_secret, CHALLENGE, age=age)).status_code == status


def test_another_body_under_a_good_signature_is_401(place: Place) -> None:
    headers = signed(place.slack.app.signing_secret, CHALLENGE)
    assert post(place, CHALLENGE + b" ", headers).status_code == 401
    assert post(place, b"", headers).status_code == 401


def test_while_secrets_change_both_are_good(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    with placed(tmp_path, slack_signing_secret=f"{NEW}, {OLD}") as place:
        for secret, status in ((NEW, 200), (OLD, 200), ("0" * 32, 401), (f"{NEW}, {OLD}", 401)):
            assert post(place, CHALLENGE, signed(secret, CHALLENGE)).status_code == status


def test_without_a_signing_secret_nobody_is_listened_to(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    with placed(tmp_path, socket=True, slack_signing_secret=None) as place:
        assert post(place, CHALLENGE, signed(OLD, CHALLENGE)).status_code == 404
        assert post(place, CHALLENGE, signed("unused", CHALLENGE)).status_code == 404


def test_too_large_is_413_however_it_comes(place: Place) -> None:
    body = b"x" * (MAX_BODY + 1)
    assert post(place, body, signed(place.slack.app.signing_secret, body)).status_code == 413
    with socket.create_connection(("127.0.0.1", place.house.port), timeout=20) as line:
        line.sendall(f"POST {EVENTS_PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = b""
        try:
            for _ in range(MAX_BODY // 65536 + 2):
                line.sendall(piece)
            answer = line.recv(65536)
        except OSError:
            answer = answer or line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


def test_only_post(place: Place) -> None:
    assert place.house.http.get(EVENTS_PATH).status_code == 405
    assert place.house.http.delete(EVENTS_PATH).status_code == 405


def test_slack_looking_whether_there_is_tls_needs_no_signature_and_does_nothing(place: Place) -> None:
    assert post(place, b"ssl_check=1&token=x", {"content-type": FORM}).status_code == 200
    assert post(place, b"ssl_check=1&token=x&command=/doce&text=help", {"content-type": FORM}).status_code == 401
    assert post(place, b"ssl_check=1", {"content-type": JSON}).status_code == 401
    assert place.house.services.chats.claims.lanes() == []


NONSENSE = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"type": "event_callback"}', b'{"type": "event_callback", "event": 1}',
    b'{"type": "event_callback", "event": {"type": "message"}}', b'{"type": "block_actions"}', b"payload=", b"payload=%7B", b"payload=[]",
    b"payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A%5B%5D%7D", b"command=/doce", b'{"type": "view_submission"}',
    b"payload=%7B%22type%22%3A%22view_submission%22%7D",
]  # fmt: skip


def test_nonsense_that_is_signed_breaks_nothing(place: Place) -> None:
    for body, kind in itertools.product(NONSENSE, (JSON, FORM, "text/plain")):
        try:
            headers = signed(place.slack.app.signing_secret, body, kind=kind)
        except UnicodeDecodeError:
            headers = signed(place.slack.app.signing_secret, b"", kind=kind)
        answer = post(place, body, headers)
        assert answer.status_code < 500, (body, kind, answer.text)
    assert post(place, CHALLENGE, signed(place.slack.app.signing_secret, CHALLENGE)).status_code == 200


def test_anything_unsigned_is_turned_away(place: Place) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.binary(max_size=200), st.one_of(st.none(), st.binary(max_size=40)), st.one_of(st.none(), st.binary(max_size=80)),
        st.sampled_from([JSON, FORM, "text/plain", ""]),
    )  # fmt: skip
    def sent(body: bytes, at: bytes | None, signature: bytes | None, kind: str) -> None:
        def clean(value: bytes) -> bytes:
            return bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F).strip()

        headers: dict[str, bytes] = {"content-type": kind.encode()}
        headers |= {"x-slack-request-timestamp": clean(at)} if at is not None else {}
        headers |= {"x-slack-signature": clean(signature)} if signature is not None else {}
        assert place.house.http.post(EVENTS_PATH, content=body, headers=headers).status_code == 401  # type: ignore[arg-type]

    sent()


def test_neither_bodies_nor_secrets_of_strangers_are_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, body = place.slack.app.signing_secret, b'{"type": "event_callback", "words": "of a stranger"}'
    assert post(place, body, signed(OLD, body)).status_code == 401
    command = urlencode(
        {"command": "/doce", "text": "help", "team_id": "T1", "channel_id": "C1", "user_id": "U1", "trigger_id": "1"}
    ).encode()
    assert post(place, command, signed(secret, command, kind=FORM)).status_code == 200
    lines = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    assert "did not sign" in lines
    assert "of a stranger" not in lines
    for kept in (secret, place.slack.token, place.slack.app.app_token):
        assert kept not in lines


def test_commands_clicks_and_events_over_http(place: Place) -> None:
    """The twin signs and posts as Slack does; what it delivers twice is done once."""
    slack = place.slack
    place.house.person("root", "admin")
    place.link("ada", "root")
    place.run(slack.use_http(place.events_url))
    command = place.run(slack.slash("ada", "#sites", "/doce", "help"))
    assert command.acked
    assert place.until(lambda _: slack.ephemeral("ada", "#sites"))[0].shown
    command = place.run(slack.slash("ada", "#sites", "/doce", "new a bakery in Porto"))
    assert command.acked
    root = place.until(lambda _: slack.messages("#sites"))[0]
    place.house.call(lambda: slack.courier.again(command))
    place.run(slack.say("ada", "#sites", "with opening hours", thread=root.ts))
    place.house.until(lambda: len(_prompts(place)) == 2)
    place.run(slack.settled())
    assert [one.text for one in _prompts(place)] == ["with opening hours", "a bakery in Porto"]
    assert len(slack.messages("#sites")) == 1


def _prompts(place: Place) -> list[object]:
    found = place.house.services.projects.list(None).items
    return list(place.house.services.prompts.page(found[0].id, 10, None).items) if found else []


def test_both_ways_at_once(db: peewee.SqliteDatabase, tmp_path: Path) -> None:
    """One app over Socket Mode, requests over HTTP beside it: the same message on both ways is one."""
    with placed(tmp_path, socket=True) as place:
        slack = place.slack
        place.house.person("root", "admin")
        place.link("ada", "root")
        place.run(slack.connected())
        place.run(slack.slash("ada", "#sites", "/doce", "new a bakery in Porto"))
        root = place.until(lambda _: slack.messages("#sites"))[0]
        place.run(slack.use_http(place.events_url))
        place.run(slack.say("ada", "#sites", "over http", thread=root.ts))
        place.house.until(lambda: len(_prompts(place)) == 2)
        said = next(one for one in slack.delivered("message") if one.event.get("text") == "over http")
        slack.use_socket()
        place.house.call(lambda: slack.courier.again(said))
        place.run(slack.say("ada", "#sites", "over the socket", thread=root.ts))
        place.house.until(lambda: len(_prompts(place)) == 3)
        assert [one.text for one in _prompts(place)] == ["over the socket", "over http", "a bakery in Porto"]  # type: ignore[attr-defined]


def test_a_workspace_that_doce_is_not_in_is_told_so(place: Place) -> None:
    slack = place.slack
    other = slack.world.add_workspace("Elsewhere")
    eve = slack.world.add_user(other, "eve")
    slack.install(other)
    channel = slack.world.add_channel(other, "lobby", [eve.id, other.bot_user])
    place.run(slack.use_http(place.events_url))
    assert place.run(slack.slash(eve, channel, "/doce", "help")).acked
    assert "not installed in this workspace" in place.until(lambda _: slack.ephemeral(eve, channel))[0].text
    place.run(slack.say(eve, channel, "<@" + other.bot_user + "> hello"))
    place.run(slack.settled())
    assert place.house.services.chats.claims.lanes() == []
