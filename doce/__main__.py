"""``python -m doce``."""

from __future__ import annotations

import sys

from doce.cli import main

if __name__ == "__main__":
    sys.exit(main())
