from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.annotations import read_annotations
from schemas.annotations.kinetics import format_kinetics_stem
from schemas.clip import Clip
from video.locate import LocatedVideo, VideoIndex


def kinetics_clip(
    media_id: str = "-a_b-c_d-e_",
    start: float | None = 7,
    end: float | None = 17,
    label: str | None = "play golf",
) -> Clip:
    return Clip(
        clip_id="id",
        dataset="kinetics400",
        split="val",
        label_text=label,
        media_id=media_id,
        relative_path="",
        start_seconds=start,
        end_seconds=end,
        source="val.csv:2",
    )


def path_clip(
    relative_path: str,
    dataset: str = "ucf101",
    *,
    start: float | None = None,
    end: float | None = None,
    label: str | None = "YoYo",
) -> Clip:
    return Clip(
        clip_id="id",
        dataset=dataset,
        split="train1",
        label_text=label,
        media_id="id",
        relative_path=relative_path,
        start_seconds=start,
        end_seconds=end,
        source="trainlist01.txt:1",
    )


def find(clip: Clip, *paths: str) -> str | None:
    located = {VideoIndex(order).find(clip) for order in (paths, reversed(paths))}
    (only,) = located
    return None if only is None else only.relative_path


@pytest.mark.parametrize(
    "path",
    [
        "-a_b-c_d-e__000007_000017.mp4",
        "val/-a_b-c_d-e__000007_000017.mp4",
        "play golf/-a_b-c_d-e__000007_000017.mkv",
        "play_golf/-a_b-c_d-e__000007_000017.WEBM",
        "val/play_golf/-a_b-c_d-e__000007_000017",
    ],
)
def test_trimmed_kinetics_file_is_found_in_any_layout(path: str) -> None:
    located = VideoIndex([path, "val/other.mp4"]).find(kinetics_clip())
    assert located == LocatedVideo(relative_path=path, is_trimmed=True)


def test_bare_kinetics_id_leaves_trimming_to_the_duration() -> None:
    located = VideoIndex(["videos/-a_b-c_d-e_.mp4"]).find(kinetics_clip())
    assert located == LocatedVideo(relative_path="videos/-a_b-c_d-e_.mp4", is_trimmed=None)


@pytest.mark.parametrize(
    ("start", "end", "is_trimmed"), [(None, None, True), (3.0, None, None), (None, 9.0, None)]
)
def test_bare_id_is_the_clip_where_the_clip_is_the_whole_video(
    start: float | None, end: float | None, is_trimmed: bool | None
) -> None:
    located = VideoIndex(["x.mp4", "x_000003_000009.mp4"]).find(kinetics_clip("x", start, end))
    assert located == LocatedVideo(relative_path="x.mp4", is_trimmed=is_trimmed)


def test_trimmed_file_goes_before_the_bare_one() -> None:
    trimmed = "long/folder/-a_b-c_d-e__000007_000017.mp4"
    assert find(kinetics_clip(), "-a_b-c_d-e_.mp4", trimmed) == trimmed


def test_other_range_of_the_same_id_is_another_clip() -> None:
    assert find(kinetics_clip(), "-a_b-c_d-e__000017_000027.mp4") is None


def test_times_with_fractions_find_the_file_of_their_whole_seconds() -> None:
    clip = kinetics_clip("x", 1.5, 11.75)
    assert find(clip, "x_000001_000011.mp4") == "x_000001_000011.mp4"


@pytest.mark.parametrize("name", ["-a_b-c_d-e__000007_000017.mp4", "-a_b-c_d-e_.mp4"])
def test_replacement_goes_before_the_main_file(name: str) -> None:
    replacement = f"replacement/replacement_for_corrupted_k400/{name}"
    main = "val/-a_b-c_d-e__000007_000017.mp4"
    assert find(kinetics_clip(), main, replacement) == replacement


def test_replacement_of_another_range_is_not_taken() -> None:
    main = "val/-a_b-c_d-e__000007_000017.mp4"
    assert find(kinetics_clip(), main, "replacement/-a_b-c_d-e__000050_000060.mp4") == main


def test_kinetics_ids_that_differ_by_case_are_different_videos() -> None:
    clip = kinetics_clip("abcdefghijK")
    assert find(clip, "abcdefghijk_000007_000017.mp4", "ABCDEFGHIJK.mp4") is None
    right = "z/abcdefghijK_000007_000017.mp4"
    assert find(clip, "abcdefghijk_000007_000017.mp4", right) == right


@pytest.mark.parametrize("folder", ["play golf", "play_golf"])
def test_file_in_the_class_folder_goes_before_shorter_paths(folder: str) -> None:
    name = "-a_b-c_d-e__000007_000017.mp4"
    assert find(kinetics_clip(), f"a/{name}", f"val/{folder}/{name}") == f"val/{folder}/{name}"


def test_shortest_then_first_path_is_taken_otherwise() -> None:
    name = "-a_b-c_d-e__000007_000017.mp4"
    unlabelled = kinetics_clip(label=None)
    assert find(unlabelled, f"aaa/{name}", f"c/{name}", f"b/{name}") == f"b/{name}"


@pytest.mark.parametrize("name", ["-a_b-c_d-e_.json", "-a_b-c_d-e_.mp4.part", "._-a_b-c_d-e_.mp4"])
def test_files_beside_the_video_are_not_taken_for_it(name: str) -> None:
    assert find(kinetics_clip(), name) is None


