"""Say how much of the package the tests run, and fail where that is too little.

    python scripts/check_coverage.py coverage.json

pytest-cov judges lines and branches by one number; here each has its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LEAST = {"lines": 95.0, "branches": 90.0}


def main(report: str) -> None:
    """Read a report in JSON, print what it says, and judge it."""
    found = json.loads(Path(report).read_text(encoding="utf-8"))
    for name, each in sorted(found["files"].items()):
        if below(each["summary"]):
            print(f"{name}: {told(each['summary'])}")
    wanted = " and ".join(f"{least:.0f} % of {what}" for what, least in LEAST.items())
    print(f"all: {told(found['totals'])}; {wanted} are wanted")
    if below(found["totals"]):
        raise SystemExit("The tests run too little of the package.")


def shares(summary: dict[str, Any]) -> dict[str, float]:
    """Return the percentages of lines and of branches that were run."""
    lines = summary["covered_lines"], summary["num_statements"]
    branches = summary["covered_branches"], summary["num_branches"]
    return {
        what: 100 * run / of if of else 100.0
        for what, (run, of) in {"lines": lines, "branches": branches}.items()
    }


def below(summary: dict[str, Any]) -> bool:
    """Return whether either is less than is wanted."""
    return any(share < LEAST[what] for what, share in shares(summary).items())


def told(summary: dict[str, Any]) -> str:
    """Return both as text."""
    return ", ".join(
        f"{share:.1f} % of {what}" for what, share in shares(summary).items()
    )


if __name__ == "__main__":
    main(sys.argv[1])
