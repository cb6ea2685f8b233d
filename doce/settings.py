"""Every constant that somebody may want to change, in one frozen model.

Each field is the variable ``DOCE_<NAME>``. No other module reads the environment; an unknown ``DOCE_*`` name is an
error, so that a typing mistake does not silently mean the default.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from doce.errors import BadRequest

PREFIX = "DOCE_"

#: An admin may change it while doce runs; whoever uses it asks `doce.db.choices` each time.
CHANGEABLE: dict[str, Any] = {"changeable": True}

#: Variables that only the client (CLI, notebook, scripts) reads; see `client_environment`.
CLIENT_NAMES = {"DOCE_URL", "DOCE_TOKEN"}


def _origin(text: str) -> str:
    """`text` if it is an origin, scheme and host and no more, as browsers compare them. Raises ValueError."""
    if not re.fullmatch(r"https?://(\*\.)?[a-z0-9.-]+(:\d{1,5})?", text):
        raise ValueError(f"{text!r} is no origin; http://localhost:8888 is one")
    return text


def _registry(text: str) -> str:
    """`text` if it can stand before the name of an image. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", text):
        raise ValueError(f"{text!r} is no registry; registry.example.org/team is one, with no scheme and no slash at its end")
    return text


Origin = Annotated[str, AfterValidator(_origin)]
Registry = Annotated[str, AfterValidator(_registry)]


