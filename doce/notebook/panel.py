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
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from IPython.display import Markdown, display

from doce.client import Doce
from doce.client.reading import Event
from doce.errors import Conflict, DoceError, NotFound
from doce.events.vocabulary import PermissionRequested, ProductionStatus, QuestionRequested
from doce.notebook import asking, drawing
from doce.notebook.background import another
from doce.notebook.markdown import harmless, rendered
from doce.opencode.turn import Turn

#: Between two writes to the browser, seconds.
REST_S = 0.1
#: Most that is sent, bytes a second: Jupyter's server drops what comes faster than 1 MB/s, of all cells together.
RATE = 150_000
LOG_LINES = 40
#: How often an open log is looked at while the turn goes on, seconds.
LOG_S = 2
#: How long a preview that is shown here keeps its project awake, seconds.
WATCH_S = 3600
REASONING, FILES, LOG = range(3)

#: Panels whose threads run, for `close_all` at the end of the kernel and in tests.
panels: weakref.WeakSet[Panel] = weakref.WeakSet()


class Panel:
    """Shows one project from event `after` on, to the end of the turn. `show` puts it into the current cell."""

    def __init__(self, project: dict[str, Any], turn: Turn, *, after: int = 0) -> None:
        self.project = project
        self.turn = turn
        #: Why events no longer come, when the turn has not ended.
        self.trouble: DoceError | None = None
        self._after = after
        #: path → diff, once the turn has ended
        self._changes: dict[str, str] | None = None
        self._status, self._prompt, self._steps, self._todos = (widgets.HTML() for _ in range(4))
        self._tools, self._answer, self._reasoning, self._files = (widgets.HTML() for _ in range(4))
        self._log, self._links, self._frame, self._told = (widgets.HTML() for _ in range(4))
        self._requests = widgets.VBox()
        self._folded = widgets.Accordion(
            [self._reasoning, self._files, self._log], titles=("Reasoning", "Files", "Log"), selected_index=None
        )
        self._stop = self._button("Stop", "stop", self._ask_stop, "warning")
        self._deploy = self._button("Deploy", "cloud-upload", lambda doce: doce.deploy(self.id))
        self._rollback = self._button("Rollback", "undo", lambda doce: doce.rollback(self.id))
        self._preview = widgets.ToggleButton(value=False, description="Preview", icon="eye", tooltip="Show the live preview here")
        self._preview.layout.width = "auto"
        self._size = widgets.Dropdown(
            options=list(drawing.PREVIEW_HEIGHTS), value="medium", layout=widgets.Layout(width="100px", display="none")
        )
        self._preview.observe(lambda _change: self._look(), names="value")
        self._size.observe(lambda _change: self._changed(), names="value")
        self._folded.observe(lambda _change: self._look_at_log(), names="selected_index")
        bar = widgets.HBox(
            [self._stop, self._deploy, self._rollback, self._preview, self._size, self._links],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.widget = widgets.VBox(
            [
                self._status, self._prompt, self._steps, self._todos, self._tools, self._requests, self._answer, self._told, bar,
                self._frame, self._folded,
            ]
        )  # fmt: skip
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

    @property
    def name(self) -> str:
        return str(self.project["name"])

    def show(self) -> Panel:
        """Display it in the current cell and follow the events."""
        self._draw()
        shown = self.widget._repr_mimebundle_()
        # For whoever opens the saved notebook where no widget is shown.
        display({**shown, "text/plain": f"The live panel of {self.name}. What came of it stands below."}, raw=True)
        # Static, for the same: filled when the turn ends.
        self._summary = display(Markdown(""), display_id=True)
        panels.add(self)
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
                self._ask_stop(doce)
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
        """Let its threads end; what is shown stays."""
        self._ended.set()
        self._dirty.set()
        self._pause.set()
        if self._client:
            self._client.close()

    def join(self, timeout_s: float) -> None:
        """Until its threads have ended."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0, deadline - time.monotonic()))

    # What happens

    def _read(self) -> None:
        try:
            with another() as doce:
                self._client = doce
                for event in () if self.turn.over else doce.events(self.id, after=self._after):
                    if self._ended.is_set():
                        return
                    self._take(event)
                    if self.turn.over:
                        self._look_at_changes(doce)
                        return
        except DoceError as error:
            self._broke(error)
        except Exception as error:  # a thread: the person must see it, not a log nobody reads
            self._broke(DoceError(f"The panel broke: {error}"))
        finally:
            self._ended.set()
            self._dirty.set()

    def _take(self, event: Event) -> None:
        with self._lock:
            self.turn.take(event)
        self._dirty.set()

    def _look_at_changes(self, doce: Doce) -> None:
        """What became of the files, now that the turn has ended."""
        # None for a turn that never began: what the tools told stays.
        with contextlib.suppress(DoceError):
            found = doce.changes(self.id, self.turn.prompt_id or "", limit=1000)["items"]
            with self._lock:
                self._changes = {one["path"]: one["diff"] for one in found}
                self.turn.transcript.files = {one["path"]: (one["additions"], one["deletions"]) for one in found}

    def _broke(self, error: DoceError) -> None:
        if not self._ended.is_set():
            self.trouble = error
            self._say(error, "The work goes on without this panel; `%doce open` shows it again.")

    def _keep_drawing(self) -> None:
        """At most every `REST_S`, and only when something changed; the clock in the status line moves once a second."""
        try:
            while not self._ended.is_set():
                self._dirty.wait(1)
                self._dirty.clear()
                sent = self._draw()
                # Also at the end: what is shown last must not be what is dropped.
                self._pause.wait(max(REST_S, sent / RATE))
            self._draw()
            if self.trouble is None:
                self._tell("")
            if self._summary is not None and self.turn.over:
                with self._lock:
                    self._summary.update(Markdown(harmless(self.turn.summary(self.name))))
        finally:
            self._closed.set()

    def _changed(self) -> None:
        self._dirty.set()
        if self._closed.is_set():
            self._draw()

    # What is shown

    def _draw(self) -> int:
        """Write what changed; returns about how many bytes that was."""
        with self._lock:
            turn = self.turn
            shown: dict[Any, str] = {
                self._status: drawing.status(turn, self.name, int(time.time() * 1000)),
                self._prompt: drawing.prompt(turn),
                self._steps: drawing.steps(turn),
                self._todos: drawing.todos(turn),
                self._tools: drawing.tools(turn),
                self._answer: rendered(turn.answer),
                self._reasoning: drawing.reasoning(turn),
                self._files: drawing.files(turn, self._changes),
                self._links: drawing.links(turn),
                self._frame: drawing.frame(turn, self._size.value) if self._preview.value else "",
            }
            requests, count = turn.open_requests, len(turn.transcript.files)
        sent = 0
        for widget, text in shown.items():
            # Front ends set widgets in lines as high as a button.
            value = f'<div style="line-height:1.5">{text}</div>' if text else ""
            # What did not change is not sent.
            if widget.value != value:
                widget.value = value
                sent += len(value)
        self._folded.titles = ("Reasoning", f"Files ({count})" if count else "Files", "Log")
        self._stop.disabled = turn.over
        self._size.layout.display = None if self._preview.value else "none"
        self._show_requests(requests)
        return sent

    def _show_requests(self, requests: list[PermissionRequested | QuestionRequested]) -> None:
        wanted = {one.request_id: one for one in requests}
        if wanted.keys() == self._asked.keys():
            return
        for request_id in self._asked.keys() - wanted.keys():
            del self._asked[request_id]
        for request_id in wanted.keys() - self._asked.keys():
            self._asked[request_id] = self._request(wanted[request_id])
        self._requests.children = tuple(self._asked.values())

    def _request(self, asked: PermissionRequested | QuestionRequested) -> widgets.Widget:
        if isinstance(asked, PermissionRequested):
            return asking.permission(asked, lambda reply: self._do(lambda doce: doce.answer_permission(self.id, asked.request_id, reply)))
        return asking.question(asked, lambda answers: self._do(lambda doce: doce.answer_question(self.id, asked.request_id, answers)))

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
                    self._tell("")
                    done = work(doce)
                    if isinstance(done, Mapping) and "releases" in done:
                        deploying(doce, self.id, done, self._deployed)
            except DoceError as error:
                self._say(error)

        threading.Thread(target=run, name="doce-panel-act", daemon=True).start()

    def _ask_stop(self, doce: Doce) -> None:
        """Stop this turn, not the one before it, nor the project."""
        with self._lock:
            waiting = self.turn.prompt_id if self.turn.state == "queued" else None
        if waiting:
            # One that still waits is taken out of the queue; Conflict: the agent has just got it.
            with contextlib.suppress(Conflict, NotFound):
                doce.remove_prompt(self.id, waiting)
                return
        told = doce.stop(self.id)["message"]
        if not self.turn.over:
            # It may take a few seconds, when the agent has only just begun.
            self._tell(f"<i>{html.escape(told)}</i>")

    def _deployed(self, status: ProductionStatus) -> None:
        with self._lock:
            self.turn.deploy(status)
        self._changed()

    def _look(self) -> None:
        """The preview was switched on or off."""
        self._changed()
        if self._preview.value and "doce-panel-watch" not in {thread.name for thread in self._threads if thread.is_alive()}:
            thread = threading.Thread(target=self._watch, name="doce-panel-watch", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _watch(self) -> None:
        """Who looks at a preview is a viewer: a project that sleeps wakes for it, and stays awake."""
        until = time.monotonic() + WATCH_S
        try:
            with another() as doce:
                while self._preview.value and time.monotonic() < until:
                    seen = self._touched(doce)
                    if self._pause.wait(seen["nextPollMs"] / 1000):
                        return
        except DoceError as error:
            self._say(error)

    def _touched(self, doce: Doce) -> dict[str, Any]:
        viewer = {"viewerId": f"panel-{id(self):x}", "door": "notebook"}
        seen: dict[str, Any] = doce.request("POST", f"/api/projects/{self.id}/presence", body=viewer)
        with self._lock:
            # While events come they know it better.
            if self._ended.is_set():
                self.turn.preview_url = seen["previewUrl"] if seen["previewReady"] else None
        if self._ended.is_set():
            self._tell("" if seen["previewReady"] else f"<i>{html.escape(seen['message'])}</i>")
        self._changed()
        return seen

    def _look_at_log(self) -> None:
        if self._folded.selected_index == LOG:
            self._do(self._show_log)

    def _show_log(self, doce: Doce) -> None:
        """The last lines, and what comes while the turn goes on."""
        while True:
            text = doce.request("GET", f"/api/projects/{self.id}/logs/tail", query={"limit": LOG_LINES})["text"]
            shown = f"<pre style='white-space:pre-wrap;font-size:12px'>{html.escape(text) or 'The log is empty.'}</pre>"
            if self._log.value != shown:
                self._log.value = shown
            if self._ended.is_set() or self._pause.wait(LOG_S) or self._folded.selected_index != LOG:
                return

    def _say(self, error: DoceError, more: str = "") -> None:
        self._tell(f"<b>{html.escape(error.message)}</b> {html.escape(error.hint or more)}")

    def _tell(self, text: str) -> None:
        if self._told.value != text:
            self._told.value = text


def opened(doce: Doce, project: dict[str, Any], prompt: Mapping[str, Any] | None = None) -> Panel:
    """The panel of a project and a prompt of it; None: the one that works, else the last that did, else the first that waits."""
    site = doce.production(project["id"])["url"]
    if prompt is None:
        prompts = [one for one in doce.prompts(project["id"], limit=20)["items"] if one["state"] != "removed"]
        begun = [one for one in prompts if one["state"] != "queued"]
        prompt = (begun or [*reversed(prompts)] or [None])[0]
    if prompt is None:
        return Panel(project, Turn(state="completed", preview_url=project["previewUrl"], site_url=site))
    turn = Turn(prompt["id"], preview_url=project["previewUrl"], site_url=site)
    return Panel(project, turn, after=prompt["seq"] - 1)


def deploying(doce: Doce, project_id: str, view: Mapping[str, Any], tell: Callable[[ProductionStatus], None]) -> None:
    """Each state of a deployment or rollback that `view` answered, to its end."""
    with contextlib.closing(doce.events(project_id, after=view["seq"])) as events:
        for event in events:
            status = event.typed()
            if not isinstance(status, ProductionStatus):
                continue
            tell(status)
            if status.status in ("failed", "stopped") or (status.status == "running" and not status.step):
                return


def close_all() -> None:
    """End every panel. A thread that waits for an event hears of it with the next sign of doce, at most 15 s later."""
    for panel in list(panels):
        panel.close()
