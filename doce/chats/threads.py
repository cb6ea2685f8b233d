"""Threads of chats that show a project: where they are, how far they have been told, which prompts were asked in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import ChatPrompt, ChatThread
from doce.events import log


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread. `root` is the message it hangs on, None until it is posted; `cursor` the last event that was told."""

    id: str
    kind: str
    team: str
    channel: str
    root: str | None
    project_id: str
    user_id: str
    external_user: str
    cursor: int
    muted: bool
    closed_at: int | None
    #: epoch ms
    created_at: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that was asked in a thread: by whom there, and with which message (None: by a command)."""

    prompt_id: str
    thread_id: str
    ts: str | None
    external_user: str


class Threads:
    """Finds and changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(
        self, kind: str, team: str, channel: str, root: str | None, *, project_id: str, user_id: str, external_user: str, cursor: int = 0
    ) -> Thread:
        """A thread that tells of a project from event `cursor` on. Joins the caller's transaction."""
        row = ChatThread.create(
            id=new_id("thr"), kind=kind, team=team, channel=channel, root=root, project_id=project_id, user_id=user_id,
            external_user=external_user, cursor=cursor, created_at=self._clock.now_ms(),
        )  # fmt: skip
        return _thread(row)

    def get(self, thread_id: str) -> Thread | None:
        row = ChatThread.get_or_none(ChatThread.id == thread_id)
        return _thread(row) if row else None

    def at(self, kind: str, team: str, channel: str, root: str) -> Thread | None:
        """The thread that hangs on message `root`."""
        row = ChatThread.get_or_none(
            ChatThread.kind == kind, ChatThread.team == team, ChatThread.channel == channel, ChatThread.root == root
        )
        return _thread(row) if row else None

    def open(self, kind: str) -> list[Thread]:
        """Every thread that is still told of its project, oldest first."""
        return [
            _thread(row)
            for row in ChatThread.select().where(ChatThread.kind == kind, ChatThread.closed_at.is_null()).order_by(ChatThread.id)
        ]

    def unplaced(self, kind: str, team: str, channel: str) -> bool:
        """Whether a thread in a channel is not posted yet, or not known to be."""
        where = (ChatThread.kind == kind) & (ChatThread.team == team) & (ChatThread.channel == channel)
        return bool(ChatThread.select().where(where, ChatThread.root.is_null(), ChatThread.closed_at.is_null()).exists())

    def behind(self, kind: str) -> list[Thread]:
        """Open threads with events of their project that have not been told, or that are not posted yet."""
        return [one for one in self.open(kind) if one.root is None or log.last_seq(one.project_id) > one.cursor]

    def of_project(self, kind: str, project_id: str) -> list[Thread]:
        """Open threads of a project, the first one first: turns that were asked elsewhere are told there."""
        mine = (ChatThread.kind == kind) & (ChatThread.project_id == project_id) & ChatThread.closed_at.is_null()
        return [_thread(row) for row in ChatThread.select().where(mine).order_by(ChatThread.id)]

    def placed(self, thread_id: str, root: str) -> None:
        """Its first message is posted. Joins the caller's transaction."""
        ChatThread.update(root=root).where(ChatThread.id == thread_id, ChatThread.root.is_null()).execute()

    def told(self, thread_id: str, cursor: int) -> None:
        """Everything up to event `cursor` has been told. It never goes back."""
        with database.atomic():
            ChatThread.update(cursor=cursor).where(ChatThread.id == thread_id, ChatThread.cursor < cursor).execute()

    def mute(self, thread_id: str, muted: bool) -> None:
        """Whether messages in it are for doce."""
        ChatThread.update(muted=muted).where(ChatThread.id == thread_id).execute()

    def close(self, thread_id: str) -> None:
        """Nothing is told in it any more."""
        with database.atomic():
            ChatThread.update(closed_at=self._clock.now_ms()).where(ChatThread.id == thread_id, ChatThread.closed_at.is_null()).execute()

    def close_team(self, kind: str, team: str) -> None:
        """doce was removed from a workspace."""
        now = self._clock.now_ms()
        with database.atomic():
            ChatThread.update(closed_at=now).where(
                ChatThread.kind == kind, ChatThread.team == team, ChatThread.closed_at.is_null()
            ).execute()

    def asked(self, prompt_id: str, thread_id: str, *, ts: str | None, external_user: str) -> None:
        """This prompt was asked in this thread. Joins the caller's transaction."""
        ChatPrompt.insert(prompt_id=prompt_id, thread_id=thread_id, ts=ts, external_user=external_user).on_conflict_ignore().execute()

    def asked_in(self, prompt_id: str) -> Asked | None:
        """Where a prompt was asked; None: elsewhere."""
        row = ChatPrompt.get_or_none(ChatPrompt.prompt_id == prompt_id)
        return Asked(row.prompt_id, row.thread_id, row.ts, row.external_user) if row else None

    def prompt_of(self, thread_id: str, ts: str) -> str | None:
        """The prompt that the message `ts` of a person became."""
        row = ChatPrompt.get_or_none(ChatPrompt.thread_id == thread_id, ChatPrompt.ts == ts)
        return str(row.prompt_id) if row else None


def _thread(row: Any) -> Thread:
    return Thread(**{name: getattr(row, name) for name in Thread.__slots__})
