"""Ending what a doce left in the engine, without that doce."""

from __future__ import annotations

from pathlib import Path

from doce.docker.compose import INSTANCE, PROJECT
from doce.docker.engine import Engine, answering

WORKING_DIR = "com.docker.compose.project.working_dir"


def remove_all(engine: Engine, data: Path) -> list[str]:
    """Remove every container and network of the doce whose data folder is `data`; returns the names of those that still ran."""
    client = engine.client
    ran, projects = [], set()
    with answering():
        for container in client.containers.list(all=True, filters={"label": INSTANCE}, ignore_removed=True):
            if Path(container.labels.get(WORKING_DIR, "/")).is_relative_to(data.absolute()):
                ran += [str(container.name)] if container.status == "running" else []
                projects.add(container.labels.get(PROJECT, ""))
                container.remove(force=True, v=True)
        for project in projects:
            for network in client.networks.list(filters={"label": f"{PROJECT}={project}"}):
                network.remove()
    return ran
