"""The three official data sets, built from real clips (small frames, `dis` flow)."""

import json
import re
from pathlib import Path

import pytest

from pipelines.cli import main
from pose.assets import MEDIAPIPE_POSE, asset_path
from schemas.ledger import read_ledger

pytestmark = [pytest.mark.corpus, pytest.mark.slow]

KINETICS_ROWS = """label,youtube_id,time_start,time_end,split,is_cc
using segway,SOX5yA1l24A,299,309,val,0
abseiling,0wR5jVB-WPk,417,427,val,0
"air drumming",-aaaaaaaaaa,5,15,val,0
"""


@pytest.fixture
def pose_model() -> None:
    """Skip where the pose model was not fetched."""
    if not asset_path(MEDIAPIPE_POSE).is_file():
        pytest.skip("pose model not fetched; run: perfnet-prep models fetch")


def _build(output: Path, *arguments: str) -> dict[str, int]:
    """Build with `dis` flow and a short side of 96, verify, and return the outcomes."""
    options = ["--flow-engine", "dis", "--decode.short-side", "96", "--num-shards", "4"]
    options += ["--max-failed-fraction", "1", "--workers", "2", "--output", str(output)]
    assert main(["build", *arguments, *options]) == 0
    assert main(["verify", str(output)]) == 0
    info = json.loads((output / "run.json").read_text())
    with (output / "ledger.parquet").open("rb") as file:
        rows = read_ledger(file)
    assert len(rows) == info["num_rows"] == sum(info["counts"].values())
    assert len({row.source for row in rows}) == len(rows), "one row per annotation row"
    counts: dict[str, int] = info["counts"]
    return counts


@pytest.mark.usefixtures("pose_model")
def test_kinetics400_builds_with_poses(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(KINETICS_ROWS)
    arguments = ["--dataset", "kinetics400", "--annotations", str(tmp_path / "val.csv")]
    arguments += ["--videos", str(corpus / "videos" / "kinetics"), "--split", "val"]
    assert _build(tmp_path / "out", *arguments) == {"written": 1, "missing": 2}
    text = (tmp_path / "out" / "label_map.txt").read_text()
    assert text == "abseiling\nair drumming\nusing segway\n"


def test_official_kinetics400_val_has_one_row_each(corpus: Path, tmp_path: Path) -> None:
    annotations = corpus / "annotations" / "kinetics" / "kinetics-400_val.csv"
    arguments = ["--dataset", "kinetics400", "--annotations", str(annotations), "--split", "val"]
    arguments += ["--videos", str(corpus / "videos" / "kinetics"), "--modalities", "rgb", "flow"]
    counts = _build(tmp_path / "out", *arguments)
    assert sum(counts.values()) == 19_906
    assert counts["written"] >= 1
    published = (corpus / "annotations/kinetics/deepmind_label_map.txt").read_text().split("\n")
    made = (tmp_path / "out" / "label_map.txt").read_text().split("\n")
    assert made == [line for line in published if line] + [""]


def test_ucf101_builds_every_clip_that_is_there(corpus: Path, tmp_path: Path) -> None:
    lists = corpus / "annotations" / "ucf101" / "ucfTrainTestlist"
    videos = corpus / "videos" / "ucf101"
    arguments = ["--dataset", "ucf101", "--annotations", str(lists), "--split", "train2"]
    arguments += ["--videos", str(videos), "--modalities", "rgb", "flow"]
    listed = (lists / "trainlist02.txt").read_text().split("\n")
    names = {Path(line.split()[0]).name for line in listed if line.strip()}
    there = names & {path.name for path in videos.iterdir()}
    counts = _build(tmp_path / "out", *arguments)
    assert counts == {"written": len(there), "missing": 9586 - len(there)}


def test_hmdb51_clips_are_complete_not_truncated(corpus: Path, tmp_path: Path) -> None:
    lists = corpus / "annotations" / "hmdb51" / "testTrainMulti_7030_splits"
    videos = corpus / "videos" / "hmdb51"
    arguments = ["--dataset", "hmdb51", "--annotations", str(lists), "--split", "train1"]
    arguments += ["--videos", str(videos), "--modalities", "rgb", "flow"]
    text = "\n".join(path.read_text() for path in lists.glob("*_test_split1.txt"))
    names = {match[1] for match in re.finditer(r"(?m)^(\S+\.avi)\s+1\s*$", text)}
    there = names & {path.name for path in videos.iterdir()}
    assert there
    counts = _build(tmp_path / "out", *arguments)
    assert counts == {"written": len(there), "missing": 3570 - len(there)}
