"""The table of docs/models.md is what `perfnet-train profile` counts; its tests exist."""

import ast
import re
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, ModelName

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "models.md").read_text("utf-8")


class Row(NamedTuple):
    name: str
    clip: str
    classes: str
    parameters: str
    gmac: str
    gflop: str
    accuracy: str
    verified: str


def _rows() -> list[Row]:
    lines = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| `")]
    rows = [Row(*(cell.strip() for cell in cells)) for cells in lines if len(cells) == 8]
    return [row._replace(name=row.name.strip("`")) for row in rows]


ROWS = _rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.clip.split()[0]}")
def test_row_is_what_the_profile_counts(row: Row) -> None:
    frames, height, width = (int(size) for size in row.clip.split(" x "))
    config = ModelConfig(name=row.name)  # type: ignore[arg-type]
    found = profile_model(config, num_classes=int(row.classes), input_thw=(frames, height, width))
    assert f"{found.num_parameters:,}" == row.parameters
    assert f"{found.flops / 2e9:.2f}" == row.gmac
    assert f"{found.flops / 1e9:.2f}" == row.gflop


def test_page_has_every_network() -> None:
    assert {row.name for row in ROWS} == set(get_args(ModelName))


def test_named_tests_exist() -> None:
    number = 0
    for row in ROWS:
        file = ""
        for named, name in re.findall(r"`(test_\w+\.py)?::(test_\w+)`?", row.verified):
            file = named or file
            tree = ast.parse((ROOT / "tests" / "perfnet" / file).read_text("utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert name in names, f"{file}::{name}"
            number += 1
    assert number > 20