@given(
    st.text("aAzZ09_-", min_size=11, max_size=11),
    st.integers(0, 999_999),
    st.integers(0, 999_999),
    st.lists(st.text("aAzZ09_-", min_size=11, max_size=11), max_size=5),
)
def test_every_kinetics_file_name_is_found_again(
    media_id: str, start: int, end: int, others: list[str]
) -> None:
    name = f"val/{format_kinetics_stem(media_id, start, end)}.mp4"
    index = VideoIndex([name, *(f"{other}.mp4" for other in others)])
    located = index.find(kinetics_clip(media_id, start, end))
    assert located == LocatedVideo(relative_path=name, is_trimmed=True)


def test_annotated_path_goes_first() -> None:
    clip = path_clip("YoYo/v_YoYo_g01_c01.avi")
    exact = "YoYo/v_YoYo_g01_c01.avi"
    assert find(clip, "v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g01_c01.mp4", exact) == exact


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
@pytest.mark.parametrize(
    "path",
    ["v_YoYo_g01_c01.avi", "train/deep/v_YoYo_g01_c01.avi", "v_YoYo_g01_c01.mp4", "v_YoYo_g01_c01"],
)
def test_ucf_and_hmdb_files_are_found_by_name_in_any_folder(dataset: str, path: str) -> None:
    assert find(path_clip("YoYo/v_YoYo_g01_c01.avi", dataset), path) == path


def test_handstand_pushups_is_found_under_its_other_spelling() -> None:
    clip = path_clip("HandstandPushups/v_HandStandPushups_g01_c01.avi")
    path = "HandstandPushups/v_HandstandPushups_g01_c01.avi"
    assert find(clip, path, "HandstandPushups/v_HandstandPushups_g01_c02.avi") == path


def test_fallbacks_go_from_like_to_unlike() -> None:
    clip = path_clip("YoYo/v_A.avi")
    ranked = ["x/YoYo/v_A.avi", "v_A.avi", "YoYo/v_A.AVI", "YoYo/v_A.mp4", "YoYo/v_a.avi"]
    for best in range(len(ranked)):
        assert find(clip, *ranked[best:]) == ranked[best]


@pytest.mark.parametrize("dataset", ["csv", "folder"])
def test_own_data_sets_are_never_found_in_another_folder(dataset: str) -> None:
    assert find(path_clip("a/1.mp4", dataset), "b/1.mp4", "1.mp4", "A/1.mp4", "a/b/1.mp4") is None


def test_own_data_sets_are_found_with_another_extension() -> None:
    assert find(path_clip("a/1.avi", "csv"), "a/1.mkv", "a/1.mp4", "b/1.avi") == "a/1.mkv"


def test_file_that_is_no_video_by_name_is_found_by_its_exact_path() -> None:
    assert find(path_clip("a/1.gif", "csv"), "a/1.gif") == "a/1.gif"


@pytest.mark.parametrize(
    ("start", "end", "is_trimmed"),
    [(None, None, True), (1.0, None, False), (None, 2.0, False), (0.0, 2.0, False)],
)
def test_clip_with_a_range_is_cut_and_without_is_the_whole_file(
    start: float | None, end: float | None, is_trimmed: bool
) -> None:
    located = VideoIndex(["a.mp4"]).find(path_clip("a.mp4", "csv", start=start, end=end))
    assert located == LocatedVideo(relative_path="a.mp4", is_trimmed=is_trimmed)


def test_missing_file_is_none() -> None:
    assert VideoIndex([]).find(path_clip("YoYo/a.avi")) is None
    assert VideoIndex([]).find(kinetics_clip()) is None


def test_length_is_the_number_of_files() -> None:
    assert len(VideoIndex(["a.mp4", "b.txt"])) == 2


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("dataset", "folder", "pattern"),
    [
        ("ucf101", "ucf101/ucfTrainTestlist", "v_*.avi"),
        ("hmdb51", "hmdb51/testTrainMulti_7030_splits", "[!h]*.avi"),
    ],
)
def test_every_real_file_belongs_to_an_official_clip(
    corpus: Path, dataset: str, folder: str, pattern: str
) -> None:
    names = {path.name for path in (corpus / "videos" / dataset).glob(pattern)}
    index = VideoIndex(names)
    annotations = str(corpus / "annotations" / folder)
    found: set[str] = set()
    for split in ("train1", "test1", "train2", "test2", "train3", "test3"):
        table = read_annotations(dataset, annotations, split=split)
        located = [index.find(clip) for clip in table.clips]
        found |= {video.relative_path for video in located if video is not None}
    assert len(names) >= 5
    assert found == names


@pytest.mark.corpus
def test_real_file_with_a_bare_id_belongs_to_its_kinetics_row(corpus: Path) -> None:
    annotations = str(corpus / "annotations" / "kinetics" / "kinetics-400_val.csv")
    videos = corpus / "videos"
    index = VideoIndex(path.relative_to(videos).as_posix() for path in videos.rglob("*.*"))
    table = read_annotations("kinetics400", annotations, split="val")
    located = {clip.clip_id: index.find(clip) for clip in table.clips}
    assert {clip_id: video for clip_id, video in located.items() if video is not None} == {
        "SOX5yA1l24A_000299_000309": LocatedVideo(
            relative_path="kinetics/SOX5yA1l24A.mp4", is_trimmed=None
        )
    }
