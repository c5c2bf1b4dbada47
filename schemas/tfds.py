"""TFDS metadata, so that `tfds.builder_from_directory` opens the TFRecord folder.

TFDS reads Examples; the bytes of a SequenceExample's context also parse as one, so TFDS shows
the context fields (label, ids, sizes), not the frames.
"""

import json

from schemas.labels import LabelMap

VERSION = "1.0.0"
_PREFIX = "tensorflow_datasets.core.features"


def dataset_info_json(*, dataset: str, split: str, shard_lengths: list[int]) -> str:
    """Return `dataset_info.json` of the TFRecord folder.

    Args:
        dataset: Name of the data set, as in the shard names.
        split: Name of the split, as in the shard names.
        shard_lengths: Records of every shard, in shard order.
    """
    info = {
        "description": "RGB, TV-L1 flow and rendered pose for action recognition.",
        "fileFormat": "tfrecord",
        "name": dataset,
        "version": VERSION,
        "splits": [
            {
                "name": split,
                "shardLengths": [str(length) for length in shard_lengths],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        ],
    }
    return json.dumps(info, indent=2, sort_keys=True) + "\n"


def features_json(labels: LabelMap) -> str:
    """Return `features.json` of the TFRecord folder: the context fields of a record.

    Args:
        labels: Names of the classes; without any the label is left out.
    """
    fields = {
        "example/id": _text(),
        "clip/media_id": _text(),
        "clip/data_path": _text(),
        "image/height": _scalar("int64"),
        "image/width": _scalar("int64"),
        "image/frame_rate": _scalar("float32"),
    }
    if len(labels):
        fields["clip/label/index"] = {
            "pythonClassName": f"{_PREFIX}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(len(labels))},
        }
        fields["clip/label/text"] = _text()
    tree = {
        "pythonClassName": f"{_PREFIX}.features_dict.FeaturesDict",
        "featuresDict": {"features": fields},
    }
    return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def _text() -> dict[str, object]:
    return {"pythonClassName": f"{_PREFIX}.text_feature.Text", "text": {}}


def _scalar(dtype: str) -> dict[str, object]:
    return {
        "pythonClassName": f"{_PREFIX}.scalar.Scalar",
        "tensor": {"shape": {}, "dtype": dtype, "encoding": "none"},
    }
