#!/usr/bin/env python3
"""Write what the models used yesterday as CSV, a row a project; fail when it cost more than `--limit` dollars.

The file is replaced whole, so that a run that is repeated changes nothing. FILE may have strftime's words, such as usage-%Y-%m-%d.csv,
filled with the day reported (UTC).

    5 0 * * *  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/usage.py --limit 20 /var/lib/doce-reports/%Y-%m-%d.csv
"""  # noqa: E501  (a crontab has no line breaks)

from __future__ import annotations

import argparse
import csv
import datetime
from pathlib import Path
from typing import Any

from common import arguments, run

from doce.client import Doce
from doce.errors import NotFound

FIELDS = ("day", "project", "calls", "input", "output", "cached", "cost", "estimated")


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    day = given.day or datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    begin = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    since, until = (int((begin + datetime.timedelta(days=more)).timestamp() * 1000) for more in (0, 1))
    rows = _rows(doce, since, until)
    target = Path(begin.strftime(str(given.file)))
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.new")
    with half.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, FIELDS, extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, "day": day.isoformat(), "project": _slug(doce, row["of"])} for row in rows)
    half.replace(target)
    cost = sum(float(row["cost"]) for row in rows)
    if given.limit is not None and cost > given.limit:
        return f"models cost ${cost:.2f} on {day}, more than ${given.limit:.2f}; {target} says which project."
    return None


def _rows(doce: Doce, since: int, until: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        page = doce.usage(by="project", since=since, until=until, limit=100, before=before)
        rows += page["items"]
        if not page["next"]:
            return rows
        before = int(page["next"])


def _slug(doce: Doce, project: str | None) -> str:
    """What people call it; a project that is gone keeps its id."""
    try:
        return str(doce.project(project)["slug"]) if project else ""
    except NotFound:
        return project or ""


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("--day", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD", help="another day than yesterday")
    words.add_argument("--limit", type=float, metavar="DOLLARS", help="fail when the day cost more")
    words.add_argument("file", type=Path, help="CSV to write")
    run(words, work)
