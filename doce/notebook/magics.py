"""`%%doce`: a prompt and its live panel. `%doce`: the words of every door."""

from __future__ import annotations

import argparse
import re
import shlex
import traceback
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import Markdown, display

from doce.client import Doce
from doce.errors import BadRequest, DoceError
from doce.notebook import background, panel
from doce.notebook.panel import Panel
from doce.opencode.turn import Turn

#: ``{name}``, ``{frame.shape}``, ``{Err[3]}``: what looks otherwise is somebody's CSS and stays.
_HOLE = re.compile(r"\{([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[[^\]{}\n]+\])*)\}")
HELP = """**`%%doce [project] [--new] [--model M] [--template T] [--wait]`**, and the prompt below it: asks the project (the one used last
when none is named; a new one when there is none, or with `--new`) and shows a live panel. `{variable}`, `{In[n]}`, `{Out[n]}` and
`{Err[n]}` (the error of cell n) in the prompt are filled in. `--wait` blocks until the turn has ended; ■ stops it.

**`%doce open [project]`** shows a project's panel again. **`%doce use project`** is what `%%doce` talks to from now on.

Everything else is as on every door:

"""


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"%%doce: {message}. `%doce help` says what there is.")


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

    @line_cell_magic
    def doce(self, line: str, cell: str | None = None) -> Any:
        """`%%doce` asks and shows a panel; `%doce` takes the words of every door."""
        try:
            if cell is not None:
                return self._ask(line, cell)
            return self._say(line)
        except DoceError as error:
            # A sentence, not a stack: nothing here is the person's to debug.
            display(Markdown(f"**{error.message}** {error.hint or ''}"))
            return None

    def _ask(self, line: str, cell: str) -> None:
        try:
            given = _words().parse_args(shlex.split(line))
        except ValueError as error:
            raise UsageError(f"%%doce: {error}") from None
        if given.help:
            return self._say("help")
        text = self.filled(cell).strip()
        if not text:
            raise BadRequest("There is no prompt.", hint="Write it below %%doce.")
        doce = background.connect()
        asked = self._begun(doce, given, text)
        shown = asked.show()
        if given.wait:
            turn = shown.wait()
            if turn.state != "completed":
                raise UsageError(f"The turn ended as {turn.state}. {turn.error} {turn.hint}".strip())
        return None

    def _begun(self, doce: Doce, given: argparse.Namespace, text: str) -> Panel:
        project = None if given.new else given.project or self.project
        if project is None and not given.new:
            latest = doce.projects(limit=1)["items"]
            project = latest[0]["id"] if latest else None
        if project is None:
            name = given.name or (given.project if given.new else None)
            made = doce.create(text, name=name, template=given.template, model=given.model)
            self.project = made["id"]
            return Panel(made, Turn())
        if given.template:
            raise BadRequest("A template is for a new project.", hint="Add --new.")
        found = doce.project(project)
        self.project = found["id"]
        prompt = doce.chat(found["id"], text, model=given.model)
        turn = Turn(prompt["id"], preview_url=found["previewUrl"], site_url=doce.production(found["id"])["url"])
        return Panel(found, turn, after=prompt["seq"] - 1)

    def _say(self, line: str) -> None:
        text = self.filled(line).strip()
        word, _, rest = text.partition(" ")
        doce = background.connect()
        if word in ("open", "use"):
            found = doce.project(rest.strip() or self.project or _latest(doce))
            self.project = found["id"]
            if word == "use":
                display(Markdown(f"`%%doce` talks to **{found['name']}** (`{found['slug']}`) now."))
                return
            opened(doce, found).show()
            return
        here = self.project if self.project and _is_there(doce, self.project) else None
        said = doce.request("POST", "/api/words", body={"text": text or "help", **({"project": here} if here else {})})
        data = said.get("data") or {}
        if said["action"] == "projects.create":
            self.project = data["id"]
            Panel(data, Turn()).show()
            return
        answer = str(said["text"])
        display(Markdown(HELP + f"```\n{answer}\n```" if not text or word == "help" else answer))

    def filled(self, text: str) -> str:
        """`text` with ``{name}`` of this kernel filled in; what is no name here stays as it is."""
        names = {**self._names, "Err": self.errors}

        def fill(hole: re.Match[str]) -> str:
            if hole[1] not in names:
                return hole[0]
            try:
                return str(self._value(names[hole[1]], hole[2]))
            except (KeyError, IndexError, AttributeError, TypeError) as error:
                raise BadRequest(f"{hole[0]} has no value: {error!r}.", hint="Cells are numbered as Jupyter shows them.") from None

        return _HOLE.sub(fill, text)

    def _value(self, value: Any, path: str) -> Any:
        for name, key in re.findall(r"\.([A-Za-z_]\w*)|\[([^\]]+)\]", path):
            if name:
                value = getattr(value, name)
            else:
                bare = key.strip().strip("'\"")
                value = value[int(bare) if bare.lstrip("-").isdigit() and key.strip()[0] not in "'\"" else bare]
        return value

    def remember(self, result: Any) -> None:
        """The error of a cell that ran, for ``{Err[n]}``."""
        error = result.error_before_exec or result.error_in_exec
        if error is not None and result.execution_count:
            self.errors[result.execution_count] = "".join(traceback.format_exception(error))[-8000:]


def opened(doce: Doce, project: dict[str, Any]) -> Panel:
    """The panel of a project as it is: its last turn, running or not."""
    prompts = [one for one in doce.prompts(project["id"], limit=20)["items"] if one["state"] != "removed"]
    site = doce.production(project["id"])["url"]
    if not prompts:
        return Panel(project, Turn(state="completed", preview_url=project["previewUrl"], site_url=site))
    # The one that works, else the last that did, else the first that waits.
    begun = [one for one in prompts if one["state"] != "queued"]
    prompt = (begun or list(reversed(prompts)))[0]
    turn = Turn(prompt["id"], preview_url=project["previewUrl"], site_url=site)
    return Panel(project, turn, after=prompt["seq"] - 1)


def _latest(doce: Doce) -> str:
    items = doce.projects(limit=1)["items"]
    if not items:
        raise BadRequest("There is no project yet.", hint="Write %%doce and a prompt below it.")
    return str(items[0]["id"])


def _is_there(doce: Doce, project: str) -> bool:
    try:
        doce.project(project)
    except DoceError:
        return False
    return True


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
