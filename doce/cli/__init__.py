"""The command line: argv becomes an action, asked over HTTP; and serve, worker, setup, doctor, demo."""

from __future__ import annotations

from doce.cli.main import main

__all__ = ["main"]
