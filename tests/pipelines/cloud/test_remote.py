"""Videos, annotations and outputs in a bucket: the bytes of a local run, in plain words if not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import storage
from pipelines.cli import main

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Contents = Callable[[str | Path], dict[str, Any]]


def test_remote_build_gives_the_bytes_of_the_local_one(
    cloud: str,
    remote_arguments: Arguments,
    contents: Contents,
    built: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(remote_arguments("out", "--workers", "2")) == 0
    assert contents(f"{cloud}/out") == contents(built)
    assert main(["verify", f"{cloud}/out"]) == 0
    capsys.readouterr()
    assert main(remote_arguments("out")) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_video_that_is_too_large_or_gone_costs_one_row(
    cloud: str, remote_arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apache_beam.io.filesystems import FileSystems

    from pipelines import build
    from pipelines.finished_output import open_output

    with FileSystems.create(f"{cloud}/videos/c.mp4", compression_type="uncompressed") as file:
        file.write(bytes(3 << 20))
    save_plan = build.save_plan

    def save_and_lose(*arguments: Any) -> None:
        save_plan(*arguments)
        storage.remove_file(f"{cloud}/videos/d.mp4")

    monkeypatch.setattr(build, "save_plan", save_and_lose)
    options = ("--modalities", "rgb", "--clip-disk-mib", "2", "--max-failed-fraction", "1")
    assert main(remote_arguments("out", *options)) == 0
    rows = {row.clip_id: row for row in open_output(f"{cloud}/out").ledger}
    assert {name: row.outcome.value for name, row in rows.items()} == {
        **dict.fromkeys("ab", "written"),
        **dict.fromkeys("cd", "failed"),
        "broken": "unreadable",
        "gone": "missing",
    }
    assert "<= 2 MiB to be copied from remote storage, got 3 MiB or more" in rows["c"].detail
    assert "raise --clip-disk-mib and run again with --retry-failed" in rows["c"].detail
    assert rows["d"].detail == "the file is gone: it was there when the run was planned"


@pytest.mark.parametrize(
    ("option", "place", "message"),
    [
        ("--videos", "gs://nosuch/videos", "folder must be readable, got gs://nosuch/videos: no"),
        ("--annotations", "gs://nosuch/rows.csv", "annotation file must be a file that can be"),
        ("--output", "gs://bucket/a*", "output must be a remote path without *, ?, [ and ]"),
        ("--output", "{videos}/out", "output must not lie in the videos folder"),
    ],
)
def test_place_that_cannot_work_is_refused_in_one_line(
    remote_arguments: Arguments,
    capsys: pytest.CaptureFixture[str],
    option: str,
    place: str,
    message: str,
) -> None:
    arguments = remote_arguments("out")
    videos = arguments[arguments.index("--videos") + 1]
    arguments[arguments.index(option) + 1] = place.format(videos=videos)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert len(printed.splitlines()) == 1


def test_placeholders_of_folders_are_no_videos(cloud: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    for name in ("videos/", "videos/sub/", "videos/sub/a.mp4"):
        FileSystems.create(f"{cloud}/{name}", compression_type="uncompressed").close()
    assert storage.list_remote_sizes(f"{cloud}/videos") == {"sub/a.mp4": 0}


def test_removed_folder_takes_only_what_is_in_it(cloud: str) -> None:
    for name in ("state/tmp/a", "state/tmp/b/c", "state/tmp2", "state/plan"):
        storage.write_text(f"{cloud}/{name}", "x", temp_folder=f"{cloud}/t")
    storage.remove_tree(f"{cloud}/state/tmp")
    assert set(storage.list_remote_sizes(cloud)) == {"state/tmp2", "state/plan"}
    storage.remove_tree(f"{cloud}/nosuch")


def test_unfinished_upload_never_appears(cloud: str) -> None:
    def write_half() -> None:
        with storage.atomic_output(f"{cloud}/file", temp_folder=f"{cloud}/state") as file:
            file.write(b"half")
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        write_half()
    assert storage.list_remote_sizes(cloud) == {}


def test_no_credential_is_written_anywhere(
    cloud: str,
    remote_arguments: Arguments,
    tmp_path: Path,
    download: Callable[[str, Path], Path],
    account: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from apache_beam.internal.gcp import auth

    caplog.set_level("DEBUG")
    assert main(remote_arguments("out", "--modalities", "rgb")) == 0
    credentials = auth._Credentials._credentials.get_google_auth_credentials()
    secrets = {credentials.token, account.with_name("secret").read_text()}
    assert len(secrets - {None, ""}) == 2, "the account was used"
    printed = capfd.readouterr()
    texts = [printed.out, printed.err, caplog.text, str(account)]
    contents = [path.read_bytes() for path in download(cloud, tmp_path / "all").rglob("*.*")]
    assert len(contents) > 10
    for secret in secrets:
        assert not [text for text in texts if secret in text]
        assert not [content for content in contents if secret.encode() in content]
