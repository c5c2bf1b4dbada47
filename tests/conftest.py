"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus of real videos and annotations, or a skip that says what is missing."""
    folder = Path(os.environ.get("PERFNET_CORPUS", REPOSITORY.parent / "shared" / "corpus"))
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip(f"corpus of real videos not found at {folder} (set PERFNET_CORPUS)")
    return folder
