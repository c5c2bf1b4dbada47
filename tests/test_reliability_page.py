"""The pages that promise something name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("reliability.md", "dataflow.md", "security.md")
NAMED = re.findall(
    r"`((?:[\w/]+/)?test_\w+\.py)::(test_\w+)`",
    "".join((ROOT / "docs" / page).read_text() for page in PAGES),
)


def test_page_names_tests() -> None:
    assert len(NAMED) > 50


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_test_exists(path: str, name: str) -> None:
    file = ROOT / (path if "/" in path else f"tests/pipelines/{path}")
    tree = ast.parse(file.read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
