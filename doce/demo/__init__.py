"""The demo: the whole loop on this machine, with nothing set up before and nothing left behind."""

from __future__ import annotations

from doce.demo.run import Demo, Wishes

__all__ = ["Demo", "Wishes"]
