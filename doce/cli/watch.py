"""The one reader of events for a screen: what `new`, `chat`, `events` and the demo show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from doce.cli.printable import count, duration, one_line
from doce.cli.screen import Screen
from doce.cli.steps import Steps
from doce.cli.tools import SILENT, WRITING, changed, edit_counts, tool_line, trouble
from doce.client import Event
from doce.events import vocabulary as said
from doce.events.vocabulary import Payload, Tokens

PARAGRAPH = "\n\n"
_TODO_MARKS = {"completed": "☑", "in_progress": "▸", "cancelled": "–"}

Request = said.PermissionRequested | said.QuestionRequested


@dataclass(frozen=True)
class Turn:
    """How a prompt ended: ``completed``, ``stopped``, ``failed``, ``interrupted`` or ``removed``."""

    state: str
    duration_ms: int = 0
    files: tuple[str, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    cost: float = 0
    error: str | None = None
    hint: str | None = None

    @property
    def summary(self) -> str:
        """``done in 12 s · 3 files · 1,204 tokens``."""
        used = self.tokens.input + self.tokens.output
        parts = [f"done in {duration(self.duration_ms)}", count(len(self.files), "file")]
        parts += [count(used, "token")] if used else []
        parts += [f"${self.cost:.4f}"] if self.cost else []
        return " · ".join(parts)


@dataclass
class Message:
    """What was shown of an assistant message, by part."""

    parts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return PARAGRAPH.join(text for text in self.parts.values() if text)


class Watch:
    """Takes events in their order and shows them; remembers how prompts ended.

    `asked` is called with a permission or question of the agent; without it, it is only shown.
    """

    def __init__(self, screen: Screen, asked: Callable[[Request], None] | None = None) -> None:
        self.screen = screen
        self.turns: dict[str, Turn] = {}
        #: The first prompt that was queued: the one a project is made of.
        self.first_prompt: str | None = None
        self.preview_url: str | None = None
        #: Why the project cannot go on: sentence and hint.
        self.broken: tuple[str, str | None] | None = None
        self.asked = asked
        self._steps = Steps(screen)
        self._messages: dict[str, Message] = {}
        self._tools: dict[str, said.ToolStart] = {}
        self._children: set[str] = set()
        self._told: set[str] = set()
        self._verbs: dict[str, str] = {}
        self._part = ""
        self._reasoned: dict[str, int] = {}

    def take(self, event: Event) -> None:
        """Show one more event. What this client does not know is passed over."""
        payload = event.typed()
        if payload is None:
            return
        child = event.session_id in self._children
        if isinstance(payload, said.MessagePartAdded | said.ReasoningPart | said.MessageDiscarded | said.MessageFinal):
            if not child:
                self._text(payload)
        elif isinstance(payload, said.ToolStart | said.ToolProgress | said.ToolFinish | said.ToolError | said.FileChanged):
            self._tool(payload, "  " if child else "")
        elif event.prompt_id and event.type.startswith("chat.prompt."):
            self._prompt(payload, event.prompt_id)
        elif event.type.startswith("chat."):
            self._session(payload)
        else:
            self._project(payload, event.time)

    def until(self, prompt: str | None, events: Iterable[Event]) -> Turn | None:
        """Show `events` until this prompt (None: the first of the project) has ended; None when the project broke or the stream ended."""
        for event in events:
            self.take(event)
            ended = self.turns.get(prompt or self.first_prompt or "")
            if ended or self.broken:
                return ended
        return None

    # What the agent says

    def _text(self, payload: Payload) -> None:
        match payload:
            case said.MessagePartAdded():
                self._answer(payload)
            case said.ReasoningPart():
                shown = self._reasoned.get(payload.part_id, 0)
                self._begin(payload.part_id, "thinking: ", "dim italic")
                self.screen.say(payload.delta_text[max(0, shown - payload.offset) :], "dim italic")
                self._reasoned[payload.part_id] = max(shown, payload.offset + len(payload.delta_text))
            case said.MessageDiscarded():
                if self._message(payload.message_id).parts.pop(payload.part_id, ""):
                    self.screen.line("(the model was cut off and starts over; the text above does not count)", "yellow")
                self._part = ""
            case said.MessageFinal():
                self._final(payload)

    def _answer(self, payload: said.MessagePartAdded) -> None:
        parts = self._message(payload.message_id).parts
        shown = parts.get(payload.part_id, "")
        self._begin(payload.part_id)
        self.screen.say(payload.delta_text[max(0, len(shown) - payload.offset) :])
        parts[payload.part_id] = shown[: payload.offset] + payload.delta_text

    def _final(self, payload: said.MessageFinal) -> None:
        """What was shown is completed, or replaced when it was something else."""
        shown = self._message(payload.message_id).text
        if payload.text.startswith(shown):
            self.screen.say(payload.text[len(shown) :])
        elif payload.text.strip() != shown.strip():
            self.screen.line("(the whole answer is:)", "yellow")
            self.screen.say(payload.text)
        self.screen.end()
        self._part = ""
        self._messages[payload.message_id] = Message({"": payload.text})

    def _begin(self, part: str, label: str = "", style: str = "") -> None:
        """Another part starts on a line of its own."""
        if self._part != part:
            self.screen.end()
            self._part = part
            if label:
                self.screen.say(label, style)

    def _message(self, message_id: str) -> Message:
        return self._messages.setdefault(message_id, Message())

    # What it does

    def _tool(self, payload: Payload, indent: str) -> None:
        self._part = ""
        match payload:
            case said.ToolStart():
                self._tools[payload.tool_call_id] = payload
                line = tool_line(payload.name, payload.title, payload.input)
                if payload.name == "bash":
                    self._line(indent + line, "cyan")
                self._busy(line)
            case said.ToolProgress():
                tool = self._tools.get(payload.tool_call_id)
                if tool:
                    last = payload.output.rstrip().rpartition("\n")[2]
                    self._busy(f"{tool_line(tool.name, tool.title, tool.input)} · {one_line(last, 60)}")
            case said.ToolFinish():
                self._finished(payload, indent)
            case said.ToolError():
                tool = self._tools.pop(payload.tool_call_id, None)
                line = tool_line(payload.name, tool.title if tool else "", tool.input if tool else {}).partition(" ")[2]
                self._line(f"{indent}✗ {line}: {one_line(payload.error, 300)}", "red")
            case said.FileChanged():
                if payload.path in self._told:
                    self._told.discard(payload.path)
                else:
                    verb = self._verbs.pop(payload.path, "changed")
                    self._line(f"{indent}✎ {verb} {one_line(payload.path)}{changed(payload.additions, payload.deletions)}", "cyan")

    def _finished(self, payload: said.ToolFinish, indent: str) -> None:
        tool = self._tools.pop(payload.tool_call_id, None)
        given = tool.input if tool else {}
        self._busy(None)
        if payload.name == "bash":
            failure = trouble(payload.output, payload.metadata)
            if tool is None:
                self._line(f"{indent}$ {one_line(payload.title)}", "cyan")
            if failure:
                self._line(f"{indent}  {failure}", "red")
        elif payload.name not in SILENT:
            line = tool_line(payload.name, tool.title if tool else payload.title, given)
            if payload.name in WRITING:
                additions, deletions = edit_counts(payload.name, given, payload.metadata)
                path = str(given.get("filePath") or payload.title)
                # `chat.file.changed` follows and says the same, or more where the tool does not know.
                if additions is None:
                    self._verbs[path] = payload.name
                    return
                self._told.add(path)
                line += changed(additions, deletions)
            self._line(indent + line, "cyan")

    # Its prompts and its state

    def _prompt(self, payload: Payload, prompt: str) -> None:
        match payload:
            case said.PromptQueued():
                self.first_prompt = self.first_prompt or prompt
                if payload.position > 1:
                    self._line(f"queued as number {payload.position}: {one_line(payload.text)}", "dim")
            case said.PromptEdited():
                self._line(f"queued prompt changed: {one_line(payload.text)}" if payload.text else "queued prompt removed", "dim")
                if payload.text is None:
                    self._end(prompt, Turn("removed"), "– removed from the queue", "yellow")
            case said.PromptSent():
                self._line(f"› {one_line(payload.text, 300)}", "bold")
                self._busy("the agent reads the prompt")
            case said.PromptCompleted():
                turn = Turn("completed", payload.duration_ms, tuple(payload.files), payload.tokens, payload.cost)
                self._end(prompt, turn, f"✓ {turn.summary}", "bold green")
            case said.PromptStopped():
                self._end(prompt, Turn("stopped"), f"■ stopped{f' by {payload.by}' if payload.by else ''}; what was done stays", "yellow")
            case said.PromptFailed():
                self._end(prompt, Turn("failed", error=payload.error, hint=payload.hint), f"✗ {payload.error}", "bold red")
            case said.PromptInterrupted():
                turn = Turn("interrupted", error=payload.reason, hint=payload.hint)
                self._end(prompt, turn, f"✗ interrupted: {payload.reason}", "bold red")

    def _end(self, prompt: str, turn: Turn, line: str, style: str) -> None:
        self.turns[prompt] = turn
        self._line(one_line(line, 1000), style)
        if turn.hint:
            self._line(f"  {one_line(turn.hint, 500)}")

    def _session(self, payload: Payload) -> None:
        match payload:
            case said.SessionStatus(status="retry"):
                why = one_line(payload.message or "the model does not answer", 200)
                self._line(f"… {why}; tries again (attempt {payload.attempt or 1})", "yellow")
            case said.SessionStatus(status="busy"):
                self._busy("the agent thinks")
            case said.SessionStatus():
                self._busy(None)
            case said.SessionError():
                self._line(f"✗ {payload.name}: {one_line(payload.message, 500)}", "red")
            case said.SessionCompacted():
                self._line("(the agent shortened its memory of this session)", "dim")
            case said.SubagentStarted():
                self._children.add(payload.child_session_id)
                self._line(f"⇉ {one_line(payload.title)}", "cyan")
            case said.TodoUpdated():
                for todo in payload.todos:
                    self._line(
                        f"  {_TODO_MARKS.get(todo.status, '☐')} {one_line(todo.content)}", "dim" if todo.status == "completed" else ""
                    )
            case said.PermissionRequested() | said.QuestionRequested():
                self._request(payload)
            case said.PermissionResolved() | said.QuestionResolved():
                answer = ", ".join(label for chosen in getattr(payload, "answers", []) for label in chosen)
                self._line(f"  answered: {one_line(answer or payload.reply)}{f' by {payload.by}' if payload.by else ''}", "dim")

    def _request(self, payload: Request) -> None:
        if isinstance(payload, said.PermissionRequested):
            self._line(f"✋ the agent asks whether it may: {payload.permission} {one_line(payload.title, 300)}", "bold yellow")
        else:
            for item in payload.questions:
                self._line(f"✋ the agent asks: {one_line(item.question, 500)}", "bold yellow")
                for number, option in enumerate(item.options, start=1):
                    about = f": {one_line(option.description, 200)}" if option.description else ""
                    self._line(f"  {number} {one_line(option.label)}{about}")
        if self.asked:
            self._busy(None)
            self.asked(payload)

    def _project(self, payload: Payload, at: int) -> None:
        match payload:
            case said.JobState():
                self._steps.job(payload, at)
            case said.ProjectStatusChanged():
                self._status(payload)
            case said.ProjectUpdated():
                self._line(f"now called {one_line(payload.name)} ({payload.slug}), model {payload.model}", "dim")
            case said.ProjectDeleted():
                self._line("the project is gone", "yellow")
            case said.ProductionStatus():
                self._line(f"production: {payload.step or payload.status}{f' · {payload.url}' if payload.url else ''}")

    def _status(self, payload: said.ProjectStatusChanged) -> None:
        self._steps.status(payload)
        if payload.status == "error":
            self.broken = (payload.error or "The project cannot go on.", payload.hint)
            self._line(f"✗ {one_line(self.broken[0], 1000)}", "bold red")
            if payload.hint:
                self._line(f"  {one_line(payload.hint, 500)}")
        elif payload.status in ("created", "starting"):
            self.broken = None
        elif payload.status == "running" and payload.preview_url and payload.preview_url != self.preview_url:
            self.preview_url = payload.preview_url
            self._line(f"Preview: {payload.preview_url}", "bold cyan")
        elif payload.status in ("stopping", "stopped"):
            self.preview_url = None

    def _line(self, text: str, style: str = "") -> None:
        self._part = ""
        self.screen.line(text, style)

    def _busy(self, text: str | None) -> None:
        self.screen.busy(text)
