"""Words that mean something in a thread; everything else is for the agent. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Said alone, or with `!` or a mention in front: "stop using blue" is for the agent, "stop" is not.
ALONE = {
    "stop": "stop", "x": "stop", "deploy": "deploy", "rollback": "rollback", "undo": "undo", "status": "status", "preview": "open",
    "logs": "logs", "versions": "versions", "retry": "retry", "resume": "retry", "mute": "mute", "unmute": "unmute", "help": "help",
    "start": "start", "usage": "usage", "model": "model", "models": "models",
}  # fmt: skip
#: With a word behind them they mean the same.
WITH = {
    "rollback": re.compile(r"(?:to\s+)?(v?\d{1,9}|prev(?:ious)?|[0-9a-f]{8})", re.IGNORECASE),
    "logs": re.compile(r"(\d{1,4})"),
    "model": re.compile(r"(\S+/\S+)"),
}
_ASIDE = re.compile(r"^\s*(?:\(\s*aside\s*\)|!aside\b|aside:)", re.IGNORECASE)
_QUEUE = re.compile(r"^\s*!?queue:\s*", re.IGNORECASE)
_NOW = re.compile(r"^\s*!?now:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Saying:
    """`word`: ``prompt``, ``now``, ``aside``, or one of `ALONE`'s meanings; `rest` is what it is about."""

    word: str
    rest: str = ""


def understood(text: str) -> Saying:
    """What a message in a thread asks for."""
    text = text.strip()
    if _ASIDE.match(text):
        return Saying("aside")
    if found := _NOW.match(text):
        return Saying("now", text[found.end() :].strip())
    if found := _QUEUE.match(text):
        return Saying("prompt", text[found.end() :].strip())
    banged = text.startswith("!")
    first, _, rest = text.removeprefix("!").strip().partition(" ")
    word, rest = first.lower().rstrip(".!"), rest.strip()
    if word in ALONE and not rest:
        return Saying(ALONE[word])
    if word in WITH and (found := WITH[word].fullmatch(rest)):
        return Saying(word, found[1])
    if banged and word in ALONE:
        return Saying(ALONE[word], rest)
    return Saying("prompt", text)


HELP = """In this thread just write: every message is for the agent, one after the other. Also:
• `stop` — end the turn · `deploy` · `rollback` or `rollback v2` · `status` · `preview` · `logs` · `versions` · `retry`
• `model provider/name` — another model from the next message
• `now: …` — at once, ending the step that is going on · `queue: …` — after what is going on, as every message
• `(aside) …` — not for doce · `mute`, `unmute` — nothing here is for doce
Each also with `!` in front. `/doce help` has everything else; commands cannot be typed in a thread."""
