"""doce images: what containers are made of."""

from __future__ import annotations

import click

from doce.cli.group import Subwords
from doce.cli.screen import put_json, screen
from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.settings import load, machine_path
from doce.toolchain import Toolchain

MIB = 1024 * 1024


@click.group(cls=Subwords)
def images() -> None:
    """The images that projects run in with DOCE_RUNTIME=docker."""


@images.command(epilog="\b\nExamples:\n  doce images build\n  doce images build agent --anew")
@click.argument("name", required=False)
@click.option("--anew", is_flag=True, help="Also when nothing changed: takes the newest packages.")
def build(name: str | None, anew: bool) -> int:
    """Build what is missing or outdated, from Debian and npm packages; needs no image registry.

    With DOCE_REGISTRY, what that registry has is pulled instead of built. An image that DOCE_NODE_IMAGE and the like name is
    pulled. NAME is node, agent or web; left out: all.
    """
    found = _images()
    tell, wanted = screen(), _wanted(found, name)
    found.fetch_ahead(*wanted)
    for one in wanted:
        if not found.build(one, tell.line, anew=anew):
            tell.line(f"✓ {found.tag(one)} is as it should be")
        else:
            tell.line(f"✓ {found.tag(one)} is here now")
    return 0


@images.command(epilog="\b\nExamples:\n  DOCE_REGISTRY=registry.example.org/team doce images push")
@click.argument("name", required=False)
def push(name: str | None) -> int:
    """Put doce's own images into DOCE_REGISTRY, where other machines pull them from instead of building them.

    What is missing is built first. Log in with `docker login` before. NAME is node, agent or web; left out: all.
    """
    found, tell = _images(), screen()
    for one in _wanted(found, name):
        found.push(one, tell.line)
        tell.line(f"✓ {found.tag(one)} is in the registry")
    return 0


@images.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_images(as_json: bool) -> int:
    """Show which images there are."""
    shown = _images().list()
    if as_json:
        put_json({"items": [{"name": one.name, "tag": one.tag, "state": one.state, "size": one.size} for one in shown]})
        return 0
    tell = screen()
    for one in shown:
        size = f", {one.size // MIB} MiB" if one.size else ""
        tell.line(f"{one.name}: {one.tag}, {one.state}{size}", "" if one.state == "present" else "yellow")
    if any(one.state != "present" for one in shown):
        tell.line("`doce images build` builds what is missing or outdated.")
    return 0


def _wanted(found: Images, name: str | None) -> list[str]:
    if name and name not in found.names:
        raise click.UsageError(f"There is no image {name!r}. There are {', '.join(found.names)}.")
    return [name] if name else list(found.names)


def _images() -> Images:
    settings = load()
    return Images(settings, Engine(settings.docker_host), Toolchain(settings.cache, path=machine_path()))
