"""What was used: tokens and money of every call of a model, a row and an event in one transaction."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Literal

from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import GatewayCall, Usage
from doce.events import log as events
from doce.events.vocabulary import Tokens, UsageCounted
from doce.llm.catalog import Catalog

logger = logging.getLogger(__name__)

Purpose = Literal["turn", "naming"]
#: Characters a token has, roughly: for calls whose provider did not get to say.
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens and cost of one call. `estimated`: the provider did not say."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    #: US dollars, None: to be worked out from the price
    cost: float | None = None
    estimated: bool = False


class Meter:
    """Reads a provider's stream as it passes and knows at any moment what it has cost."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._asked = len(json.dumps(request.get("messages", []), ensure_ascii=False))
        self._answered = 0
        self._usage: dict[str, Any] | None = None
        self._stream = bool(request.get("stream"))
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Bytes of the answer, cut anywhere."""
        if not self._stream:
            self._rest += data
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._line(line[5:].strip())

    def whole(self, answer: dict[str, Any]) -> None:
        """A whole answer, or one chunk of a stream."""
        if isinstance(answer.get("usage"), dict):
            self._usage = answer["usage"]
        try:
            self._answered += sum(_said(choice) for choice in answer.get("choices") or [])
        except (AttributeError, TypeError):
            # Not what OpenAI documents: the agent's business, and counted by what can be read of it.
            return

    def _line(self, line: bytes) -> None:
        if line == b"[DONE]":
            return
        try:
            chunk = json.loads(line)
        except ValueError:
            return
        if isinstance(chunk, dict):
            self.whole(chunk)

    def counted(self) -> Counted:
        """What the provider said, else an estimate from the text seen."""
        if not self._stream and self._rest:
            self._line(self._rest)
            self._rest = b""
        usage = self._usage
        if usage is None:
            return Counted(self._asked // CHARACTERS_A_TOKEN, self._answered // CHARACTERS_A_TOKEN, estimated=True)
        prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        cost = usage.get("cost")
        return Counted(
            input=_number(usage, "prompt_tokens"),
            output=_number(usage, "completion_tokens"),
            cached=_number(prompt, "cached_tokens"),
            reasoning=_number(completion, "reasoning_tokens"),
            cost=float(cost) if isinstance(cost, int | float) else None,
        )


def _with_agent(project_id: str, prompt_id: str | None = None) -> tuple[str | None, str | None, str | None]:
    """(id, user, session) of a prompt, or of the one that is with the project's agent; None three times when there is none."""
    which = "id = ?" if prompt_id else "project_id = ? AND state IN ('sending', 'sent')"
    found = database.execute_sql(f"SELECT id, user_id, session_id FROM prompts WHERE {which}", (prompt_id or project_id,)).fetchone()
    return found or (None, None, None)


def _said(choice: dict[str, Any]) -> int:
    """Characters of one choice: text, reasoning, arguments of tools."""
    said = choice.get("delta") or choice.get("message") or {}
    calls = sum(len((call.get("function") or {}).get("arguments") or "") for call in said.get("tool_calls") or [])
    return len(said.get("content") or "") + len(said.get("reasoning_content") or "") + calls


def _number(counts: Any, name: str) -> int:
    """A count as a provider wrote it; 0 for what is none."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < 10**12 else 0


class UsageCounter:
    """Writes down what calls came to."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    def begin(self, project_id: str, model_id: str, counted: Counted) -> str | None:
        """A call is about to be made: what it would be, should nobody be there at its end. Returns its id, None when that failed."""
        call = new_id("call")
        try:
            with database.atomic():
                prompt_id, _, _ = _with_agent(project_id)
                GatewayCall.create(
                    id=call, project_id=project_id, prompt_id=prompt_id, model=model_id, input_tokens=counted.input, at=self._clock.now_ms()
                )
        except Exception:  # beside the critical path, as `count`
            logger.exception("a call was not noted", extra={"project_id": project_id, "model": model_id})
            return None
        return call

    def forget(self, call: str | None) -> None:
        """The provider refused it, or was not there: it costs nothing."""
        if call is not None:
            with database.atomic():
                GatewayCall.delete().where(GatewayCall.id == call).execute()

    def recover(self) -> int:
        """Count what a doce that was killed had under way, as far as can be known. Returns how many calls that were."""
        left = list(GatewayCall.select())
        for row in left:
            self.count(row.project_id, row.model, Counted(row.input_tokens, estimated=True), call=row.id)
        return len(left)

    def count(self, project_id: str, model_id: str, counted: Counted, purpose: Purpose = "turn", call: str | None = None) -> None:
        """One call of `model_id` for a project, put to the prompt that it was begun for, else to the one that is with its agent now.

        Beside the critical path: a turn is not lost because its cost could not be written; the log says so.
        """
        try:
            self._write(project_id, model_id, counted, purpose, call)
        except Exception:
            logger.exception("usage was not written", extra={"project_id": project_id, "model": model_id})

    def _write(self, project_id: str, model_id: str, counted: Counted, purpose: Purpose, call: str | None) -> None:
        provider, _, name = model_id.partition("/")
        cost = self._cost(model_id, counted)
        with database.atomic():
            begun = GatewayCall.get_or_none(GatewayCall.id == call) if call else None
            if call and begun is None:
                return  # counted already
            prompt_id, user_id, session_id = _with_agent(project_id, begun.prompt_id if begun else None)
            if begun:
                begun.delete_instance()
            Usage.create(
                project_id=project_id, prompt_id=prompt_id, user_id=user_id, provider=provider, model=name, purpose=purpose,
                input_tokens=counted.input, output_tokens=counted.output, cached_tokens=counted.cached, cost=cost,
                estimated=counted.estimated, at=self._clock.now_ms(),
            )  # fmt: skip
            tokens = Tokens(input=counted.input, output=counted.output, reasoning=counted.reasoning, cache_read=counted.cached)
            payload = UsageCounted(provider=provider, model=name, tokens=tokens, cost=cost)
            events.append(payload, project_id=project_id, session_id=session_id, prompt_id=prompt_id)

    def _cost(self, model_id: str, counted: Counted) -> float:
        if counted.cost is not None:
            return counted.cost
        model = self._catalog.find(model_id)
        if model is None:
            return 0.0
        return (counted.input * (model.input_price or 0) + counted.output * (model.output_price or 0)) / 1_000_000
