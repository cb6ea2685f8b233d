"""Every address that is shown to people, built here and nowhere else.

Previews have another host name than doce (127.0.0.1 against localhost): cookies ignore ports, and a site written by an
agent must never receive doce's.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from doce.settings import Settings


def doce_url(settings: Settings, port: int | None = None) -> str:
    """Where people reach this doce, without a slash at the end; `port` is the one really taken, if it was 0."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"http://localhost:{port or settings.port}"


def site_url(settings: Settings, port: int) -> str:
    """Where people reach a preview or a deployed site that listens on `port`."""
    if settings.public_url:
        host = urlsplit(settings.public_url).hostname or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    return f"http://127.0.0.1:{port}/"
