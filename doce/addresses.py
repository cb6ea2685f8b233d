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


def site_host(settings: Settings) -> str:
    """Host name of previews and deployed sites."""
    return settings.site_host or (settings.public_url and urlsplit(settings.public_url).hostname) or "127.0.0.1"


def site_url(settings: Settings, port: int) -> str:
    """Where people reach a preview or a deployed site that listens on `port`."""
    host = site_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def shared_with_sites(settings: Settings, host: str, secure: bool) -> bool:
    """A browser that has a cookie of doce at `host` would send it to sites, too: ports are no border to it, only names are.

    Unless it was set over https: then it goes nowhere without, and sites have none.
    """
    return not secure and _plain(host) == _plain(site_host(settings))


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
