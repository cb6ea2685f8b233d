"""Whether a service is ready: one quick look over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import httpx

from doce.stacks.stack import Probe

LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """What a look saw; `reason` says what is wrong, for a person."""

    ok: bool
    status: int | None = None
    reason: str = ""


@cache
def _client() -> httpx.Client:
    # No proxy stands between doce and its own services, whatever the environment says.
    return httpx.Client(timeout=LOOK_S, trust_env=False, follow_redirects=False)


def ready(probe: Probe, port: int, host: str = "127.0.0.1") -> Health:
    """Ask once. Never raises: not being ready is an answer."""
    auth = (probe.user or "", probe.password.get_secret_value()) if probe.password else None
    try:
        with _client().stream("GET", f"http://{host}:{port}{probe.path}", auth=auth) as answer:
            status = answer.status_code
    except httpx.TimeoutException:
        return Health(False, reason=f"no answer within {LOOK_S:g} s")
    except httpx.HTTPError as error:
        return Health(False, reason="nobody listens yet" if isinstance(error, httpx.ConnectError) else f"no HTTP answer ({error})")
    if probe.any_status or status == 200 or (probe.good and 200 <= status < 400):
        return Health(True, status)
    return Health(False, status, f"it answers {status}")