class Settings(BaseModel):
    """doce's settings. Read once at start; see the description of each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("data"), description="Folder of everything doce keeps: database, projects, releases, logs.")
    cache: Path = Field(Path.home() / ".cache" / "doce", description="Folder of downloaded tools and dependency stores; safe to delete.")
    bind: str = Field("127.0.0.1", description="Address doce and previews listen on.")
    port: int = Field(8420, ge=0, le=65535, description="Port of doce itself; 0 takes a free one.")
    public_url: str | None = Field(None, description="Address people use to reach this doce, when it is not http://<bind>:<port>.")
    site_host: str | None = Field(
        None, description="Host name of previews and deployed sites, another than that of DOCE_PUBLIC_URL; what a site may not share."
    )
    frame_ancestors: tuple[Origin, ...] = Field(
        (), description="Origins whose pages may show doce in a frame, separated by spaces: a notebook's, say http://localhost:8888."
    )
    gateway_port: int = Field(0, ge=0, le=65535, description="Port of the model gateway; 0 takes a free one once and keeps it.")
    runtime: Literal["process", "docker"] | None = Field(
        None, description="What runs projects: `docker` isolates them. Not set: `process`, and only with the rehearsal model."
    )
    docker_host: str | None = Field(None, description="Address of the Docker engine; not set: this machine's socket.")
    node_image: str = Field("doce/node", description="Image of previews and builds; doce's own is built when missing, others are pulled.")
    agent_image: str = Field("doce/agent", description="Image of coding agents.")
    web_image: str = Field("doce/web", description="Image of what serves deployed sites.")
    registry: Registry | None = Field(
        None, description="Registry that doce's own images are pulled from where it has them, as host/team; see `doce images push`."
    )
    container_uid: int | None = Field(
        None, ge=1, description="User id of containers; not set: the owner of the data folder, 1000 when that is root."
    )
    container_network: str = Field("10.213.0.0/16", description="Range of addresses that projects' networks are cut from.")
    container_memory_mb: int = Field(1536, ge=128, description="Memory limit of a container (MiB).")
    container_cpus: float = Field(2, gt=0, description="Processor limit of a container (cores).")
    container_processes: int = Field(512, ge=32, description="Most processes and threads in a container.")
    workers: int = Field(4, ge=0, le=20, description="Jobs run at the same time in this process; 0 leaves them to `doce worker`.")
    model: str = Field("rehearsal/site-builder", description="Model of new projects, as provider/model.", json_schema_extra=CHANGEABLE)
    openrouter_key: SecretStr | None = Field(None, description="Key of OpenRouter; makes its models available.")
    openai_base_url: str | None = Field(None, description="Base URL of any OpenAI-compatible provider, ending in /v1.")
    openai_key: SecretStr | None = Field(None, description="Key for DOCE_OPENAI_BASE_URL.")
    template: str = Field("static", description="Template of new projects.", json_schema_extra=CHANGEABLE)
    preview_ports: tuple[int, int] = Field((41000, 41999), description="First and last port given to previews.")
    production_ports: tuple[int, int] = Field((43000, 43999), description="First and last port given to deployed sites.")
    build_timeout_s: float = Field(600, gt=0, description="How long a build may take (seconds).")
    drain_s: float = Field(30, ge=0, description="How long open requests get before an old server is stopped (seconds).")
    keep_releases: int = Field(5, ge=2, description="How many versions of a deployed site are kept.", json_schema_extra=CHANGEABLE)
    opencode_ports: tuple[int, int] = Field((42000, 42999), description="First and last port given to coding agents.")
    ready_timeout_s: float = Field(300, gt=0, description="How long a project may take to become ready (seconds).")
    healthy_timeout_s: float = Field(
        300, gt=0, description="How long a new version of a deployed site may take to become healthy (seconds)."
    )
    min_free_mb: int = Field(
        1024, ge=0, description="Free disk (MiB) below which agents are stopped and nothing is started.", json_schema_extra=CHANGEABLE
    )
    max_running: int = Field(
        0, ge=0, description="Projects that run at once, the others wait; 0: as many as the memory of this machine takes.",
        json_schema_extra=CHANGEABLE,
    )  # fmt: skip
    project_disk: int = Field(
        5120, ge=0, description="Disk (MiB) that a project may take; above it its agent is stopped. 0: any.", json_schema_extra=CHANGEABLE
    )
    disk_s: float = Field(5, gt=0, description="How often free disk is looked at (seconds); a project is measured every minute.")
    lease_s: float = Field(60, gt=0, description="How long a running job is believed alive without a sign (seconds).")
    heartbeat_s: float = Field(5, gt=0, description="How often a running job gives a sign (seconds).")
    job_history_days: int = Field(7, ge=1, description="Days after which finished jobs are removed.")
    stop_grace_s: float = Field(8, gt=0, description="How long running jobs get when doce stops (seconds).")
    idle_s: float = Field(
        300,
        ge=0,
        description="How long nobody may watch before an idle project stops (seconds); 0: never.",
        json_schema_extra=CHANGEABLE,
    )
    viewer_stale_s: float = Field(30, gt=0, description="How long a viewer is believed to watch without a sign (seconds).")
    reap_s: float = Field(30, gt=0, description="How often viewers that went away and projects nobody watches are looked for (seconds).")
    reconcile_s: float = Field(30, gt=0, description="How often rows are compared with what really runs (seconds).")
    keepalive_s: float = Field(15, gt=0, description="How often an idle stream sends a comment (seconds).")
    slow_viewer_s: float = Field(10, gt=0, description="How long a viewer may not read before it is cut off (seconds).")
    leave_running: bool = Field(True, description="Whether agents, previews and deployed sites go on while doce is stopped.")
    question_timeout_s: float = Field(
        600, gt=0, description="How long a permission or question waits for an answer (seconds).", json_schema_extra=CHANGEABLE
    )
    slack_bot_token: SecretStr | None = Field(None, description="Slack: token of the app in the one workspace it is installed in, xoxb-….")
    slack_app_token: SecretStr | None = Field(
        None, description="Slack: app-level token for Socket Mode, xapp-…; with it no public address is needed."
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        description="Slack: signing secret, for requests over HTTP; while it changes the new and the old one, with a comma.",
    )
    slack_client_id: str | None = Field(None, description="Slack: client id, for installing the app in several workspaces.")
    slack_client_secret: SecretStr | None = Field(None, description="Slack: client secret, for installing the app in several workspaces.")
    slack_api_url: str = Field("https://slack.com/api/", description="Slack: address of its API.")
    slack_roll_s: float = Field(
        240, gt=0, description="Slack: seconds after which a streamed message goes on in a new one; Slack ends them after five minutes."
    )
    slack_preview_images: bool | None = Field(
        None,
        description="Slack: put a picture of the preview into the thread after a turn, taken by a Chromium of this machine. Not set: where "
        "there is one, unless doce runs as root, as whom Chromium has no sandbox.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least important log line that is written.")
    fault: str | None = Field(None, description="Tests only: the fault points to trip, as name=action; see doce.testing.faults.")

    @property
    def slack(self) -> bool:
        """The Slack door is configured."""
        return any((self.slack_bot_token, self.slack_app_token, self.slack_signing_secret, self.slack_client_id))

    @property
    def database(self) -> Path:
        return self.data / "db.sqlite"

    @property
    def production(self) -> Path:
        return self.data / "production"

    @property
    def projects(self) -> Path:
        return self.data / "projects"


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` (of the command line) on top.

    Raises BadRequest naming the variable for an unknown ``DOCE_*`` name or a value of the wrong kind.
    """
    environ = os.environ if environ is None else environ
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in CLIENT_NAMES:
            continue
        if variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            raise BadRequest(
                f"{variable} is not a setting of doce.",
                hint=f"Did you mean {near[0]}?" if near else "`doce settings` lists them; unset the variable.",
            )
        values[known[variable]] = _parsed(known[variable], value)
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        raise BadRequest(f"{PREFIX}{name.upper()} is not valid: {reason}.", hint=Settings.model_fields[name].description) from None


def client_environment(environ: Mapping[str, str] | None = None) -> tuple[str | None, SecretStr | None]:
    """DOCE_URL and DOCE_TOKEN: which doce a client talks to, and as whom."""
    environ = os.environ if environ is None else environ
    token = environ.get("DOCE_TOKEN")
    return environ.get("DOCE_URL") or None, SecretStr(token) if token else None


def machine_path(environ: Mapping[str, str] | None = None) -> str:
    """PATH of this machine: where tools are looked for."""
    return (os.environ if environ is None else environ).get("PATH", os.defpath)


def tool_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What pip and npm may see when they fetch for doce: everything of this person's but doce's own variables."""
    return {name: value for name, value in (os.environ if environ is None else environ).items() if not name.startswith(PREFIX)}


def _parsed(name: str, text: str) -> Any:
    """The text of a variable, taken apart where its setting has parts."""
    if name == "frame_ancestors":
        return tuple(text.split())
    return _ports(text) if name.endswith("_ports") else text


def _ports(text: str) -> tuple[int, int] | str:
    """``41000-41999`` as a pair; anything else is left for the model to refuse."""
    first, dash, last = text.partition("-")
    return (int(first), int(last)) if dash and first.isdigit() and last.isdigit() else text
