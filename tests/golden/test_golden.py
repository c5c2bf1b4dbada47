"""Bytes that readers in the field depend on."""

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.parquet_rows import from_parquet_row, to_parquet_row
from schemas.sequence_example import decode_sequence_example, encode_sequence_example
from schemas.tfrecord import read_records

pytestmark = pytest.mark.golden

FOLDER = Path(__file__).parent
WAY_OUT = (
    "the bytes of a record changed: if that is meant, raise SCHEMA_VERSION in "
    "schemas/clip_record.py, say so under 'Data format' in CHANGELOG.md and run "
    "python tests/golden/make_golden.py; otherwise undo the change"
)


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_golden", FOLDER / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(data: bytes) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return plain


def test_tfrecord_bytes_have_not_changed(golden: ModuleType) -> None:
    committed = (FOLDER / "clip.tfrecord").read_bytes()
    assert golden.golden_files()["clip.tfrecord"] == committed, WAY_OUT


def test_parquet_rows_have_not_changed(golden: ModuleType) -> None:
    committed = (FOLDER / "clip.parquet").read_bytes()
    assert rows(golden.golden_files()["clip.parquet"]) == rows(committed), WAY_OUT


def test_parquet_schema_and_version_have_not_changed(golden: ModuleType) -> None:
    committed = json.loads((FOLDER / "schema.json").read_bytes())
    assert json.loads(golden.golden_files()["schema.json"]) == committed, WAY_OUT


def test_committed_files_are_still_readable(golden: ModuleType) -> None:
    record = golden.golden_record()
    data = (FOLDER / "clip.tfrecord").read_bytes()
    (encoded,) = read_records(io.BytesIO(data), name="clip.tfrecord")
    assert encode_sequence_example(decode_sequence_example(encoded)) == encoded
    (row,) = rows((FOLDER / "clip.parquet").read_bytes())
    assert to_parquet_row(from_parquet_row(row)) == to_parquet_row(record)
