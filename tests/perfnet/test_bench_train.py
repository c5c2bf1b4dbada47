"""The benchmark of training runs on whatever device there is."""

import json
from pathlib import Path

import pytest

from benchmarks import bench_train


@pytest.mark.slow
def test_every_setting_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "x.json"
    arguments = [
        "--input",
        "2",
        "32",
        "32",
        "--width",
        "0.125",
        "--batch-size",
        "2",
        "--steps",
        "1",
    ]
    assert (
        bench_train.main([*arguments, "--precisions", "fp32", "bf16", "--output", str(output)]) == 0
    )
    results = json.loads(output.read_text())
    assert [(each["model"], each["precision"]) for each in results] == [
        *(("r3d50g", "fp32"), ("r3d50g", "bf16"), ("s3dg", "fp32"), ("s3dg", "bf16"))
    ]
    for result in results:
        assert result["clips_per_second"] > 0
        assert result["peak_mib"] > 0
        assert result["utilisation"] > 0
