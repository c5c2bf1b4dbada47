"""TensorFlow and TFDS read the TFRecord shard; TensorFlow's own message writes the same bytes."""

import os
import warnings
from typing import Any

import pytest

from schemas.sequence_example import decode_sequence_example, encode_sequence_example
from schemas.tfrecord import frame_record

pytestmark = [
    pytest.mark.slow,
    # TensorFlow's own imports and C++ types warn about themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ENCODED = ("image/encoded", "POSE_RENDER/image/encoded", "FORWARD_FLOW/image/encoded")


@pytest.fixture(scope="module")
def tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow")


def test_tensorflows_message_parses_and_writes_our_bytes(tf: Any, shards: Any) -> None:
    for record in shards.records:
        data = encode_sequence_example(record)
        message = tf.train.SequenceExample.FromString(data)
        assert message.context.feature["clip/label/index"].int64_list.value == [record.label_index]
        assert len(message.feature_lists.feature_list["image/encoded"].feature) == record.num_frames
        assert message.SerializeToString(deterministic=True) == data


def test_records_of_tensorflows_message_are_read(tf: Any, shards: Any) -> None:
    message = tf.train.SequenceExample.FromString(encode_sequence_example(shards.records[0]))
    message.context.feature["clip/label/index"].int64_list.value[:] = [0]
    assert decode_sequence_example(message.SerializeToString()).label_index == 0


def test_fixed_length_sequences_parse_as_dmvr_reads_them(tf: Any, shards: Any) -> None:
    context = {
        "clip/label/index": tf.io.FixedLenFeature((), tf.int64),
        "clip/label/text": tf.io.FixedLenFeature((), tf.string),
        "image/frame_rate": tf.io.FixedLenFeature((), tf.float32),
    }
    sequences = {key: tf.io.FixedLenSequenceFeature((), tf.string) for key in ENCODED}
    data = tf.data.TFRecordDataset(str(shards.tfrecord))
    for record, serialized in zip(shards.records, data, strict=True):
        facts, lists = tf.io.parse_single_sequence_example(serialized, context, sequences)
        assert int(facts["clip/label/index"]) == record.label_index
        assert facts["clip/label/text"].numpy().decode() == record.label_text
        assert float(facts["image/frame_rate"]) == 25.0
        for key, images in zip(
            ENCODED, (record.rgb, record.pose_overlay, record.flow), strict=True
        ):
            assert [each.decode("latin1") for each in lists[key].numpy()] == [
                image.decode("latin1") for image in images
            ]
            assert tf.io.decode_jpeg(lists[key][0], channels=3).shape == (32, 48, 3)


def test_ragged_poses_parse(tf: Any, shards: Any) -> None:
    sequences = {
        "POSE/feature/floats": tf.io.RaggedFeature(tf.float32),
        "PREDICTED/region/num_regions": tf.io.FixedLenSequenceFeature((), tf.int64),
    }
    data = tf.data.TFRecordDataset(str(shards.tfrecord))
    for record, serialized in zip(shards.records, data, strict=True):
        _, lists = tf.io.parse_single_sequence_example(serialized, None, sequences)
        people = lists["PREDICTED/region/num_regions"].numpy()
        assert people.tolist() == record.poses.num_people.tolist()
        lengths = lists["POSE/feature/floats"].row_lengths().numpy()
        assert lengths.tolist() == (people * 51).tolist()


def test_tensorflows_writer_frames_as_we_do(tf: Any, tmp_path: Any) -> None:
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"123456789")
        writer.write(b"")
    assert path.read_bytes() == frame_record(b"123456789") + frame_record(b"")


def test_tfds_reads_labels_from_the_context(tf: Any, shards: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tfds = pytest.importorskip("tensorflow_datasets")
        builder = tfds.builder_from_directory(str(shards.tfrecord.parent))
        table = builder.as_dataset(split="train1")
        rows = [{key: value.numpy() for key, value in row.items()} for row in table]
    assert tf is not None
    assert builder.info.splits["train1"].num_examples == 2
    by_id = {row["example/id"].decode(): row for row in rows}
    assert set(by_id) == {"clip_a", "clip_é"}
    assert int(by_id["clip_a"]["clip/label/index"]) == 1
    assert by_id["clip_é"]["clip/label/text"] == b"ApplyEyeMakeup"
    assert int(by_id["clip_a"]["image/width"]) == 48
    assert builder.info.features["clip/label/index"].num_classes == 2
