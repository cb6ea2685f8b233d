#!/usr/bin/env python3
"""Ask a project's agent for something at fixed times, and deploy what it made.

0 7 * * 1  DOCE_URL=https://doce.example DOCE_TOKEN=doce_… /opt/doce/.venv/bin/python /opt/doce/scripts/cron/prompt.py --deploy shop "put this week's opening hours on the first page"
"""  # noqa: E501  (a crontab has no line breaks)

from __future__ import annotations

import argparse

from common import arguments, asked, deployed, run

from doce.client import Doce


def work(doce: Doce, given: argparse.Namespace) -> str | None:
    wrong = asked(doce, given.project, given.text, given.model)
    return wrong or (deployed(doce, given.project) if given.deploy else None)


if __name__ == "__main__":
    words = arguments(__file__, __doc__)
    words.add_argument("--model", help="provider/model, for this prompt only")
    words.add_argument("--deploy", action="store_true", help="put it online when the agent is done")
    words.add_argument("project", help="slug or id")
    words.add_argument("text", help="what to ask, 1-32,000 characters")
    run(words, work)
