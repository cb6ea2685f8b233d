"""The live panel of a cell: one thread reads the events, one writes what changed into the widgets, at most ten times a second.

Widgets are changed from these threads only; what a button starts is handed to a thread of its own, so the kernel is never kept waiting.
Only widgets that every notebook front end renders; no code of ours runs in the browser.
"""

from __future__ import annotations

import contextlib
import html
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import Markdown, display

from doce.client import Doce
from doce.client.reading import Event
from doce.errors import DoceError
from doce.events.vocabulary import PermissionRequested, QuestionRequested
from doce.notebook.background import another
from doce.notebook.markdown import rendered
from doce.notebook.show import link
from doce.opencode.transcript import SeenTool
from doce.opencode.turn import Turn

#: Between two writes to the browser, seconds.
REST_S = 0.1
#: Most that is sent, bytes a second: Jupyter's server drops what comes faster than 1 MB/s, of all cells together.
RATE = 150_000
#: Tool lines shown; the ones before are counted.
TOOL_LINES = 12
LOG_LINES = 40
PREVIEW_HEIGHTS = {"small": 280, "medium": 440, "tall": 720}
MARKS = {"running": "…", "finished": "✓", "failed": "✗"}
TODO_MARKS = {"completed": "☑", "in_progress": "▸", "cancelled": "–"}

#: Panels whose threads run, for `close_all` at the end of the kernel and in tests.
panels: weakref.WeakSet[Panel] = weakref.WeakSet()


