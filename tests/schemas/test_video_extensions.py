import pytest

from schemas.video_extensions import VIDEO_EXTENSIONS, is_video_path, split_extension


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a/b.mp4", ("a/b", ".mp4")),
        ("a/b.AVI", ("a/b", ".AVI")),
        ("a.mp4/b", ("a.mp4/b", "")),
        ("take.2", ("take.2", "")),
        ("a/.mp4", ("a/.mp4", "")),
        (".mp4", (".mp4", "")),
        ("a.tar.mkv", ("a.tar", ".mkv")),
    ],
)
def test_only_video_extensions_are_split_off(path: str, parts: tuple[str, str]) -> None:
    assert split_extension(path) == parts


@pytest.mark.parametrize("path", ["a.mp4", "a/b.WebM", "a/b", "-x/_y.mkv"])
def test_known_extension_or_none_is_a_video(path: str) -> None:
    assert is_video_path(path)


@pytest.mark.parametrize("path", ["a.txt", "a/.b.mp4", ".a/b.mp4", "a.mp4.part", "a/", ""])
def test_other_hidden_and_unfinished_files_are_no_videos(path: str) -> None:
    assert not is_video_path(path)


def test_extensions_are_sorted_lower_case() -> None:
    assert list(VIDEO_EXTENSIONS) == sorted({ext.lower() for ext in VIDEO_EXTENSIONS})
