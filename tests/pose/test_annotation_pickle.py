"""Pickles that grow: the same objects for every reader, with names that every numpy knows."""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest

from pose.annotation_pickle import AnnotationPickle, encode_value
from pose.restricted_pickle import load_arrays

PROTO, STOP = b"\x80\x03", b"."


def load(value: object) -> Any:
    return pickle.loads(PROTO + encode_value(value) + STOP)  # noqa: S301 - made here


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 255, 65_536, 2**31, -(2**40), True),
        *("", "plain", "имя_名前_é", "x" * 300, "\udcff"),
        *((), (1, 2), (1, 2, 3, 4, 5), [], [1, "a"], {}, {"a": [1, (2, 3)], "b": {}}),
    ],
)
def test_plain_values_come_back(value: object) -> None:
    back = load(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "i8", "?", ">f4"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (2, 3, 5)])
def test_arrays_come_back_writable(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for back in (load(array), load_arrays(PROTO + encode_value(array) + STOP, source="x")):
        np.testing.assert_array_equal(back, array)
        assert back.shape == array.shape
        assert back.dtype == array.dtype.newbyteorder("<")
        assert back.flags.writeable


def test_array_that_is_a_view_is_written_in_order() -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.testing.assert_array_equal(load(array.T), array.T)
    np.testing.assert_array_equal(load(array[:, ::2]), array[:, ::2])


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match=r"value must be numbers, text, arrays .* got <object"):
        encode_value([object()])
    with pytest.raises(TypeError, match="value must be numbers"):
        encode_value(np.array(["a"]))


def annotation(index: int) -> dict[str, Any]:
    points = np.full((2, 3, 17, 2), index, np.float16)
    return {"frame_dir": f"clip {index}", "label": index, "img_shape": (48, 64), "keypoint": points}


def test_file_holds_what_was_added_and_its_splits() -> None:
    file = io.BytesIO()
    writer = AnnotationPickle(file)
    for index in range(300):
        writer.add(annotation(index))
    writer.finish({"train": ["clip 0", "clip 1"], "val": []})
    back = pickle.loads(file.getvalue())  # noqa: S301 - made here
    assert back["split"] == {"train": ["clip 0", "clip 1"], "val": []}
    assert [each["frame_dir"] for each in back["annotations"]] == [f"clip {i}" for i in range(300)]
    np.testing.assert_array_equal(back["annotations"][7]["keypoint"], annotation(7)["keypoint"])
    assert load_arrays(file.getvalue(), source="x")["split"] == back["split"]


def test_pickle_names_no_private_module_of_numpy() -> None:
    file = io.BytesIO()
    writer = AnnotationPickle(file)
    writer.add(annotation(1))
    writer.finish({})
    names = {
        argument
        for code, argument, _ in pickletools.genops(file.getvalue())
        if code.name == "GLOBAL"
    }
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}


def test_annotation_is_in_the_file_as_soon_as_it_is_added() -> None:
    file = io.BytesIO()
    writer = AnnotationPickle(file)
    sizes = [len(file.getvalue())]
    for index in range(4):
        writer.add(annotation(index))
        sizes.append(len(file.getvalue()))
    keypoint_bytes = 2 * 3 * 17 * 2 * 2
    assert all(step >= keypoint_bytes for step in np.diff(sizes)), "nothing is held back"


def test_unfinished_file_does_not_load() -> None:
    file = io.BytesIO()
    AnnotationPickle(file).add(annotation(1))
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        pickle.loads(file.getvalue())  # noqa: S301 - made here
