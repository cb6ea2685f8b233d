"""What a service's container is made with: nothing but what it needs.

No root, no capabilities, no new privileges, a read-only root file system, limits on memory, processors, processes and its log,
and of this machine's folders only those of the service. The engine's socket is never among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doce.docker import compose
from doce.settings import Settings
from doce.stacks.stack import Mount, Service, Stack

LAUNCHER = Path(__file__).with_name("launch.sh")
LAUNCH = "/opt/doce/launch.sh"
#: How containers call this machine.
HOST = "host.docker.internal"
#: Size of ``/tmp``, and of what the engine keeps of the output.
TMP = "512m"
LOG = {"max-size": "10m", "max-file": "2"}

#: For who opens a connection for each request: its port is free again after a second instead of a minute. Else 28,000 requests a
#: minute use up what there are, and the next are refused ("99: Cannot assign requested address").
CONNECTIONS = {"net.ipv4.tcp_tw_reuse": "1", "net.ipv4.ip_local_port_range": "16384 65535"}


@dataclass(frozen=True)
class Recipe:
    """How this doce makes containers."""

    settings: Settings
    instance: str
    uid: int
    #: Shown as ``/etc/passwd``, where the images do not know the user; see `doce.docker.ownership.known`.
    passwd: Path | None = None

    def of(self, stack: Stack, service: Service, image: str, network: str) -> dict[str, Any]:
        """The arguments of docker-py's `containers.create`."""
        settings = self.settings
        return {
            "image": image,
            "name": compose.container_name(stack.project_id, service.name),
            "hostname": service.name,
            "labels": compose.labels(self.instance, stack, service, image),
            # Through bash and a script of ours, which waits for the dependencies; the words stay words.
            "entrypoint": ["/bin/bash", LAUNCH, str(len(service.install)), *service.install],
            "command": list(service.command),
            "working_dir": str(service.folder or stack.workspace),
            "user": f"{self.uid}:{self.uid}",
            "environment": self._environment(stack, service),
            # Not as "volumes", whose words a colon in a path would split.
            "mounts": [
                {"type": "bind", "source": str(one.source), "target": one.target, "read_only": one.read_only}
                for one in (*mounts(stack, service), *([Mount(self.passwd, "/etc/passwd")] if self.passwd else []))
            ],
            "ports": self._ports(service),
            "network": network,
            "extra_hosts": {HOST: "host-gateway"},
            "init": True,
            "read_only": True,
            "tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,size={TMP},mode=1777", "/run": "rw,nosuid,nodev,noexec,size=16m,mode=1777"},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": f"{settings.container_memory_mb}m",
            # Without this it may use as much swap again.
            "memswap_limit": f"{settings.container_memory_mb}m",
            "nano_cpus": int(settings.container_cpus * 1_000_000_000),
            "pids_limit": settings.container_processes,
            "sysctls": CONNECTIONS if service.proxies else {},
            "ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "stop_signal": service.stop_signal,
            "log_config": {"type": "json-file", "config": LOG},
            # Not "unless-stopped": an engine that comes back after a kill -9 ends what still ran, and then takes it for stopped by hand.
            "restart_policy": {"Name": "always"} if service.lasting else {"Name": "no"},
            "detach": True,
        }

    def address(self, service: Service) -> str:
        """Where on this machine its port is published."""
        return "127.0.0.1" if service.private else self.settings.bind

    def _ports(self, service: Service) -> dict[str, tuple[str, int]]:
        if service.once:
            return {}
        published = {f"{service.port}/tcp": (self.address(service), service.host_port)}
        if service.second:
            published[f"{service.second[0]}/tcp"] = ("127.0.0.1", service.second[1])
        return published

    def _environment(self, stack: Stack, service: Service) -> dict[str, str]:
        return {
            "HOME": str(home(stack, service)),
            "TMPDIR": "/tmp",
            "HOST": "0.0.0.0",
            "PORT": str(service.port),
            **service.volatile,
            **service.env,
            **{name: value.get_secret_value() for name, value in service.secrets.items()},
        }


def home(stack: Stack, service: Service) -> Path:
    """OpenCode's home is for OpenCode alone: it holds the conversations. The others live with their dependencies."""
    return stack.home if service.private or service.once or stack.store is None else stack.store


def mounts(stack: Stack, service: Service) -> list[Mount]:
    """Folders lie where they lie on this machine, so that a path means the same inside and outside."""
    found = [Mount(LAUNCHER, LAUNCH)]
    if service.mounts is not None:
        return [*found, *service.mounts]
    own = {stack.workspace, home(stack, service), *([stack.store] if stack.store else [])}
    return [*found, *[Mount(folder, str(folder), read_only=False) for folder in sorted(own)]]
