"""TFDS metadata; tests/readers lets TFDS itself read it."""

import json

from schemas.labels import LabelMap
from schemas.tfds import dataset_info_json, features_json


def test_info_names_the_split_and_its_shards() -> None:
    info = json.loads(dataset_info_json(dataset="ucf101", split="train1", shard_lengths=[7, 0]))
    assert (info["name"], info["fileFormat"], info["version"]) == ("ucf101", "tfrecord", "1.0.0")
    assert info["splits"] == [
        {
            "name": "train1",
            "shardLengths": ["7", "0"],
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        }
    ]


def test_label_is_a_class_label_where_there_are_classes() -> None:
    fields = json.loads(features_json(LabelMap(("a", "b"))))["featuresDict"]["features"]
    assert fields["clip/label/index"]["classLabel"] == {"numClasses": "2"}
    assert "clip/label/text" in fields


def test_no_label_without_classes() -> None:
    fields = json.loads(features_json(LabelMap(())))["featuresDict"]["features"]
    assert not any(name.startswith("clip/label") for name in fields)
    assert "example/id" in fields


def test_equal_input_gives_equal_text() -> None:
    labels = LabelMap(("a", "b"))
    assert features_json(labels) == features_json(labels)
    assert features_json(labels).endswith("}\n")
