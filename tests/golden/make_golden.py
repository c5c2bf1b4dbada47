"""Write the committed golden files again; run it only with a new SCHEMA_VERSION.

python tests/golden/make_golden.py
"""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip_record import SCHEMA_VERSION, ClipRecord, Provenance
from schemas.labels import LabelMap
from schemas.parquet_rows import parquet_schema, to_parquet_row
from schemas.pose_sequence import empty_pose_sequence
from schemas.sequence_example import encode_sequence_example
from schemas.tfrecord import frame_record

FOLDER = Path(__file__).parent
LABELS = LabelMap(("abseiling", "play golf"))


def golden_record() -> ClipRecord:
    """A clip of two frames, one with a person; no image encoder is involved."""
    poses = empty_pose_sequence(2, 1)
    poses.keypoints[1, 0] = np.arange(34, dtype=np.float32).reshape(17, 2) / 4
    poses.scores[1, 0] = np.arange(17, dtype=np.float32) / 16
    poses.boxes[1, 0] = (1, 2, 30, 40.5)
    poses.box_scores[1, 0] = 0.75
    poses.track_ids[1, 0] = 7
    streams = ("rgb", "pose_overlay", "flow", "flow_x", "flow_y")
    images = {name: (f"{name} 0".encode(), f"{name} 1".encode()) for name in streams}
    return ClipRecord(
        clip_id="-a_b-c_d-e__000007_000017",
        dataset="kinetics400",
        split="val",
        label_index=1,
        label_text="play golf",
        media_id="-a_b-c_d-e_",
        video_path="val/é.mp4",
        start_us=7_000_000,
        end_us=17_000_000,
        fps=25,
        width=64,
        height=48,
        timestamps_us=np.array([0, 40_000], np.int64),
        source_indices=np.array([0, 2], np.int64),
        source_timestamps_us=np.array([0, 41_667], np.int64),
        **images,
        flow_bound_px=20.0,
        poses=poses,
        is_truncated=True,
        provenance=Provenance(config_hash="0123", software="a=1 b=2", pose_model="m@f"),
    )


def golden_files() -> dict[str, bytes]:
    """Content of every golden file by name."""
    record = golden_record()
    row = to_parquet_row(record)
    schema = parquet_schema(LABELS)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=schema), file, compression="NONE")
    facts = {
        "schema_version": SCHEMA_VERSION,
        "parquet_schema": [f"{field.name}: {field.type}" for field in schema],
        "huggingface": json.loads(schema.metadata[b"huggingface"]),
    }
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    return {
        "clip.tfrecord": frame_record(encode_sequence_example(record)),
        "clip.parquet": file.getvalue(),
        "schema.json": text.encode(),
    }


def main() -> None:
    """Write every golden file."""
    for name, content in golden_files().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
