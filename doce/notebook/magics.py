"""`%%doce`: a prompt and its live panel. `%doce`: the words of every door."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, NoReturn

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import Markdown, display

from doce.client import Doce
from doce.errors import BadRequest, DoceError, NotFound
from doce.notebook import answering, background, filling, panel
from doce.notebook.answering import Said
from doce.notebook.panel import Panel, opened
from doce.opencode.turn import Turn

FLAGS = "[project] [--new] [--name N] [--model M] [--template T] [--wait]"
HELP = f"""**`%%doce {FLAGS}`**, and the prompt below it: asks the project (the one used last
when none is named; a new one when there is none, or with `--new`) and shows a live panel. `{{variable}}`, `{{In[n]}}`, `{{Out[n]}}` and
`{{Err[n]}}` (the error of cell n) in the prompt are filled in. `--wait` blocks until the turn has ended; ■ stops it.

**`%doce open [project]`** shows a project's panel again. **`%doce use project`** is what `%%doce` talks to from now on.

Everything else is as on every door; `%doce help deploy` says more about one.
"""


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadRequest(f"%%doce: {message}.", hint=f"%%doce {FLAGS}, and the prompt below it.")


def _words() -> _Words:
    words = _Words(prog="%%doce", add_help=False)
    words.add_argument("project", nargs="?")
    words.add_argument("--new", action="store_true")
    words.add_argument("--model")
    words.add_argument("--template")
    words.add_argument("--name")
    words.add_argument("--wait", action="store_true")
    words.add_argument("-h", "--help", action="store_true")
    return words


@magics_class
class DoceMagics(Magics):
    """One a kernel."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._names: dict[str, Any] = shell.user_ns
        #: id of the project that is meant when none is named
        self.project: str | None = None
        #: error of each cell that had one, by its number
        self.errors: dict[int, str] = {}

    @no_var_expand
    @line_cell_magic
    def doce(self, line: str, cell: str | None = None) -> Any:
        """`%%doce` asks and shows a panel; `%doce` takes the words of every door."""
        try:
            if cell is not None:
                return self._ask(line, cell)
            return self._say(line)
        except DoceError as error:
            # The cell has failed, so a run of all cells stops here. A sentence, not a stack: nothing here is the person's to debug.
            sentence = [f"\x1b[31m{error.message}\x1b[0m", *([error.hint] if error.hint else [])]
            error._render_traceback_ = lambda: sentence  # type: ignore[attr-defined]
            raise

    def _ask(self, line: str, cell: str) -> None:
        try:
            given = _words().parse_args(shlex.split(self.filled(line)))
        except ValueError as error:
            raise BadRequest(f"%%doce: {error}.", hint=f"%%doce {FLAGS}, and the prompt below it.") from None
        if given.help:
            return self._say("help")
        text = self.filled(cell).strip()
        if not text:
            raise BadRequest("There is no prompt.", hint="Write it below %%doce.")
        shown = self._begun(background.connect(), given, text).show()
        if given.wait:
            turn = shown.wait()
            if shown.trouble:
                raise shown.trouble
            if turn.state != "completed":
                raise DoceError(f"The turn ended as {turn.state}. {turn.error}".strip(), hint=turn.hint or None)
        return None

    def _begun(self, doce: Doce, given: argparse.Namespace, text: str) -> Panel:
        project = None if given.new else given.project or self._here(doce)
        if project is None and not given.new:
            latest = doce.projects(limit=1)["items"]
            project = latest[0]["id"] if latest else None
        if project is None:
            name = given.name or (given.project if given.new else None)
            made = doce.create(text, name=name, template=given.template, model=given.model)
            self.project = made["id"]
            return Panel(made, Turn())
        if given.template or given.name:
            raise BadRequest("A template or a name is for a new project.", hint="Add --new.")
        found = doce.project(project)
        self.project = found["id"]
        return opened(doce, found, doce.chat(found["id"], text, model=given.model))

    def _say(self, line: str) -> None:
        text = self.filled(line).strip()
        word, _, rest = text.partition(" ")
        if rest.strip() in ("-h", "--help"):
            text, word, rest = f"help {word}", "help", word
        doce = background.connect()
        here = self._here(doce)
        if word in ("open", "use"):
            found = doce.project(rest.strip() or here or _latest(doce))
            self.project = found["id"]
            if word == "use":
                display(Said(f"%%doce talks to {found['name']} ({found['slug']}) now."))
            else:
                opened(doce, found).show()
            return
        if text in ("", "help", "-h", "--help"):
            display(Markdown(HELP))
            text = "help"
        said = doce.request("POST", "/api/words", body={"text": text, **({"project": here} if here else {})})
        if said["action"] == "projects.create":
            self.project = said["data"]["id"]
        answering.show(doce, said["action"], said["text"], said.get("data"))

    def _here(self, doce: Doce) -> str | None:
        """The project used last, if it is still there."""
        try:
            return str(doce.project(self.project)["id"]) if self.project else None
        except NotFound:
            self.project = None
            return None

    def filled(self, text: str) -> str:
        """`text` with names of this kernel filled in."""
        return filling.filled(text, {**self._names, "Err": self.errors})

    def remember(self, result: Any) -> None:
        """The error of a cell that ran, for ``{Err[n]}``."""
        error = result.error_before_exec or result.error_in_exec
        if error is not None and result.execution_count:
            self.errors[result.execution_count] = filling.told(error)


def _latest(doce: Doce) -> str:
    items = doce.projects(limit=1)["items"]
    if not items:
        raise BadRequest("There is no project yet.", hint="Write %%doce and a prompt below it.")
    return str(items[0]["id"])


def load(shell: Any) -> None:
    magics = DoceMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.remember)
    shell.doce_magics = magics


def unload(shell: Any) -> None:
    magics = getattr(shell, "doce_magics", None)
    if magics is None:
        return
    shell.events.unregister("post_run_cell", magics.remember)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("doce", None)
    del shell.doce_magics
    panel.close_all()
    background.close()
