"""One project's OpenCode server over HTTP. Synchronous; the stream is in `stream`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError

from doce.errors import BadRequest, Conflict, DoceError, NotFound, Unavailable
from doce.opencode.ids import mint_message_id as mint_message_id
from doce.opencode.resync import Snapshot
from doce.opencode.snapshot import take
from doce.opencode.values import Health, Message, Permission, Question, Session, Status
from doce.opencode.values import PromptFile as PromptFile

USER = "opencode"
_HINT = "Your files are safe. It is looked at again by itself; if this stays, stop and start the project."
T = TypeVar("T")


class OpenCode:
    """The API of one server, typed. Every method raises Unavailable when the server does not answer or answers nonsense,
    NotFound and Conflict as it says them, BadRequest when it refuses what was sent.

    `timeout_s` bounds connecting and each answer (seconds).
    """

    def __init__(
        self, base_url: str, password: SecretStr, *, timeout_s: float = 10.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.password = password
        self.auth = httpx.BasicAuth(USER, password.get_secret_value())
        # The agent is on this machine: no proxy of the environment may come between.
        self._http = httpx.Client(base_url=self.base_url, auth=self.auth, timeout=timeout_s, transport=transport, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Server

    def health(self) -> Health:
        """Version and health."""
        return self._get("/global/health", Health)

    # Sessions

    def create_session(self, title: str, permission: Sequence[dict[str, str]] = ()) -> Session:
        """A new session. With a title OpenCode asks no model for one. `permission`: rules {permission, pattern, action}."""
        body: dict[str, Any] = {"title": title}
        if permission:
            body["permission"] = list(permission)
        return self._answer("POST", "/session", Session, json=body)

    def session(self, session_id: str) -> Session:
        """One session."""
        return self._get(f"/session/{_id(session_id)}", Session)

    def sessions(self) -> list[Session]:
        """Sessions of the workspace, newest first."""
        return self._get("/session", list[Session])

    def children(self, session_id: str) -> list[Session]:
        """The sub-agents' sessions that this one started."""
        return self._get(f"/session/{_id(session_id)}/children", list[Session])

    def delete_session(self, session_id: str) -> None:
        """Remove a session. Abort it first: OpenCode goes on with the run of a deleted session."""
        self._answer("DELETE", f"/session/{_id(session_id)}", bool)

    def statuses(self) -> dict[str, Status]:
        """Session id → status of those that are not idle."""
        return self._get("/session/status", dict[str, Status])

    def abort(self, session_id: str) -> bool:
        """Stop the run; True also when none was running or the session is unknown (as OpenCode answers)."""
        return self._answer("POST", f"/session/{_id(session_id)}/abort", bool)

    def summarize(self, session_id: str, *, model: tuple[str, str]) -> bool:
        """Shorten the session's memory with this model; answers when done, which takes a model call."""
        body = {"providerID": model[0], "modelID": model[1]}
        return self._answer("POST", f"/session/{_id(session_id)}/summarize", bool, json=body, timeout=300.0)

    # Messages and prompts

    def messages(self, session_id: str, *, limit: int | None = None) -> list[Message]:
        """Messages, oldest first; with `limit` the newest ones."""
        return [Message.model_validate(raw) for raw in self.raw_messages(session_id, limit=limit)]

    def message_ids(self, session_id: str) -> list[str]:
        """Ids of all messages, oldest first: was this prompt taken?"""
        return [message.info.id for message in self.messages(session_id)]

    def prompt(self, session_id: str, *, message_id: str, text: str, model: tuple[str, str], files: Sequence[PromptFile] = ()) -> None:
        """Hand over a prompt; returns when OpenCode has taken it.

        Not repeatable: a second call with the same id adds the text again. `message_id` comes from `mint_message_id`.
        The model is always sent, for a session remembers the last one, even one that does not exist.
        """
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        parts += [{"type": "file", "filename": file.name, "mime": file.mime, "url": file.url} for file in files]
        body = {"messageID": message_id, "model": {"providerID": model[0], "modelID": model[1]}, "parts": parts}
        self._request("POST", f"/session/{_id(session_id)}/prompt_async", json=body)

    # Requests of the agent

    def permissions(self) -> list[Permission]:
        """Permissions that wait (and stale ones of aborted turns)."""
        return self._get("/permission", list[Permission])

    def questions(self) -> list[Question]:
        """Questions that wait."""
        return self._get("/question", list[Question])

    def reply_permission(self, request_id: str, reply: Literal["once", "always", "reject"], message: str | None = None) -> None:
        """Answer a permission. `reject` ends the turn, unless a message tells the agent what to do instead."""
        body = {"reply": reply} if message is None else {"reply": reply, "message": message}
        self._answer("POST", f"/permission/{_id(request_id)}/reply", bool, json=body)

    def reply_question(self, request_id: str, answers: Sequence[Sequence[str]]) -> None:
        """Answer each question with the labels chosen."""
        body = {"answers": [list(answer) for answer in answers]}
        self._answer("POST", f"/question/{_id(request_id)}/reply", bool, json=body)

    def reject_question(self, request_id: str) -> None:
        """Refuse to answer; ends the turn."""
        self._answer("POST", f"/question/{_id(request_id)}/reject", bool)

    # As it is sent, for `resync`

    def snapshot(self, roots: Iterable[str], *, known: Callable[[str], bool] = lambda message_id: False) -> Snapshot:
        """The project's sessions as they are now; see `doce.opencode.snapshot.take`. Pass the state's `final` as `known`."""
        return take(self, roots, known=known)

    def raw(self, path: str, shape: Callable[[], T]) -> T:
        """The answer of a GET as plain JSON of this shape (`list` or `dict`)."""
        value = self._json(self._request("GET", path))
        if not isinstance(value, type(shape())):
            raise _nonsense(path)
        return value

    def raw_messages(self, session_id: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """``[{info, parts}]``, oldest first."""
        path = f"/session/{_id(session_id)}/message"
        return self._page(path, limit, None)[0]

    def raw_message_pages(self, session_id: str, *, limit: int = 100) -> Iterator[list[dict[str, Any]]]:
        """Pages of messages, the newest page first, each oldest first."""
        path, cursor = f"/session/{_id(session_id)}/message", None
        while True:
            page, cursor = self._page(path, limit, cursor)
            yield page
            if not cursor or not page:
                return

    def _page(self, path: str, limit: int | None, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
        wanted = {"limit": limit, "before": cursor}
        answer = self._request("GET", path, params={name: str(value) for name, value in wanted.items() if value is not None})
        page = self._json(answer)
        if not isinstance(page, list) or not all(isinstance(item, dict) and "info" in item and "parts" in item for item in page):
            raise _nonsense(path)
        return page, answer.headers.get("x-next-cursor")

    # The wire

    def _get(self, path: str, shape: type[T]) -> T:
        return self._answer("GET", path, shape)

    def _answer(self, method: str, path: str, shape: type[T], **request: Any) -> T:
        value = self._json(self._request(method, path, **request))
        try:
            return TypeAdapter(shape).validate_python(value)
        except ValidationError as error:
            raise _nonsense(path) from error

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise Unavailable("The coding agent did not answer in time.", hint=_HINT) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable("The coding agent cannot be reached.", hint=_HINT) from error
        if answer.is_success:
            return answer
        raise _refusal(answer, path)

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise _nonsense(answer.request.url.path) from error


def _id(identifier: str) -> str:
    """An id as part of a path. Raises BadRequest for what is none, which could lead elsewhere."""
    if not identifier.replace("_", "").isalnum():
        raise BadRequest("That is not an id of the coding agent.")
    return identifier


def _nonsense(path: str) -> Unavailable:
    return Unavailable("The coding agent answered something that cannot be read.", hint=_HINT, details={"path": path})


def _refusal(answer: httpx.Response, path: str) -> DoceError:
    """The error for an answer outside 2xx. OpenCode has two shapes: ``{name, data}`` and ``{_tag, …}``."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    data = said.get("data")
    message = str((data if isinstance(data, dict) else said).get("message") or "")[:500]
    if answer.status_code == 401:
        return Unavailable("The coding agent does not accept doce's password.", hint="Stop and start the project: it gets a new one.")
    if answer.status_code == 404 and said:
        return NotFound(message or "The coding agent knows no such thing.")
    if answer.status_code == 409:
        return Conflict(message or "The coding agent is busy.", hint="Wait until it is done, or stop it.")
    if answer.status_code == 400 and said:
        return BadRequest(f"The coding agent refused that: {message}" if message else "The coding agent refused that.")
    said_so = f" It says: {message}" if message else ""
    return Unavailable(f"The coding agent failed with status {answer.status_code}.{said_so}", hint=_HINT, details={"path": path})
