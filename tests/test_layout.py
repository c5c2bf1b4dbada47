"""The tree keeps its shape: packages listed everywhere, small files, telling names."""

import ast
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
VAGUE_NAMES = {"utils.py", "helpers.py", "common.py", "core.py", "base.py", "misc.py"}
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def setup_packages() -> set[str]:
    """PACKAGES of setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES":
            return set(ast.literal_eval(node.value))
    raise AssertionError("setup.py must have a list PACKAGES")


def tree_packages() -> set[str]:
    """Dotted names of all folders with an `__init__.py` outside of tests."""
    return {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in ROOT.rglob("__init__.py")
        if not {"tests", "build", "dist"} & set(path.relative_to(ROOT).parts)
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        and "site-packages" not in path.parts
    }


TOP = sorted(name for name in setup_packages() if "." not in name)
FILES = sorted(path for name in TOP for path in (ROOT / name).rglob("*.py"))


def test_setup_lists_every_package() -> None:
    assert setup_packages() == tree_packages()


def test_import_linter_knows_every_top_level_package() -> None:
    assert sorted(SETTINGS["importlinter"]["root_packages"]) == TOP


def test_layers_hold_every_top_level_package() -> None:
    (contract,) = (c for c in SETTINGS["importlinter"]["contracts"] if c["type"] == "layers")
    layered = [name.strip() for layer in contract["layers"] for name in layer.split("|")]
    assert sorted(layered) == TOP


def test_mypy_checks_every_top_level_package() -> None:
    assert sorted(SETTINGS["mypy"]["packages"]) == TOP


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [path for path in FILES if path.name in VAGUE_NAMES] == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_package_files_hold_a_docstring() -> None:
    for path in (path for path in FILES if path.name == "__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_nobody_else_owns_our_package_names() -> None:
    try:
        metadata.distribution("perfnet-prep")
    except metadata.PackageNotFoundError:
        pytest.skip("perfnet-prep is not installed")
    owners = metadata.packages_distributions()
    others = {name: set(owners.get(name, [])) - {"perfnet-prep"} for name in TOP}
    assert not any(others.values()), others
