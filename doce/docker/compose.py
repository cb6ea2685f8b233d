"""What containers are called and labelled, and the file that shows people what runs.

The labels are Compose's own, so ``docker compose -p doce_<id> ps``, ``logs`` and ``stop`` work on what doce made. The file is
written beside the workspace and never read back: what runs is described by doce.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doce.stacks.stack import Service, Stack

INSTANCE = "dev.doce.instance"
PROJECT = "dev.doce.project"
SERVICE = "dev.doce.service"
FINGERPRINT = "dev.doce.fingerprint"
PORT = "dev.doce.port"
#: Names of the variables that must not reach the log.
SECRETS = "dev.doce.secrets"


@dataclass(frozen=True)
class Labelled:
    """Whose a container is, read from its labels."""

    project_id: str
    service: str
    fingerprint: str
    host_port: int | None

    @classmethod
    def of(cls, labels: dict[str, str]) -> Labelled:
        port = labels.get(PORT, "")
        host_port = int(port) if port.isdigit() else None
        return cls(labels.get(PROJECT, ""), labels.get(SERVICE, ""), labels.get(FINGERPRINT, ""), host_port)


def project_name(project_id: str) -> str:
    """The Compose project, the network and the beginning of every container's name."""
    return f"doce_{project_id}"


def container_name(project_id: str, service: str) -> str:
    return f"{project_name(project_id)}-{service}-1"


def network_labels(instance: str, project_id: str) -> dict[str, str]:
    return {
        INSTANCE: instance,
        PROJECT: project_id,
        "com.docker.compose.project": project_name(project_id),
        "com.docker.compose.network": "default",
    }


def labels(instance: str, stack: Stack, service: Service, image: str) -> dict[str, str]:
    """Every label of a service's container."""
    folder = stack.workspace.parent
    return {
        INSTANCE: instance,
        PROJECT: stack.project_id,
        SERVICE: service.name,
        FINGERPRINT: service.fingerprint(),
        PORT: str(service.host_port),
        SECRETS: ",".join(service.secrets),
        "com.docker.compose.project": project_name(stack.project_id),
        "com.docker.compose.service": service.name,
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.config-hash": service.fingerprint(),
        "com.docker.compose.project.working_dir": str(folder),
        "com.docker.compose.project.config_files": str(folder / "compose.yaml"),
        "com.docker.compose.image": image,
    }


def render(stack: Stack, containers: dict[str, dict[str, Any]]) -> str:
    """``compose.yaml`` for people: what each container was made with, without secrets. (JSON is YAML.)"""
    services = {service.name: _shown(service, containers[service.name]) for service in stack.services}
    note = "# Written by doce for people to read. doce does not read it: changes here change nothing.\n"
    shown = json.dumps({"name": project_name(stack.project_id), "services": services}, indent=2)
    # Compose would put the value of a variable for a word after a dollar.
    return note + shown.replace("$", "$$") + "\n"


def _shown(service: Service, made: dict[str, Any]) -> dict[str, Any]:
    secret = set(service.secrets)
    return {
        "image": made["image"],
        "command": made["command"],
        "user": made["user"],
        "environment": {name: "***" if name in secret else value for name, value in made["environment"].items()},
        "volumes": made["mounts"],
        "ports": [f"{address}:{port}:{inside.split('/')[0]}" for inside, (address, port) in made["ports"].items()],
        "read_only": made["read_only"],
        "cap_drop": made["cap_drop"],
        "security_opt": made["security_opt"],
        "mem_limit": made["mem_limit"],
        "pids_limit": made["pids_limit"],
        "stop_signal": made["stop_signal"],
    }


def write(path: Path, text: str) -> None:
    """In one rename, so that nobody reads half of it."""
    half = path.with_name(f".{path.name}.new")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
