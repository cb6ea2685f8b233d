"""Why a service ended that should have become ready: what it said, and whether somebody else has its port."""

from __future__ import annotations

from doce.ports import is_free
from doce.stacks.runtime import ServiceState

#: What programs say whose port is taken, in small letters. The last is all that OpenCode says.
SIGNS = ("eaddrinuse", "address already in use", "address in use", "port is taken", "is already in use", "serveerror")


def said(log: str, service: str) -> list[str]:
    """What `service` wrote since it was last started, as lines."""
    lines = log.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("[host] ") and f"starting {service} on port " in line]
    begin = f"[app] {service} | "
    return [line.removeprefix(begin) for line in lines[starts[-1] if starts else 0 :] if line.startswith(begin)]


def lost_its_port(state: ServiceState, host: str, log: str) -> bool:
    """It ended since its port on this machine, at `host`, was taken between doce's look and its own."""
    if state.host_port is None:
        return False
    # Whoever had it may be gone by now: most often it was a connection that lasted a moment.
    return not is_free(state.host_port, host) or any(sign in line.lower() for line in said(log, state.service) for sign in SIGNS)


def how(state: ServiceState) -> str:
    """``with exit code 3``"""
    return f"with exit code {state.exit_code}" if state.exit_code is not None else "by itself"
