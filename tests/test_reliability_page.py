"""`docs/reliability.md` names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(
    r"`((?:[\w/]+/)?test_\w+\.py)::(test_\w+)`", (ROOT / "docs/reliability.md").read_text()
)


def test_page_names_tests() -> None:
    assert len(NAMED) > 50


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_test_exists(path: str, name: str) -> None:
    file = ROOT / (path if "/" in path else f"tests/pipelines/{path}")
    tree = ast.parse(file.read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
