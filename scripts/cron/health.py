#!/usr/bin/env python3
"""Fail when doce does not answer, says that something is wrong, or a site that it serves does not answer.

*/5 * * * *  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/health.py --timeout 2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import httpx
from common import arguments, run

from doce.client import Doce

PATIENCE_S = 10


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    condition = doce.request("GET", "/api/health/details")
    return " · ".join([*condition["problems"], *(() if given.no_sites else _silent_sites(doce))]) or None


def _silent_sites(doce: Doce) -> Iterator[str]:
    before = None
    while True:
        page = doce.projects(limit=100, before=before)
        for project in page["items"]:
            if project["status"] == "error":
                yield f"{project['slug']} is in trouble: {project['error']}"
            url = doce.production(project["id"])["url"]
            if url and (wrong := _wrong(url)):
                yield f"{project['slug']} does not answer at {url}: {wrong}"
        if not (before := page["next"]):
            return


def _wrong(url: str) -> str:
    try:
        status = httpx.get(url, timeout=PATIENCE_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return f"status {status}" if status >= 500 else ""


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("--no-sites", action="store_true", help="ask doce only")
    run(words, work)
