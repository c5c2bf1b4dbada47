"""ClipRecord to SequenceExample and back; the keys other readers look for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.clip_record import ClipRecord
from schemas.errors import RecordError, ShardError
from schemas.example_proto import SequenceExample
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.sequence_example import decode_sequence_example, encode_sequence_example
from schemas.skeleton import KEYPOINT_NAMES

MakeRecord = Callable[..., ClipRecord]
SameRecord = Callable[..., None]
GRAY_FLOW = ("flow_x", "flow_y")
NO_IMAGES = {"rgb": (), "pose_overlay": (), "flow": ()}


def parse(record: ClipRecord) -> Any:
    message = SequenceExample()
    message.ParseFromString(encode_sequence_example(record))
    return message


def damage(record: ClipRecord, *, context: str = "", feature_list: str = "") -> bytes:
    """The record without one key."""
    message = parse(record)
    message.context.feature.pop(context, None)
    message.feature_lists.feature_list.pop(feature_list, None)
    data: bytes = message.SerializeToString(deterministic=True)
    return data


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"poses": None, "pose_overlay": ()},
        {"flow": ()},
        {"rgb": ()},
        {"rgb": (), "flow": ()},
        {"rgb": (), "flow": (), "pose_overlay": ()},
        {"poses": empty_pose_sequence(3)},
        {"label_index": -1, "label_text": ""},
        {"label_index": 0, "label_text": "abseiling"},
        {"clip_id": "名前_é#1", "media_id": "имя", "video_path": "a b/ü!.avi", "split": ""},
        {"is_truncated": True},
        {"flow_bound_px": 32.0},
        {"pa": (b"1", b"22", b"3"), "pa_bound": 0.25},
        {"pa": (b"1", b"22", b"3"), **NO_IMAGES, "poses": None},
        {"start_us": 0, "end_us": 0},
        {"timestamps_us": np.array([1, 2**40, 2**62])},
    ],
)
def test_record_comes_back_bit_by_bit(
    changes: dict[str, Any], make_record: MakeRecord, assert_same_record: SameRecord
) -> None:
    record = make_record(**changes)
    back = decode_sequence_example(encode_sequence_example(record))
    assert_same_record(record, back, but=GRAY_FLOW)
    assert back.flow_x == back.flow_y == ()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(people=st.lists(st.integers(0, 4), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_poses_come_back_bit_by_bit(
    people: list[int],
    seed: int,
    make_record: MakeRecord,
    make_poses: Callable[..., PoseSequence],
    assert_same_record: SameRecord,
) -> None:
    record = make_record(len(people), poses=make_poses(people, seed))
    back = decode_sequence_example(encode_sequence_example(record))
    assert_same_record(record, back, but=GRAY_FLOW)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(texts=st.lists(st.text(max_size=8), min_size=6, max_size=6))
def test_texts_come_back(
    texts: list[str], make_record: MakeRecord, assert_same_record: SameRecord
) -> None:
    names = ("clip_id", "dataset", "split", "label_text", "media_id", "video_path")
    record = make_record(**dict(zip(names, texts, strict=True)))
    back = decode_sequence_example(encode_sequence_example(record))
    assert_same_record(record, back, but=GRAY_FLOW)


def test_empty_slots_at_the_end_are_not_stored(
    make_record: MakeRecord, make_poses: Callable[..., PoseSequence]
) -> None:
    few = make_poses([1, 0, 2])
    many = empty_pose_sequence(3, 5)
    for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
        getattr(many, name)[:, :2] = getattr(few, name)
    encoded = encode_sequence_example(make_record(poses=many))
    assert encoded == encode_sequence_example(make_record(poses=few))


def test_equal_records_give_equal_bytes(make_record: MakeRecord) -> None:
    assert encode_sequence_example(make_record(5)) == encode_sequence_example(make_record(5))


def test_key_order_is_sorted(make_record: MakeRecord) -> None:
    data = encode_sequence_example(make_record())
    keys = sorted(parse(make_record()).context.feature)
    places = [data.index(b"\n" + bytes([len(key)]) + key.encode()) for key in keys]
    assert places == sorted(places)


@pytest.mark.parametrize("key", ["image", "POSE_RENDER/image", "FORWARD_FLOW/image"])
def test_each_frame_is_one_feature_with_one_bytes_value(key: str, make_record: MakeRecord) -> None:
    record = make_record(4)
    lists = parse(record).feature_lists.feature_list
    images = {"image": record.rgb, "POSE_RENDER/image": record.pose_overlay}
    encoded = lists[f"{key}/encoded"].feature
    assert [list(f.bytes_list.value) for f in encoded] == [
        [jpeg] for jpeg in images.get(key, record.flow)
    ]
    stamps = [list(f.int64_list.value) for f in lists[f"{key}/timestamp"].feature]
    assert stamps == [[0], [40_000], [80_000], [120_000]]


def test_every_feature_list_has_one_feature_a_frame(make_record: MakeRecord) -> None:
    lists = parse(make_record(4)).feature_lists.feature_list
    assert {len(each.feature) for each in lists.values()} == {4}


def test_keys_are_those_of_mediasequence_and_dmvr(make_record: MakeRecord) -> None:
    record = make_record()
    message = parse(record)
    image_facts = ("format", "colorspace", "channels", "height", "width", "frame_rate")
    streams = ("image", "POSE_RENDER/image", "FORWARD_FLOW/image")
    assert set(message.context.feature) == {
        *("example/id", "example/dataset_name"),
        *("clip/data_path", "clip/media_id", "clip/alternative_media_id"),
        *("clip/start/timestamp", "clip/end/timestamp"),
        *("clip/label/index", "clip/label/string", "clip/label/text"),
        *("perfnet/config_hash", "perfnet/software", "perfnet/pose_model"),
        *("perfnet/schema_version", "perfnet/is_truncated"),
        *(f"{stream}/{fact}" for stream in streams for fact in image_facts),
        "FORWARD_FLOW/image/saturation",
        *("PREDICTED/region/parts", "POSE/feature/dimensions"),
    }
    region = (
        *("bbox/xmin", "bbox/ymin", "bbox/xmax", "bbox/ymax", "label/confidence"),
        *("track/index", "num_regions", "is_annotated", "timestamp"),
    )
    assert set(message.feature_lists.feature_list) == {
        *(f"{stream}/{leaf}" for stream in streams for leaf in ("encoded", "timestamp")),
        *("SOURCE/image/index", "SOURCE/image/timestamp"),
        *(f"PREDICTED/region/{leaf}" for leaf in region),
        *(f"{name.upper()}/region/point/{axis}" for name in KEYPOINT_NAMES for axis in "xy"),
        *("POSE/feature/floats", "POSE/feature/timestamp"),
        *("POSE_BOX/feature/floats", "POSE_BOX/feature/timestamp"),
    }


def test_context_values(make_record: MakeRecord) -> None:
    features = parse(make_record()).context.feature
    assert features["clip/label/index"].int64_list.value == [1]
    for key in ("clip/label/string", "clip/label/text"):
        assert features[key].bytes_list.value == [b"play golf"]
    assert features["clip/alternative_media_id"].bytes_list.value == [b"val"]
    assert features["clip/start/timestamp"].int64_list.value == [1_000_000]
    assert features["clip/end/timestamp"].int64_list.value == [11_000_000]
    for stream in ("image", "POSE_RENDER/image", "FORWARD_FLOW/image"):
        assert features[f"{stream}/format"].bytes_list.value == [b"JPEG"]
        assert features[f"{stream}/colorspace"].bytes_list.value == [b"RGB"]
        assert features[f"{stream}/channels"].int64_list.value == [3]
        assert features[f"{stream}/height"].int64_list.value == [256]
        assert features[f"{stream}/width"].int64_list.value == [341]
        assert features[f"{stream}/frame_rate"].float_list.value == [25.0]
    assert features["FORWARD_FLOW/image/saturation"].float_list.value == [20.0]
    assert features["POSE/feature/dimensions"].int64_list.value == [-1, 17, 3]
    assert features["PREDICTED/region/parts"].bytes_list.value[:2] == [b"NOSE", b"LEFT_EYE"]


def test_absent_streams_leave_their_keys_out(make_record: MakeRecord) -> None:
    record = make_record(flow=(), pose_overlay=(), poses=None, label_index=-1, label_text="")
    message = parse(record)
    keys = {*message.context.feature, *message.feature_lists.feature_list}
    hidden = ("FORWARD_FLOW", "POSE", "PREDICTED", "NOSE", "clip/label")
    assert [key for key in keys if key.startswith(hidden)] == []


def test_regions_are_normalised_by_width_and_height(
    make_record: MakeRecord, make_poses: Callable[..., PoseSequence]
) -> None:
    poses = make_poses([2])
    poses.boxes[0, 1] = (33.6, 25.1, 340.5, 127.5)
    poses.keypoints[0, 1, 5] = (170, 63.5)
    lists = parse(make_record(1, poses=poses)).feature_lists.feature_list

    def second(key: str) -> float:
        return float(lists[key].feature[0].float_list.value[1])

    sides = [second(f"PREDICTED/region/bbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    assert sides == pytest.approx([0.1, 0.1, 1.0, 0.5])
    assert second("LEFT_SHOULDER/region/point/x") == pytest.approx(0.5)
    assert second("LEFT_SHOULDER/region/point/y") == pytest.approx(0.25)
    assert lists["PREDICTED/region/num_regions"].feature[0].int64_list.value == [2]
    assert lists["PREDICTED/region/track/index"].feature[0].int64_list.value == [10, 11]


def test_pose_floats_are_people_by_keypoints_by_x_y_score(
    make_record: MakeRecord, make_poses: Callable[..., PoseSequence]
) -> None:
    poses = make_poses([0, 2])
    lists = parse(make_record(2, poses=poses)).feature_lists.feature_list
    first, second = lists["POSE/feature/floats"].feature
    assert list(first.float_list.value) == []
    triples = np.array(second.float_list.value, np.float32).reshape(2, 17, 3)
    np.testing.assert_array_equal(triples[..., :2], poses.keypoints[1])
    np.testing.assert_array_equal(triples[..., 2], poses.scores[1])


def test_record_is_not_modified_by_encoding(
    make_record: MakeRecord, assert_same_record: SameRecord
) -> None:
    record = make_record()
    encode_sequence_example(record)
    assert_same_record(record, make_record())


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ShardError, match=r"^record must be a SequenceExample, got other bytes$"):
        decode_sequence_example(b"\xff\xff\xff")


@pytest.mark.parametrize(
    "key",
    [
        "example/id",
        "example/dataset_name",
        "clip/start/timestamp",
        "image/width",
        "image/frame_rate",
        "perfnet/schema_version",
    ],
)
def test_missing_context_key_is_named(key: str, make_record: MakeRecord) -> None:
    message = rf"^record must have the context key '{key}', got none$"
    with pytest.raises(ShardError, match=message):
        decode_sequence_example(damage(make_record(), context=key))


@pytest.mark.parametrize(
    "key",
    [
        "SOURCE/image/index",
        "POSE_BOX/feature/floats",
        "PREDICTED/region/label/confidence",
        "PREDICTED/region/track/index",
    ],
)
def test_missing_feature_list_is_named(key: str, make_record: MakeRecord) -> None:
    message = rf"^record must have the feature list '{key}', got none$"
    with pytest.raises(ShardError, match=message):
        decode_sequence_example(damage(make_record(), feature_list=key))


def test_record_without_streams_is_refused(make_record: MakeRecord) -> None:
    record = make_record(poses=None, **NO_IMAGES)
    message = r"^record must have an image, flow or pose stream, got none$"
    with pytest.raises(ShardError, match=message):
        decode_sequence_example(encode_sequence_example(record))


def test_streams_of_unequal_length_are_refused(make_record: MakeRecord) -> None:
    message = parse(make_record(3))
    del message.feature_lists.feature_list["image/encoded"].feature[2]
    with pytest.raises(RecordError, match=r"'rgb': 2"):
        decode_sequence_example(message.SerializeToString())


@pytest.mark.parametrize("key", ["image/encoded", "SOURCE/image/index"])
def test_frame_without_a_value_is_refused(key: str, make_record: MakeRecord) -> None:
    message = parse(make_record(3))
    message.feature_lists.feature_list[key].feature[1].Clear()
    with pytest.raises(ShardError, match=rf"^frame 1 of '{key}' must have one value, got 0$"):
        decode_sequence_example(message.SerializeToString())


@pytest.mark.parametrize(
    "key",
    ["POSE/feature/floats", "POSE_BOX/feature/floats", "PREDICTED/region/label/confidence"],
)
def test_frame_without_a_persons_values_is_refused(key: str, make_record: MakeRecord) -> None:
    message = parse(make_record(3))
    message.feature_lists.feature_list[key].feature[2].float_list.value.pop()
    rule = rf"^'{key}' must have values for the people of every frame, got others$"
    with pytest.raises(ShardError, match=rule):
        decode_sequence_example(message.SerializeToString())


def test_schema_version_is_stored(make_record: MakeRecord) -> None:
    record = make_record()
    record = replace(record, provenance=replace(record.provenance, schema_version=7))
    back = decode_sequence_example(encode_sequence_example(record))
    assert back.provenance.schema_version == 7


def test_pa_stands_under_its_own_keys_as_gray_images(make_record: MakeRecord) -> None:
    before, message = (
        parse(make_record()),
        parse(make_record(pa=(b"1", b"22", b"3"), pa_bound=0.25)),
    )
    lists = message.feature_lists.feature_list
    added = set(lists) - set(before.feature_lists.feature_list)
    assert added == {"PA/image/encoded", "PA/image/timestamp"}
    encoded = [each.bytes_list.value[:] for each in lists["PA/image/encoded"].feature]
    assert encoded == [[b"1"], [b"22"], [b"3"]]
    context = message.context.feature
    names = ("format", "colorspace", "channels", "height", "width", "frame_rate", "saturation")
    assert set(context) - set(before.context.feature) == {f"PA/image/{name}" for name in names}
    assert context["PA/image/colorspace"].bytes_list.value[:] == [b"GRAYSCALE"]
    assert context["PA/image/channels"].int64_list.value[:] == [1]
    assert context["PA/image/saturation"].float_list.value[:] == [0.25]
