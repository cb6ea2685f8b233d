"""What people do."""

from __future__ import annotations

from doce.testing.slack.pressing import Pressing
from doce.testing.slack.writing import Writing


class People(Writing, Pressing):
    """Everybody in the twin."""
