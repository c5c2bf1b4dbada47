"""The pure Python package `tfrecord` reads the shard.

In a process of its own: it registers TensorFlow's messages in protobuf's default pool, after
which TensorFlow cannot be imported any more.
"""

import importlib.util
import json
import subprocess
import sys
from hashlib import sha256
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import hashlib, json, sys
from tfrecord.reader import tfrecord_loader

context = {"clip/label/index": "int", "example/id": "byte", "image/frame_rate": "float"}
images = ["image/encoded", "POSE_RENDER/image/encoded", "FORWARD_FLOW/image/encoded"]
lists = {**{key: "byte" for key in images}, "image/timestamp": "int"}
rows = []
for facts, lists in tfrecord_loader(sys.argv[1], None, context, sequence_description=lists):
    rows.append({
        "label": int(facts["clip/label/index"][0]),
        "id": bytes(facts["example/id"]).decode("utf-8"),
        "rate": float(facts["image/frame_rate"][0]),
        "times": [int(time[0]) for time in lists["image/timestamp"]],
        "images": [[hashlib.sha256(bytes(x)).hexdigest() for x in lists[key]] for key in images],
    })
print(json.dumps(rows))
"""


def test_labels_ids_times_and_jpegs_are_read(shards: Any) -> None:
    if importlib.util.find_spec("tfrecord") is None:
        pytest.skip("tfrecord is not installed")
    command = [sys.executable, "-c", SCRIPT, str(shards.tfrecord)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["label"] for row in rows] == [1, 0]
    assert [row["id"] for row in rows] == ["clip_a", "clip_é"]
    assert [row["rate"] for row in rows] == [25.0, 25.0]
    for row, record in zip(rows, shards.records, strict=True):
        assert row["times"] == record.timestamps_us.tolist()
        streams = (record.rgb, record.pose_overlay, record.flow)
        assert row["images"] == [[sha256(x).hexdigest() for x in stream] for stream in streams]
