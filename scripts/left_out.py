"""Say which tests of a run did not run, and why: left_out.py JUNIT.xml [MARK EXPRESSION]."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def reasons(report: Path) -> Counter[str]:
    """How many tests were skipped for each reason."""
    skipped = ElementTree.parse(report).iter("skipped")
    return Counter((element.get("message") or "no reason given").splitlines()[0] for element in skipped)


def main() -> None:
    report, expression = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    if expression:
        marks = ", ".join(word for word in expression.split() if word not in ("not", "and"))
        print(f"LEFT OUT: tests marked {marks}; `scripts/test all` runs everything.")
    if not report.stat().st_size:
        return
    found = reasons(report)
    if found:
        print(f"SKIPPED: {found.total()} tests did not run:")
        for reason, count in found.most_common():
            print(f"  {count:>4}  {reason}")
    elif not expression:
        print("Nothing was skipped.")


if __name__ == "__main__":
    main()
