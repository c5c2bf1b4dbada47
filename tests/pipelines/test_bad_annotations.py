"""Every damage that an annotation file can have: an error before work, or one ledger row."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.cli import main
from pipelines.config import BuildConfig
from pipelines.prepare import PreparedRun, prepare_run
from schemas.outcome import Outcome

K400 = "label,youtube_id,time_start,time_end,split\n"
CSV = "video,label,start,end,split\n"
UCF_CLASSES, UCF = "lists/classInd.txt", "lists/trainlist01.txt"
HMDB = "lists/golf_test_split1.txt"
TRAIN1 = ("train1", "golf/good.mp4")


class Good(NamedTuple):
    """A sound data set of one clip, and the annotation file of it that tests damage."""

    files: dict[str, str]
    damaged: str
    split: str
    video: str


GOOD = {
    "kinetics400": Good({"rows.csv": K400 + "golf,good,0,10,val\n"}, "rows.csv", "val", "good.mp4"),
    "csv": Good({"rows.csv": CSV + "good.mp4,golf,,,val\n"}, "rows.csv", "val", "good.mp4"),
    "ucf101": Good({UCF_CLASSES: "1 golf\n2 run\n", UCF: "golf/good.mp4 1\n"}, UCF, *TRAIN1),
    "hmdb51": Good({HMDB: "good.mp4 1\n"}, HMDB, *TRAIN1),
    "folder": Good({}, "", "val", "golf/good.mp4"),
}
FILE_FORMATS = [name for name in GOOD if name != "folder"]


@pytest.fixture
def lay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes a data set into the current folder; gives the arguments that build it."""
    monkeypatch.chdir(tmp_path)

    def write(dataset: str, *options: str, **content: bytes) -> list[str]:
        good = GOOD[dataset]
        for name, text in good.files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        if "damaged" in content:
            (tmp_path / good.damaged).write_bytes(content["damaged"])
        video = tmp_path / "videos" / good.video
        video.parent.mkdir(parents=True)
        video.write_bytes(b"1")
        arguments = ["--dataset", dataset, "--split", good.split, "--modalities", "rgb"]
        if dataset != "folder":
            annotations = "lists" if "lists/" in good.damaged else good.damaged
            arguments += ["--annotations", annotations]
        return [*arguments, "--videos", "videos", "--output", "out", *options]

    return write


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a build that ends before it starts."""
    assert main(["build", *arguments]) == 2
    printed = capsys.readouterr()
    text = re.sub(r"[\s│]+", " ", printed.out + printed.err)
    assert "Traceback" not in text
    assert not Path("out").exists()
    return text


def _prepared(arguments: list[str]) -> PreparedRun:
    """What `build` with these arguments would do."""
    values: dict[str, str] = {}
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        values[name.removeprefix("--").replace("-", "_")] = value
    values.pop("modalities")
    return prepare_run(BuildConfig(**values, modalities=("rgb",)))  # type: ignore[arg-type]


def _clip_ids(run: PreparedRun) -> list[str]:
    return [task.clip.clip_id for spec in run.plan.shards for task in spec.tasks]


def _stem(dataset: str) -> str:
    return {"kinetics400": "good_000000_000010", "folder": "golf/good"}.get(dataset, "good")


HARMLESS = {
    "as it is": lambda text: text.encode(),
    "byte-order mark": lambda text: text.encode("utf-8-sig"),
    "Windows line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "old Mac line ends": lambda text: text.replace("\n", "\r").encode(),
    "no line end at the end": lambda text: text.rstrip("\n").encode(),
    "blank lines": lambda text: ("\n \n" + text.replace("\n", "\n\n\t\n")).encode(),
    "spaces around the lines": lambda text: re.sub("(?m)^|$", " \t", text).encode(),
}


@pytest.mark.parametrize("dataset", FILE_FORMATS)
@pytest.mark.parametrize("damage", HARMLESS)
def test_harmless_differences_change_nothing(
    lay_out: Callable[..., list[str]], dataset: str, damage: str
) -> None:
    good = GOOD[dataset]
    run = _prepared(lay_out(dataset, damaged=HARMLESS[damage](good.files[good.damaged])))
    assert _clip_ids(run) == [_stem(dataset)]
    assert run.plan.settled == ()
    assert "golf" in run.labels.texts


def test_spaces_around_values_change_nothing(lay_out: Callable[..., list[str]]) -> None:
    rows = b" video , Label ,start, end,split \n good.mp4 ,\tgolf , , , val \n"
    run = _prepared(lay_out("csv", damaged=rows))
    assert (_clip_ids(run), run.labels.texts) == (["good"], ("golf",))


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "must hold .*, got (an empty file|none)"),
    "white space": (b"\xef\xbb\xbf \r\n\t\r", "must hold .*, got (an empty file|none)"),
    "Latin-1": (b"\ncaf\xe9,x\n", r"{file}:2 must be UTF-8 text, got byte 0xe9 .*; save it as"),
    "UTF-16": ("video,label\n".encode("utf-16"), r"{file}:1 must be UTF-8 text, got byte 0xff"),
}


@pytest.mark.parametrize("dataset", FILE_FORMATS)
@pytest.mark.parametrize("damage", UNUSABLE)
def test_file_without_usable_text_is_refused(
    lay_out: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    damage: str,
) -> None:
    content, message = UNUSABLE[damage]
    text = _refused(lay_out(dataset, damaged=content), capsys)
    assert re.search(message.format(file=GOOD[dataset].damaged), text), text
    assert ";" in text, "must name a way out"


@pytest.mark.parametrize("dataset", FILE_FORMATS)
def test_file_of_a_gigabyte_is_refused_unread(
    lay_out: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], dataset: str
) -> None:
    arguments = lay_out(dataset)
    with Path(GOOD[dataset].damaged).open("r+b") as file:
        file.truncate(1 << 30)
    text = _refused(arguments, capsys)
    assert "annotation file must have at most 512 MiB, got " in text
    assert "with 1024 MiB or more; check that it is one, or split it into several" in text


REFUSED = [
    ("kinetics400", b"golf,good,0,10,val\n", "rows.csv:1 must have the columns youtube_id, .* the "
     "header 'golf,good,0,10,val' without youtube_id, time_start, time_end; correct the header"),
    ("kinetics400", b"label,youtube_id,start,end\n", "1 must have .* without time_start, time_end"),
    ("kinetics400", K400.encode(), "rows.csv must hold rows after the header, got none; check"),
    ("kinetics400", K400.encode() + b"golf,good,0,10,train\n",
     r"split must be one of those in rows.csv \(train\), got 'val'; choose one of them"),
    ("kinetics400", K400.encode() + b"golf,a,0,1,val\nGolf,b,0,1,train\n",
     "labels must differ in more than case, spaces and underscores, got 'golf' in rows.csv:2 and "
     "'Golf' in rows.csv:3; write them alike, or list both in a file and give it as --label-map"),
    ("csv", b"good.mp4,golf\n", "rows.csv:1 must have the columns video, label, got the header"),
    ("csv", b"video;label\ngood.mp4;golf\n", "without video, label; .*commas between names"),
    ("csv", b"video,lable\ngood.mp4,golf\n", "'video,lable' without label; correct the header"),
    ("csv", b"\n\nvideo,label,Label\na,b,c\n", "rows.csv:3 must name each column once, got the"),
    ("csv", b"vid\0eo,label\na,b\n", r"rows.csv:1 must have .* got the header 'vid\\x00eo,label'"),
    ("csv", b"video,label,split\na,b,train\nc,d,\n", r"rows.csv \(train\), got 'val'; choose"),
    ("csv", b"video,label\na,play golf\nb,play_golf\n", "'play golf' in rows.csv:2 and 'play_golf"),
    ("csv", b"video,label\na,golf\nb,g\xef\xbd\x8flf\n", "must differ in more than case"),
    ("ucf101", b"\r\n", "lists/trainlist01.txt must hold rows, got an empty file; unpack"),
    ("hmdb51", b"good.mp4 2\n", "lists must hold rows of the split 'train1', got none; unpack"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "content", "message"), REFUSED)
def test_file_that_breaks_a_rule_is_refused_with_place_and_way_out(
    lay_out: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    content: bytes,
    message: str,
) -> None:
    text = _refused(lay_out(dataset, damaged=content), capsys)
    assert re.search(message, text), text


CLASSES = [
    ("0 golf\n1 run\n", "classInd.txt:1 must number the classes from 1 on without gaps, here "
     "'1 <class>', got '0 golf'; renumber it, or unpack"),
    ("1 golf\n3 run\n", "classInd.txt:2 must number .* here '2 <class>', got '3 run'"),
    ("golf\nrun\n", "classInd.txt:1 must number .* got 'golf'"),
    ("1 golf\n2 golf\n", "classInd.txt:2 must name each class once, got '2 golf' again after "
     "classInd.txt:1; remove one of them"),
    ("1 golf\n2 Golf\n", "got 'golf' in classInd.txt:1 and 'Golf' in classInd.txt:2; write"),
    ("1 golf\n2 r\0n\n", r"classInd.txt:2 must name a class without control characters, got '2 r"),
    ("", "classInd.txt must hold the classes, got an empty file; unpack"),
]  # fmt: skip


@pytest.mark.parametrize(("classes", "message"), CLASSES)
def test_class_list_of_ucf101_is_checked_line_by_line(
    lay_out: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    classes: str,
    message: str,
) -> None:
    arguments = lay_out("ucf101")
    Path("lists/classInd.txt").write_text(classes)
    assert re.search(message, text := _refused(arguments, capsys)), text


MAPS = [
    (b"", "label_map must have one label per line, got an empty map.txt"),
    (b"\xef\xbb\xbf\n\n", "label_map must have one label per line, got an empty map.txt"),
    (b"golf\n\nrun\n", "got a blank line in map.txt:2; remove it"),
    (b"golf\r\nrun\r\ngolf\r\n", "got 'golf' in map.txt:3 again after line 1; remove one of them"),
    (b"go\0lf\n", r"and no control characters, got 'go\\x00lf' in map.txt:1"),
    (b"golf\ncaf\xe9\n", "label_map must be a readable UTF-8 file: map.txt:2 must be UTF-8 text"),
]


@pytest.mark.parametrize(("content", "message"), MAPS)
def test_label_map_that_breaks_a_rule_is_refused(
    lay_out: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    arguments = lay_out("csv", "--label-map", "map.txt")
    Path("map.txt").write_bytes(content)
    assert re.search(message, text := _refused(arguments, capsys)), text


@pytest.mark.parametrize("content", ["\ufeffrun\ngolf\n", "run\r\ngolf\r\n\r\n", "run\rgolf\r"])
def test_label_map_of_any_system_is_read(lay_out: Callable[..., list[str]], content: str) -> None:
    arguments = lay_out("csv", "--label-map", "map.txt")
    Path("map.txt").write_text(content, newline="")
    assert _prepared(arguments).labels.texts == ("run", "golf")


def test_labels_alike_to_the_case_are_kept_apart_by_a_label_map(
    lay_out: Callable[..., list[str]],
) -> None:
    rows = "video,label\ngood.mp4,golf\ngood.mp4,Golf\nx.mp4,Golf\ny.mp4,GOLF\n"
    arguments = lay_out("csv", "--label-map", "map.txt", damaged=rows.encode())
    Path("map.txt").write_text("Golf\ngolf\n")
    run = _prepared(arguments)
    assert [task.label_index for spec in run.plan.shards for task in spec.tasks] == [1]
    assert {row.source: row.outcome for row in run.plan.settled} == {
        "rows.csv:3": Outcome.DUPLICATE,
        "rows.csv:4": Outcome.MISSING,
        "rows.csv:5": Outcome.UNKNOWN_LABEL,
    }


BAD, UNKNOWN, DUPLICATE, MISSING = (
    Outcome.BAD_ANNOTATION,
    Outcome.UNKNOWN_LABEL,
    Outcome.DUPLICATE,
    Outcome.MISSING,
)
LONG = "x" * 70_000
ROWS = [
    ("kinetics400", "golf,../x,0,10,val", BAD, "youtube_id must be a name and no path, got '../x'"),
    ("kinetics400", "golf,x,10,9,val", BAD, "end must be after start, got start 10 and end 9"),
    ("kinetics400", "golf,x,nan,9,val", BAD, "time_start must be a number of seconds from 0 to"),
    ("kinetics400", "golf,x,0,inf,val", BAD, "time_end must be a number of seconds from 0 to"),
    ("kinetics400", "golf,x,-1,9,val", BAD, "time_start must be .* got '-1'"),
    ("kinetics400", "golf,x,0,1e300,val", BAD, "time_end must be .* got '1e300'"),
    ("kinetics400", "golf,x,0,10", BAD, "row must have 5 fields as the header, got 4: 'golf,x,"),
    ("kinetics400", "golf,x,0,10,val,,", BAD, "row must have 5 fields as the header, got 7"),
    ("kinetics400", "golf,x,0,10,", BAD, "split must not be empty, got ''"),
    ("kinetics400", "golf,x\0y,0,10,val", BAD, "youtube_id must be one line without control"),
    ("kinetics400", f"golf,{LONG},0,10,val", BAD, "row must have at most 65536 characters, got"),
    ("kinetics400", "run,good,0.0,10,val", DUPLICATE, "clip must be named by one row, got it again"
     "; first named in rows.csv:2 with label 'golf'"),
    ("kinetics400", "run,good,20,30,train", None, ""),
    ("csv", "../x.mp4,golf,,,val", BAD, "video must not leave the videos folder with '..'"),
    ("csv", "a/../../x.mp4,golf,,,val", BAD, "video must not leave the videos folder with '..'"),
    ("csv", "/etc/passwd,golf,,,val", BAD, "video must be relative to the videos folder, got '/e"),
    ("csv", "C:\\x.mp4,golf,,,val", BAD, "video must be relative to the videos folder, got 'C:"),
    ("csv", "\\\\host\\x.mp4,golf,,,val", BAD, "video must be relative to the videos folder"),
    ("csv", "..\\x.mp4,golf,,,val", BAD, "video must not leave the videos folder with '..'"),
    ("csv", "golf\\x.mp4,golf,,,val", MISSING, r"no file .* is golf\\x.mp4 .*; write / between"),
    ("csv", "file:///etc/passwd,golf,,,val", BAD, "video must be relative to the videos folder"),
    ("csv", "x\0.mp4,golf,,,val", BAD, "video must be one line without control characters"),
    ("csv", "x.mp4,go\0lf,,,val", BAD, "label must be one line without control characters"),
    ("csv", ",golf,,,val", BAD, "video must not be empty, got ''"),
    ("csv", "x.mp4,golf,5,5,val", BAD, "end must be after start, got start 5 and end 5"),
    ("csv", "x.mp4,golf,1:30,2:00,val", BAD, "start must be a number of seconds .* got '1:30'"),
    ("csv", '"a\nb.mp4",golf,,,val', BAD, "got 1: '\"a'; a quoted field must end on its line"),
    ("csv", "a,b.mp4,golf,,,val", BAD, "got 6: .*; a field with a comma in it must be in quotes"),
    ("csv", '"a,b.mp4",golf,,,val', MISSING, "no file of the video folder is a,b.mp4 or a,b"),
    ("csv", "./good.mp4,golf,,,val", DUPLICATE, "got it again; first named in rows.csv:2$"),
    ("csv", f"{LONG},golf,,,val", BAD, "row must have at most 65536 characters, got 70011: 'xxx"),
    ("csv", "x.mp4,golf,,,test", None, ""),
    ("ucf101", "../x.avi 1", BAD, "path must not leave the videos folder with '..', got '../x"),
    ("ucf101", "/golf/x.avi 1", BAD, "path must be relative to the videos folder"),
    ("ucf101", "golf/x.avi", BAD, "row must be '<class>/<file> <number>', got .* without a number"),
    ("ucf101", "golf/x.avi 2", BAD, "number must be 1 as classInd.txt has it for 'golf', got 2"),
    ("ucf101", "x.avi 1", BAD, "path must be '<class>/<file>', got 'x.avi'"),
    ("ucf101", "golf/x\0.avi 1", BAD, "path must be one line without control characters"),
    ("ucf101", "Golf/x.avi 1", UNKNOWN, r"2 labels of the label map \(which has 'golf'\), got 'Go"),
    ("ucf101", "swim/x.avi 3", UNKNOWN, "2 labels of the label map, got 'swim'; correct the row"),
    ("ucf101", "golf/good.mp4 1", DUPLICATE, "got it again; first named in trainlist01.txt:1"),
    ("ucf101", f"golf/a{' ' * 60_000}b 1", BAD, "path must have at most 4096 characters, got 60"),
    ("csv", f"x.mp4,{'x' * 5000},,,val", BAD, "label must have at most 4096 characters, got 5000"),
    ("hmdb51", "x.avi 3", BAD, "row must be '<file> <flag>' with flag 0, 1 or 2, got 'x.avi 3'"),
    ("hmdb51", "x.avi", BAD, "row must be '<file> <flag>' with flag 0, 1 or 2, got 'x.avi'"),
    ("hmdb51", "../x.avi 1", BAD, "file must be a name and no path, got '../x.avi'"),
    ("hmdb51", "a\\x.avi 1", BAD, "file must be a name and no path"),
    ("hmdb51", "x\0.avi 1", BAD, "file must be one line without control characters"),
    ("hmdb51", "good.mp4\t1", DUPLICATE, "first named in golf_test_split1.txt:1"),
    ("hmdb51", f"{LONG} 1", BAD, "row must have at most 65536 characters"),
    ("hmdb51", "x.avi 0", None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "row", "outcome", "detail"), ROWS)
def test_row_that_breaks_a_rule_is_one_ledger_row_and_spoils_no_other(
    lay_out: Callable[..., list[str]],
    dataset: str,
    row: str,
    outcome: Outcome | None,
    detail: str,
) -> None:
    good = GOOD[dataset]
    content = good.files[good.damaged] + row + "\n"
    plan = _prepared(lay_out(dataset, damaged=content.encode())).plan
    assert [task.clip.clip_id for spec in plan.shards for task in spec.tasks] == [_stem(dataset)]
    if outcome is None:
        assert plan.settled == (), "a row of another split is no row"
        return
    settled = min(plan.settled, key=lambda each: each.source)
    line = good.files[good.damaged].count("\n") + 1
    assert (settled.outcome, settled.source) == (outcome, f"{Path(good.damaged).name}:{line}")
    assert re.search(detail, settled.detail), settled.detail
    assert len(settled.detail) < 300


@pytest.mark.parametrize(
    ("path", "outcome", "detail"),
    [
        ("stray.mp4", BAD, "video must be in a class folder as <class>/<file>, got 'stray.mp4'"),
        ("golf/a\nb.mp4", BAD, "video must be one line without control characters"),
        ("golf/\udce9.mp4", Outcome.FAILED, "path must be one line of UTF-8 text, got .*; rename"),
    ],
)
def test_odd_file_of_a_folder_per_class_is_one_ledger_row(
    lay_out: Callable[..., list[str]], path: str, outcome: Outcome, detail: str
) -> None:
    arguments = lay_out("folder")
    (Path("videos") / path).write_bytes(b"1")
    run = _prepared(arguments)
    assert _clip_ids(run) == ["golf/good"]
    (settled,) = run.plan.settled
    assert settled.outcome is outcome
    assert re.search(detail, settled.detail), settled.detail


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["Golf"], "must differ in more than case, .* got 'Golf' in videos/ and 'golf' in videos/"),
        ([], "videos must hold videos as <class>/<file>, got no video file; name the folder above"),
    ],
)
def test_folder_per_class_that_breaks_a_rule_is_refused(
    lay_out: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    folders: list[str],
    message: str,
) -> None:
    arguments = lay_out("folder")
    for name in folders:
        (Path("videos") / name).mkdir()
        (Path("videos") / name / "x.mp4").write_bytes(b"1")
    if not folders:
        Path("videos/golf/good.mp4").rename("videos/golf/good.txt")
    assert re.search(message, text := _refused(arguments, capsys)), text


@pytest.mark.slow
def test_build_of_a_spoilt_csv_ends_with_one_ledger_row_per_line(
    lay_out: Callable[..., list[str]], video_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row for dataset, row, outcome, _ in ROWS if dataset == "csv" and outcome and "\n" not in row
    ]
    arguments = lay_out("csv", damaged=(CSV + "\n".join(["good.mp4,golf,,,val", *rows])).encode())
    Path("videos/good.mp4").write_bytes((video_set / "videos" / "a.mp4").read_bytes())
    assert main(["build", *arguments, "--max-failed-fraction", "1"]) == 0
    printed = capsys.readouterr()
    assert f"{len(rows) + 1} rows: {len(rows) - 3} bad_annotation, 1 duplicate" in printed.out
    assert "Traceback" not in printed.err
    assert main(["verify", "out"]) == 0
