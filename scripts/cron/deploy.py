#!/usr/bin/env python3
"""Build named projects anew and put them online, one after the other.

A build that makes the same files makes no new version; one that fails leaves what is live as it is.

    15 3 * * *  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/deploy.py shop blog
"""

from __future__ import annotations

import argparse

from common import arguments, deployed, run

from doce.client import Doce
from doce.errors import DoceError


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    wrong = []
    for project in given.project:
        try:
            wrong.append(deployed(doce, project))
        except DoceError as error:
            wrong.append(f"{project}: {error}")
    return " · ".join(filter(None, wrong)) or None


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("project", nargs="+", help="slug or id")
    run(words, work)
