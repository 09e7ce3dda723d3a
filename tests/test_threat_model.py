"""The threat model names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_every_claim_names_a_test_that_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 30
    missing = [name for file, name in named if name not in names_in(file)]
    assert not missing


def test_every_section_of_what_is_defended_names_a_test() -> None:
    text = PAGE.read_text(encoding="utf-8")
    defended = text.partition("## What is defended")[2].partition("## What is not")[0]
    for section in defended.split("### ")[1:]:
        assert NAMED.search(section), section.partition("\n")[0]
