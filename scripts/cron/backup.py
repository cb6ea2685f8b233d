#!/usr/bin/env python3
"""Save every project you may see as a zip of its files, in a folder of the day; the newest `--keep` days stay.

With `--data` (on the machine of doce) also its database, copied while it runs, and its key: with both, and the zips, doce can be set
up again elsewhere. The folder is readable by you only; the key opens every provider's key in the database.

    45 2 * * *  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/backup.py --keep 14 /var/backups/doce
"""  # noqa: E501  (a crontab has no line breaks)

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import re
import shutil
import sqlite3
import zipfile
from pathlib import Path

from common import arguments, run

from doce.client import Doce, calls
from doce.errors import DoceError, NotFound

DAY = re.compile(r"\d{4}-\d\d-\d\d")


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    root: Path = given.folder
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    half = root / f".{today}.new"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    wrong = _save_projects(doce, half)
    if given.data:
        _save_data(given.data, half)
    target, old = root / today, root / f".{today}.old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    half.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    if not wrong:  # an incomplete day costs no complete one
        for past in sorted(path for path in root.iterdir() if DAY.fullmatch(path.name))[: -given.keep]:
            shutil.rmtree(past)
    return f"not everything was saved: {' · '.join(wrong)}" if wrong else None


def _save_projects(doce: Doce, folder: Path) -> list[str]:
    wrong, before = [], None
    while True:
        page = doce.projects(limit=100, before=before)
        for project in page["items"]:
            path = folder / f"{project['slug']}.zip"
            try:
                with path.open("wb") as file:
                    doce.download(calls.export(project["id"]), file)
                with zipfile.ZipFile(path) as archive:  # reads its table of contents: the whole has come
                    archive.namelist()
                (folder / f"{project['slug']}.json").write_text(json.dumps(project, indent=1, ensure_ascii=False))
            except (DoceError, zipfile.BadZipFile) as error:
                path.unlink()
                if not isinstance(error, NotFound):  # deleted meanwhile
                    wrong.append(f"{project['slug']}: {error}")
        if not (before := page["next"]):
            return wrong


def _save_data(data: Path, folder: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{(data / 'db.sqlite').resolve().as_uri()}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(folder / "db.sqlite")) as copy,
    ):
        live.backup(copy)
    for key in data.glob("*.key"):
        shutil.copy2(key, folder)


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) >= 1):
        raise argparse.ArgumentTypeError("a number of days, 1 or more")
    return int(word)


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("--keep", type=_count, default=7, metavar="DAYS", help="how many days stay [7]")
    words.add_argument("--data", type=Path, metavar="FOLDER", help="doce's data folder: save its database and key, too")
    words.add_argument("folder", type=Path, help="where to")
    run(words, work)
