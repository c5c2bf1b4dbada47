"""Outside readers on shards that hold only the drawn frames, or only the poses."""

import dataclasses
import io
import os
import warnings
from pathlib import Path
from typing import Any

import duckdb
import pytest

from schemas.shard_writer import ParquetShard, TFRecordShard

pytestmark = [
    pytest.mark.slow,
    # TensorFlow's own imports and C++ types warn about themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module", params=["overlay", "keypoints"])
def lean(request: pytest.FixtureRequest, shards: Any, tmp_path_factory: Any) -> Any:
    """(what is stored, TFRecord, Parquet) of the two clips without one half of the pose."""
    dropped: dict[str, Any] = (
        {"poses": None} if request.param == "overlay" else {"pose_overlay": ()}
    )
    folder = tmp_path_factory.mktemp(request.param)
    files = {"a.tfrecord": TFRecordShard, "a.parquet": ParquetShard}
    for name, kind in files.items():
        file = io.BytesIO()
        shard: Any = kind(file) if kind is TFRecordShard else kind(file, shards.labels)  # type: ignore[call-arg]
        for record in shards.records:
            shard.write(dataclasses.replace(record, **dropped))
        shard.close()
        (folder / name).write_bytes(file.getvalue())
    return request.param, folder / "a.tfrecord", folder / "a.parquet"


def test_sql_sees_null_where_nothing_is_stored(lean: Any) -> None:
    stored, _, parquet = lean
    sql = "select len(pose_overlay), len(keypoints), len(rgb) from read_parquet(?) order by 3 desc"
    with duckdb.connect() as connection:
        rows = connection.execute(sql, [str(parquet)]).fetchall()
    if stored == "overlay":
        assert rows == [(3, None, 3), (2, None, 2)]
    else:
        assert rows == [(None, 3, 3), (None, 2, 2)]


@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_gives_none_where_nothing_is_stored(
    lean: Any, streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, _, parquet = lean
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        files = {"train1": str(parquet)}
        cache = str(tmp_path / "cache")
        table = datasets.load_dataset(
            "parquet", data_files=files, cache_dir=cache, split="train1", streaming=streaming
        )
        rows = list(table)
    for row, num_frames in zip(rows, (3, 2), strict=True):
        assert len(row["rgb"]) == num_frames
        absent, present = ("keypoints", "pose_overlay")[:: 1 if stored == "overlay" else -1]
        assert not row[absent]
        assert len(row[present]) == num_frames
    if stored == "overlay":
        assert rows[0]["pose_overlay"][0].size == (48, 32)
    else:
        assert rows[0]["keypoints"][1][0][:3] == [10.0, 10.0, 0.5]


def test_tensorflow_parses_what_is_stored_and_misses_the_rest(lean: Any) -> None:
    stored, tfrecord, _ = lean
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf = pytest.importorskip("tensorflow")
    overlay = {"POSE_RENDER/image/encoded": tf.io.FixedLenSequenceFeature((), tf.string)}
    poses = {"POSE/feature/floats": tf.io.RaggedFeature(tf.float32)}
    present, absent = (overlay, poses) if stored == "overlay" else (poses, overlay)
    rgb = {"image/encoded": tf.io.FixedLenSequenceFeature((), tf.string)}
    serialized = next(iter(tf.data.TFRecordDataset(str(tfrecord))))
    _, lists = tf.io.parse_single_sequence_example(serialized, None, rgb | present)
    assert lists["image/encoded"].shape[0] == 3
    (name,) = present
    assert (lists[name].nrows() if stored == "keypoints" else lists[name].shape[0]) == 3
    message = tf.train.SequenceExample.FromString(serialized.numpy())
    assert set(message.feature_lists.feature_list).isdisjoint(absent)
    assert message.context.feature["image/width"].int64_list.value == [48]
