"""Answers kept under a caller's own key, so that who asks twice gets the same one."""

from __future__ import annotations

from dataclasses import dataclass

from doce.db.connection import database
from doce.db.models import Answer


@dataclass(frozen=True, slots=True)
class Kept:
    """What was asked (a digest) and what was answered (JSON)."""

    asked: str
    answer: str


def find(user_id: str, key: str) -> Kept | None:
    """What this person was answered under `key`; None when it is new."""
    row = database.execute_sql("SELECT asked, answer FROM answers WHERE user_id = ? AND key = ?", (user_id, key)).fetchone()
    return Kept(row[0], row[1]) if row else None


def keep(user_id: str, key: str, kept: Kept, *, at: int) -> None:
    """Joins the caller's transaction: the deed and its answer are there together, or neither is."""
    Answer.insert(user_id=user_id, key=key, asked=kept.asked, answer=kept.answer, at=at).execute()


def forget(before_ms: int) -> int:
    """Drop what was kept before `before_ms`. Returns how many."""
    return int(Answer.delete().where(Answer.at < before_ms).execute())