class Panel:
    """Shows one project from event `after` on, to the end of the turn. `show` puts it into the current cell."""

    def __init__(self, project: dict[str, Any], turn: Turn, *, after: int = 0) -> None:
        self.project = project
        self.turn = turn
        self._after = after
        self._status = widgets.HTML()
        self._todos = widgets.HTML()
        self._tools = widgets.HTML()
        self._answer = widgets.HTML()
        self._reasoning = widgets.HTML()
        self._files = widgets.HTML()
        self._log = widgets.HTML()
        self._requests = widgets.VBox()
        self._frame = widgets.HTML()
        self._told = widgets.HTML()
        self._folded = widgets.Accordion(
            [self._reasoning, self._files, self._log], titles=("Reasoning", "Files", "Log"), selected_index=None
        )
        self._stop = self._button("Stop", "stop", self._ask_stop, "warning")
        self._deploy = self._button("Deploy", "cloud-upload", lambda doce: doce.deploy(self.id))
        self._rollback = self._button("Rollback", "undo", lambda doce: doce.rollback(self.id))
        self._open = widgets.HTML()
        self._preview = widgets.ToggleButton(value=False, description="Preview", tooltip="Show the live preview here")
        self._size = widgets.Dropdown(options=list(PREVIEW_HEIGHTS), value="medium", layout=widgets.Layout(width="100px", display="none"))
        for control in (self._preview, self._size):
            control.observe(lambda _change: self._changed(), names="value")
        self._folded.observe(lambda _change: self._look_at_log(), names="selected_index")
        bar = widgets.HBox(
            [self._stop, self._deploy, self._rollback, self._preview, self._size, self._open],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.widget = widgets.VBox(
            [self._status, self._todos, self._tools, self._requests, self._answer, self._told, bar, self._frame, self._folded]
        )
        self.widget.add_class("doce-panel")
        self._summary: Any = None
        self._asked: dict[str, widgets.Widget] = {}
        self._dirty = threading.Event()
        self._ended = threading.Event()
        self._closed = threading.Event()
        #: Never set but by `close`: a rest that can be cut short.
        self._pause = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._client: Doce | None = None

    @property
    def id(self) -> str:
        return str(self.project["id"])

    def show(self) -> Panel:
        """Display it in the current cell and follow the events."""
        display(self.widget)
        # Static, for whoever opens the saved notebook: filled when the turn ends.
        self._summary = display(Markdown(""), display_id=True)
        panels.add(self)
        self._draw()
        for name, work in (("read", self._read), ("draw", self._keep_drawing)):
            thread = threading.Thread(target=work, name=f"doce-panel-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def wait(self, timeout_s: float | None = None) -> Turn:
        """Until the turn has ended and all of it is shown. KeyboardInterrupt (■) stops the turn, and is raised when that has ended."""
        try:
            self._wait(timeout_s)
        except KeyboardInterrupt:
            with another() as doce, contextlib.suppress(DoceError):
                doce.stop(self.id)
            self._wait(30)
            raise
        return self.turn

    def _wait(self, timeout_s: float | None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        # In short pieces: a wait without an end would not hear the interrupt on every platform.
        while not self._closed.wait(0.2):
            if deadline is not None and time.monotonic() > deadline:
                return

    def close(self) -> None:
        """End its threads; what is shown stays."""
        self._ended.set()
        self._dirty.set()
        self._pause.set()
        if self._client:
            self._client.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)

    # What happens

    def _read(self) -> None:
        try:
            with another() as doce:
                self._client = doce
                for event in () if self._is_over() else doce.events(self.id, after=self._after):
                    if self._ended.is_set():
                        return
                    with self._lock:
                        self._take(event)
                    self._dirty.set()
                    if self._is_over():
                        return
        except DoceError as error:
            self._say(error)
        except Exception as error:  # a thread: the person must see it, not a log nobody reads
            if not self._ended.is_set():
                self._say(DoceError(f"The panel broke: {error}", hint="`%doce open` shows the project again."))
        finally:
            self._ended.set()
            self._dirty.set()

    def _take(self, event: Event) -> None:
        self.turn.take(event)

    def _is_over(self) -> bool:
        return self.turn.over

    def _keep_drawing(self) -> None:
        """At most every `REST_S`, and only when something changed; the clock in the status line moves once a second."""
        while not self._ended.is_set():
            self._dirty.wait(1)
            self._dirty.clear()
            sent = self._draw()
            # Also at the end: what is shown last must not be what is dropped.
            self._pause.wait(max(REST_S, sent / RATE))
        self._draw()
        if self._summary is not None and self.turn.over:
            with self._lock:
                self._summary.update(Markdown(self.turn.summary(str(self.project["name"]))))
        self._closed.set()

    def _changed(self) -> None:
        self._dirty.set()
        if self._closed.is_set():
            self._draw()

    # What is shown

    def _draw(self) -> int:
        """Write what changed; returns about how many bytes that was."""
        sent = 0
        with self._lock:
            turn = self.turn
            shown = {
                self._status: self._status_line(),
                self._todos: "<br>".join(f"{TODO_MARKS.get(one.status, '☐')} {html.escape(one.content)}" for one in turn.todos),
                self._tools: self._tool_lines(),
                self._answer: rendered(turn.answer),
                self._reasoning: f"<pre style='white-space:pre-wrap'>{html.escape(turn.reasoning[-20_000:])}</pre>",
                self._files: "".join(_file(path, counts) for path, counts in turn.transcript.files.items()) + self._diffs(),
                self._open: " · ".join(
                    link(url, label) for label, url in (("Open preview ↗", turn.preview_url), ("Open live site ↗", turn.site_url)) if url
                ),
                self._frame: self._iframe(),
            }
            requests = turn.open_requests
        for widget, value in shown.items():
            # What did not change is not sent.
            if widget.value != value:
                widget.value = value
                sent += len(value)
        self._stop.disabled = turn.over
        self._size.layout.display = None if self._preview.value else "none"
        self._show_requests(requests)
        return sent

    def _status_line(self) -> str:
        turn = self.turn
        end = turn.ended or (int(time.time() * 1000) if turn.began and not turn.over else 0)
        parts = [f"<b>{html.escape(str(self.project['name']))}</b>", html.escape(turn.step if turn.step and not turn.over else turn.state)]
        if turn.began and end:
            parts.append(f"{max(0, end - turn.began) // 1000} s")
        if turn.tokens:
            parts.append(f"{turn.tokens:,} tokens")
        if turn.cost:
            parts.append(f"${turn.cost:.4f}")
        if turn.deploying:
            parts.append(html.escape(turn.deploying))
        line = " · ".join(parts)
        return f"{line}<br><b>{html.escape(turn.error)}</b> {html.escape(turn.hint)}" if turn.error else line

    def _tool_lines(self) -> str:
        tools = list(self.turn.transcript.tools.values())
        lines = [_tool(one) for one in tools[-TOOL_LINES:]]
        before = len(tools) - len(lines)
        return "".join([*([f"<div><i>{before} before</i></div>"] if before else []), *lines])

    def _diffs(self) -> str:
        """What edits changed, as the tools told it."""
        found = [str(one.metadata.get("diff", "")) for one in self.turn.transcript.tools.values() if one.metadata.get("diff")]
        return "".join(f"<details><summary>diff</summary>{_diff(one[:20_000])}</details>" for one in found[-20:])

    def _iframe(self) -> str:
        if not self._preview.value:
            return ""
        url = self.turn.preview_url
        if not url:
            return "<i>no preview yet</i>"
        height = PREVIEW_HEIGHTS[self._size.value]
        return (
            f'<iframe src="{html.escape(url)}" title="Live preview" sandbox="allow-scripts allow-forms allow-same-origin" '
            f'style="width:100%;height:{height}px;border:1px solid #8884;border-radius:8px;background:#fff"></iframe>'
        )

    def _show_requests(self, requests: list[PermissionRequested | QuestionRequested]) -> None:
        wanted = {one.request_id: one for one in requests}
        if wanted.keys() == self._asked.keys():
            return
        for request_id in self._asked.keys() - wanted.keys():
            del self._asked[request_id]
        for request_id in wanted.keys() - self._asked.keys():
            one = wanted[request_id]
            self._asked[request_id] = self._permission(one) if isinstance(one, PermissionRequested) else self._question(one)
        self._requests.children = tuple(self._asked.values())

    def _permission(self, asked: PermissionRequested) -> widgets.Widget:
        text = widgets.HTML(
            f"<b>May the agent do this?</b> {html.escape(asked.title)} <code>{html.escape(' '.join(asked.patterns))}</code>"
        )

        def answering(reply: str) -> Callable[[Doce], Any]:
            return lambda doce: doce.answer_permission(self.id, asked.request_id, reply)

        replies = {"Allow once": "once", "Always allow": "always", "Refuse": "reject"}
        buttons = [self._button(label, "", answering(reply)) for label, reply in replies.items()]
        return widgets.VBox([text, widgets.HBox(buttons)])

    def _question(self, asked: QuestionRequested) -> widgets.Widget:
        rows: list[widgets.Widget] = []
        answers: list[Callable[[], list[str]]] = []
        for item in asked.questions:
            rows.append(widgets.HTML(f"<b>{html.escape(item.question)}</b>"))
            boxes = [widgets.Checkbox(description=option.label, indent=False) for option in item.options]
            radio = widgets.RadioButtons(options=[option.label for option in item.options], value=None)
            own = widgets.Text(placeholder="or in your own words")
            rows += [*(boxes if item.multiple else [radio] if item.options else []), *([own] if item.custom else [])]

            def chosen(item: Any = item, boxes: Any = boxes, radio: Any = radio, own: Any = own) -> list[str]:
                picked = [box.description for box in boxes if box.value] if item.multiple else [radio.value] if radio.value else []
                return [*picked, *([own.value.strip()] if own.value.strip() else [])]

            answers.append(chosen)
        send = self._button(
            "Answer", "", lambda doce: doce.answer_question(self.id, asked.request_id, [one() for one in answers]), "primary"
        )
        return widgets.VBox([*rows, send])

    def _look_at_log(self) -> None:
        if self._folded.selected_index == 2:
            self._do(self._fetch_log)

    def _fetch_log(self, doce: Doce) -> None:
        text = doce.request("GET", f"/api/projects/{self.id}/logs/tail", query={"limit": LOG_LINES})["text"]
        self._log.value = f"<pre style='white-space:pre-wrap;font-size:12px'>{html.escape(text)}</pre>"

    # What buttons do

    def _button(self, label: str, icon: str, work: Callable[[Doce], Any], style: str = "") -> widgets.Button:
        button = widgets.Button(description=label, icon=icon, button_style=style, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _button: self._do(work))
        return button

    def _do(self, work: Callable[[Doce], Any]) -> None:
        """In a thread of its own: the kernel goes on, and so does the panel."""

        def run() -> None:
            try:
                with another() as doce:
                    done = work(doce)
                    self._told.value = ""
                    if isinstance(done, dict) and "releases" in done:
                        self._follow_deploy(doce, done)
            except DoceError as error:
                self._say(error)

        threading.Thread(target=run, name="doce-panel-act", daemon=True).start()

    def _ask_stop(self, doce: Doce) -> None:
        doce.stop(self.id)

    def _follow_deploy(self, doce: Doce, view: dict[str, Any]) -> None:
        with contextlib.closing(doce.events(self.id, after=view["seq"])) as events:
            for event in events:
                with self._lock:
                    after, self.turn.seq = self.turn.seq, min(self.turn.seq, event.seq - 1)
                    if event.type == "production.status":
                        self.turn.take(event)
                    self.turn.seq = max(after, self.turn.seq)
                self._changed()
                if event.type == "production.status":
                    step, status = event.payload.get("step"), event.payload["status"]
                    if status in ("failed", "stopped") or (status == "running" and not step):
                        return

    def _say(self, error: DoceError) -> None:
        self._told.value = f"<b>{html.escape(error.message)}</b> {html.escape(error.hint or '')}"


def close_all() -> None:
    """End the threads of every panel."""
    for panel in list(panels):
        panel.close()


def _tool(one: SeenTool) -> str:
    exit_code = one.metadata.get("exit")
    mark = "✗" if isinstance(exit_code, int) and exit_code else MARKS[one.state]
    return f"<div><code>{mark} {html.escape(one.name)}</code> {html.escape(one.title)}</div>"


def _file(path: str, counts: tuple[int | None, int | None]) -> str:
    more = "" if counts == (None, None) else f" <small>+{counts[0] or 0} −{counts[1] or 0}</small>"
    return f"<div><code>{html.escape(path)}</code>{more}</div>"


def _diff(text: str) -> str:
    colours = {"+": "#1a7f4b", "-": "#b3261e", "@": "#6e6459"}
    lines = [f"<span style='color:{colours.get(line[:1], 'inherit')}'>{html.escape(line)}</span>" for line in text.splitlines()]
    return f"<pre style='font-size:12px'>{chr(10).join(lines)}</pre>"
