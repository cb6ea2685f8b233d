#!/usr/bin/env python3
"""Delete jobs that ended long ago, and with `--projects DAYS` the projects nobody looked at or changed for that long.

A project that is deployed, that works or that has prompts waiting is never deleted. `--dry-run` says what would go.

    30 4 * * 0  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/prune.py --projects 90
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

from common import arguments, run

from doce.client import Doce
from doce.errors import NotFound

DAY_MS = 86_400_000
ENDED = ("succeeded", "failed", "cancelled")


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    now = time.time_ns() // 1_000_000
    for state in ENDED:
        for job in _all(doce, "/api/jobs", state=state):
            if (job["finishedAt"] or now) < now - given.jobs * DAY_MS and not _only_said(given, f"job {job['id']} {job['type']}"):
                with contextlib.suppress(NotFound):  # doce itself removes old ones, too
                    doce.request("DELETE", f"/api/jobs/{job['id']}")
    if given.projects:
        for project in _all(doce, "/api/projects"):
            if _forgotten(doce, project, now - given.projects * DAY_MS) and not _only_said(given, f"project {project['slug']}"):
                doce.delete(project["id"])
    return None


def _forgotten(doce: Doce, project: dict[str, Any], before: int) -> bool:
    """Nobody looked at it, changed it or visits it."""
    if max(project["updatedAt"], project["lastViewedAt"] or 0, project["createdAt"]) >= before:
        return False
    if project["status"] not in ("stopped", "error") or project["agent"] != "idle" or project["queuedPrompts"]:
        return False
    production = doce.production(project["id"])
    return not production["url"] and not production["activeJob"]


def _only_said(given: argparse.Namespace, what: str) -> bool:
    if given.dry_run:
        print(f"would delete {what}")
    return bool(given.dry_run)


def _all(doce: Doce, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every page; read whole first, since what follows deletes."""
    found: list[dict[str, Any]] = []
    before = None
    while True:
        page = doce.request("GET", path, query={**query, "limit": 100, "before": before})
        found += page["items"]
        if not (before := page["next"]):
            return found


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("--jobs", type=int, default=2, metavar="DAYS", help="keep ended jobs for this long [2]")
    words.add_argument("--projects", type=int, default=0, metavar="DAYS", help="delete projects untouched for this long [never]")
    words.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    run(words, work)
