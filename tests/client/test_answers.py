"""Every refusal arrives as the error that doce raised; silence and strangers are told apart."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from doce.client import Address, AsyncDoce, Doce
from doce.errors import (
    BadRequest,
    Conflict,
    DoceError,
    InternalServerError,
    NotFound,
    RateLimited,
    SetupRequired,
    Unavailable,
    all_errors,
)  # fmt: skip
from tests.client.doce_twin import Answer, DoceTwin, free_port

TOKEN = SecretStr("doce_token")


def ask(twin: DoceTwin) -> Doce:
    return Doce(address=Address(twin.url, TOKEN))


def sync_error(address: Address) -> DoceError:
    with Doce(address=address) as doce, pytest.raises(DoceError) as caught:
        doce.project("x")
    return caught.value


def async_error(address: Address) -> DoceError:
    async def run() -> None:
        async with AsyncDoce(address=address) as doce:
            await doce.project("x")

    with pytest.raises(DoceError) as caught:
        asyncio.run(run())
    return caught.value


@pytest.mark.parametrize("failing", [sync_error, async_error])
@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind is not DoceError] + [InternalServerError])
def test_the_same_error_on_both_sides(twin: DoceTwin, kind: type[DoceError], failing: object) -> None:
    raised = kind("That did not go well.", hint="Do it otherwise.", details={"retryAfter": 7}) if kind is not RateLimited else RateLimited(
        "That did not go well.", hint="Do it otherwise.", retry_after_s=7
    )  # fmt: skip
    twin.script = [Answer(kind.status, raised.as_dict())]
    got = failing(Address(twin.url, TOKEN))  # type: ignore[operator]
    assert type(got) is kind
    assert got.as_dict() == raised.as_dict()
    if isinstance(got, RateLimited):
        assert got.retry_after_s == 7


@pytest.mark.parametrize("failing", [sync_error, async_error])
def test_nobody_listens(failing: object) -> None:
    url = f"http://localhost:{free_port()}"
    error = failing(Address(url))  # type: ignore[operator]
    assert isinstance(error, Unavailable)
    assert str(error) == f"doce is not running at {url}. `doce serve` starts it."


def test_a_remote_doce_is_not_started_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Address, "local", False)
    error = sync_error(Address(f"http://127.0.0.1:{free_port()}"))
    assert "cannot be reached" in error.message
    assert "doce serve" not in str(error)


@pytest.mark.parametrize("answer", [Answer(502, text="<h1>Bad gateway</h1>"), Answer(404, {"detail": "Not Found"}), Answer(500, [1])])
def test_somebody_else_answers(twin: DoceTwin, answer: Answer) -> None:
    twin.script = [answer]
    error = sync_error(Address(twin.url))
    assert isinstance(error, Unavailable)
    assert error.message == f"What answers at {twin.url} is not doce (HTTP {answer.status})."


def test_an_error_code_of_a_newer_doce_goes_by_its_status(twin: DoceTwin) -> None:
    twin.script = [
        Answer(409, {"error": {"code": "BRAND_NEW", "message": "No."}}),
        Answer(418, {"error": {"code": "TEA", "message": "Tea."}}),
    ]
    assert type(sync_error(Address(twin.url))) is Conflict
    assert type(sync_error(Address(twin.url))) is DoceError


def test_who_has_no_token_learns_where_it_comes_from(twin: DoceTwin) -> None:
    refusal = Answer(401, {"error": {"code": "UNAUTHORIZED", "message": "You are not signed in.", "hint": "Sign in."}})
    twin.script = [refusal, refusal, Answer(401, {"error": {"code": "SETUP_REQUIRED", "message": "No user.", "hint": "`doce setup`."}})]
    assert "DOCE_TOKEN" in str(sync_error(Address(twin.url)))
    assert str(sync_error(Address(twin.url, TOKEN))) == "You are not signed in. Sign in."
    setup = sync_error(Address(twin.url))
    assert (type(setup), str(setup)) == (SetupRequired, "No user. `doce setup`.")


def test_what_is_sent(twin: DoceTwin) -> None:
    twin.answer = lambda asked: Answer(body={"id": "prj_1"})
    with ask(twin) as doce:
        assert doce.create("ein Blumenladen", name="Blüte") == {"id": "prj_1"}
        doce.project("../users?x=1#y")
        doce.projects(limit=5)
    created, read, listed = twin.asked
    assert created.body == {"prompt": "ein Blumenladen", "name": "Blüte"}
    assert created.headers["authorization"] == "Bearer doce_token"
    assert read.path == "/api/projects/..%2Fusers%3Fx%3D1%23y"
    assert listed.query == {"limit": "5"}


def test_an_answer_that_is_not_json(twin: DoceTwin) -> None:
    twin.script = [Answer(204), Answer(200, text="{", headers={"content-type": "application/json"}), Answer(302, text="")]
    with ask(twin) as doce:
        assert doce.delete("x") is None
        for _ in range(2):
            with pytest.raises(Unavailable):
                doce.project("x")


def test_the_faces_have_the_same_methods() -> None:
    def public(face: type) -> set[str]:
        return {name for name in dir(face) if not name.startswith("_")}

    assert public(Doce) == public(AsyncDoce)


def test_an_address_that_httpx_refuses() -> None:
    with Doce(address=Address("http://local host")) as doce, pytest.raises((BadRequest, Unavailable)):
        doce.health()


def test_not_found_reads_the_same(twin: DoceTwin) -> None:
    raised = NotFound("There is no project 'ceramik'.", hint="Did you mean ceramic?")
    twin.script = [Answer(404, raised.as_dict())]
    assert str(sync_error(Address(twin.url, TOKEN))) == str(raised)
