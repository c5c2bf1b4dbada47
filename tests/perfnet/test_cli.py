"""The command line: frozen names, exit statuses, errors that say what to do."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perfnet import cli
from perfnet.cli import COMMANDS, main
from perfnet.run_options import take_preset
from schemas.clip_record import ClipRecord

FIT = {
    *("--shards", "--output", "--modality", "--val-shards", "--init", "--batch-size"),
    *("--init-weights", "--init-body", "--norm-momentum"),
    *("--accumulate", "--precision", "--compile", "--channels-last", "--save-memory"),
    *("--workers", "--seed", "--on-corrupt", "--log-every", "--checkpoint-every"),
    *("--keep-checkpoints", "--evaluate-every", "--model.name", "--model.dropout"),
    *("--model.width-multiplier", "--model.depth-multiplier", "--model.gate-position"),
    *("--model.padding", "--view.num-frames", "--view.height", "--view.width"),
    *("--view.no-mirror", "--view.contrast", "--view.brightness", "--view.padding"),
    *("--view.pose-source", "--view.pose-mirror", "--eval-view.num-frames"),
    *("--view.num-segments", "--view.crop-scales", "--eval-view.num-segments"),
    *("--model.num-segments", "--schedule.decay", "--schedule.milestones"),
    "--optimizer.per-group",
    *("--model.pas-net.fusion", "--model.pas-net.lambda1", "--model.pas-net.lambda2"),
    *("--model.pas-net.lambda3", "--model.pas-net.lambda4", "--model.pas-net.channel-pool"),
    *("--model.pas-net.conv-kernel", "--model.pas-net.background"),
    *("--model.pas-net.heat-relu", "--model.pas-net.freeze-body"),
    *("--eval-view.num-views", "--schedule.steps", "--schedule.warmup-steps"),
    *("--schedule.learning-rate", "--schedule.cosine", "--optimizer.momentum"),
    *("--optimizer.nesterov", "--optimizer.weight-decay", "--optimizer.clip-norm"),
    "--preset",
}
OPTIONS = {
    "fit": FIT,
    "distill": {
        *FIT,
        *("--distill.teachers", "--distill.mode", "--distill.weight", "--distill.cache"),
    },
    "evaluate": {
        *("--checkpoint", "--shards", "--output", "--view", "--input", "--num-views"),
        *("--batch-size", "--workers", "--on-corrupt"),
    },
    "fuse": {
        *("--shards", "--output", "--view", "--input", "--num-views"),
        *("--batch-size", "--workers", "--on-corrupt"),
    },
    "probe": {
        *("--checkpoint", "--shards", "--test-shards", "--output", "--stages", "--steps"),
        *("--batch-size", "--learning-rate", "--channels", "--input", "--workers", "--seed"),
        "--calibration-batches",
    },
    "gradcam": {
        *("--checkpoint", "--shards", "--clip", "--class", "--output", "--frames", "--input"),
    },
    "profile": {
        *("--num-classes", "--input", "--in-channels", "--json"),
        *("--width-multiplier", "--depth-multiplier"),
    },
    "toy": {
        *("--output", "--seed", "--num-classes", "--train-per-class", "--val-per-class"),
        *("--test-per-class", "--num-frames", "--size-px", "--formats"),
    },
}

TINY = [
    *("--model.width-multiplier", "0.125", "--model.depth-multiplier", "0.34"),
    *("--view.num-frames", "4", "--view.height", "32", "--view.width", "32"),
    *("--eval-view.num-frames", "4", "--eval-view.height", "32", "--eval-view.width", "48"),
    *("--batch-size", "2", "--workers", "0", "--log-every", "1"),
    *("--schedule.steps", "2", "--schedule.warmup-steps", "0"),
    *("--schedule.learning-rate", "0.05"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_option_names_others_script_against_exist(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    shown = set(re.findall(r"--[a-z][a-z0-9.-]*", capsys.readouterr().out))
    assert shown >= OPTIONS[command], f"renamed or lost: {OPTIONS[command] - shown}"


def test_every_command_has_frozen_options_and_a_line_of_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert set(OPTIONS) == set(COMMANDS)
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {command} +\w", text, re.MULTILINE) for command in COMMANDS)


@pytest.mark.slow
def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from perfnet.cli import main; status = main(['--help']); "
        "sys.exit(status or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: perfnet-train COMMAND"),
        (["fti"], "usage: perfnet-train COMMAND"),
        (["fit", "--shards", "s"], "--output"),
        (["fit", "--shrads", "s"], "--shards"),
        (["profile", "r3d"], "invalid choice"),
        (["profile", "s3dg", "--input", "8", "8"], "--input"),
        (["evaluate", "--view", "k400"], "invalid choice"),
    ],
)
def test_typo_ends_with_status_2_and_says_what_is_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.out + printed.err


def test_profile_prints_the_words_that_others_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "r3d50g", "--num-classes", "600", "--input", "250", "256", "256"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "parameters 34027672",
        "gflop 3665.31 (2 per multiply-add)",
        "gmac 1832.66",
    ]


def test_profile_counts_flow_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "profile s3dg --num-classes 400 --input 64 224 224 --in-channels 2 --json"
    assert main(arguments.split()) == 0
    text = capsys.readouterr().out
    assert '"parameters": 9509440' in text  # 9518848 less one colour of the 3x7x7 stem of 64
    assert re.search(r'"gmac": 6\d\.\d+', text)


def test_options_change_what_a_preset_says(shards: Path, tmp_path: Path) -> None:
    run = ["--shards", str(shards), "--output", str(tmp_path), "--batch-size", "4"]
    arguments = ["--preset", "perfnet-r3d50g", *run, "--view.height", "64", "--seed", "3"]
    recipe, others = take_preset("fit", arguments)
    assert recipe is not None
    assert (recipe.batch_size, recipe.batch_size * recipe.accumulate) == (4, 2048)
    assert recipe.view.height == 224
    assert others == ["--view.height", "64", "--seed", "3"]
    assert take_preset("fit", run) == (None, run)


def test_preset_reaches_the_run(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "perfnet.training.distill_run.distill", lambda config: seen.append(config.fit)
    )
    monkeypatch.setattr(
        "perfnet.training.fit.fit", seen.append
    )  # after distill_run imported the real one
    run = ["--preset=perfnet-s3dg", "--shards", str(shards), "--output", str(tmp_path)]
    small = ["--batch-size", "2", "--model.dropout", "0.5"]
    assert main(["fit", *run, *small]) == 0
    assert main(["distill", *run, *small, "--distill.teachers", "t"]) == 0
    for config in seen:
        assert (config.model.name, config.model.dropout) == ("s3dg", 0.5)
        assert config.batch_size * config.accumulate == 306
        assert config.eval_view.num_frames == 250
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "perfnet"], "invalid choice"),
        (["--preset", "d3d", "--output", "o"], "--shards"),
        (
            ["--preset", "d3d", "--output", "o", "--shards", "s", "--batch-size", "4"],
            "batch_size must divide the 306",
        ),
        (
            [
                "--preset",
                "d3d",
                *("--output", "o", "--shards", "s", "--batch-size", "2"),
                "--lr",
                "1",
            ],
            "--lr",
        ),
    ],
)
def test_preset_that_does_not_fit_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_toy_writes_shards_that_a_network_learns_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--num-classes", "3", "--train-per-class", "2", "--val-per-class", "1"]
    toy = str(tmp_path / "toy")
    assert main(["toy", "-o", toy, *small, "--test-per-class", "0"]) == 0
    assert capsys.readouterr().out.startswith(f"{toy}/train, {toy}/val; ")
    run = ["--shards", f"{toy}/train", "--val-shards", f"{toy}/val"]
    assert main(["fit", *run, "--output", str(tmp_path / "run"), *TINY]) == 0
    assert "of 3 clips" in capsys.readouterr().out


@pytest.mark.slow
def test_chain_of_commands_on_tiny_networks(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for modality in ("rgb", "flow"):
        run = ["--shards", str(shards), "--output", str(tmp_path / modality)]
        arguments = ["fit", *run, "--modality", modality, "--val-shards", str(shards), *TINY]
        assert main(arguments) == 0
        printed = capsys.readouterr()
        assert re.search(
            r"^2 steps in [\d.]+ s, [\d.]+ clips/s; loss [\d.]+; validation top-1 [\d.]+%.*; "
            r"checkpoint .*step-00000002\.pt\n$",
            printed.out,
        )
        assert "step 2: loss " in printed.err
        assert main(arguments) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("nothing to do: all 2 steps are done")
        assert "all 2 steps are done\n" in printed.err
    run = ["--shards", str(shards), "--output", str(tmp_path / "student")]
    assert main(["distill", *run, "--distill.teachers", str(tmp_path / "flow"), *TINY]) == 0
    printed = capsys.readouterr()
    assert "2 steps in " in printed.out
    assert "distillation " in printed.err
    looks = ["--workers", "0", "--shards", str(shards)]
    rgb, flow = str(tmp_path / "rgb"), str(tmp_path / "flow")
    assert main(["evaluate", "--checkpoint", rgb, "-o", str(tmp_path / "e"), *looks]) == 0
    assert "of 11 clips" in capsys.readouterr().out
    fused = str(tmp_path / "f")
    assert main(["fuse", str(tmp_path / "e"), flow, "-o", fused, *looks]) == 0
    assert f"result in {fused}" in capsys.readouterr().out
    picture = str(tmp_path / "heat.png")
    run = ["--checkpoint", rgb, flow, "--shards", str(shards), "--clip", "clip-04"]
    assert main(["gradcam", *run, "--class", "wave", "-o", picture]) == 0
    assert f"result in {picture}" in capsys.readouterr().out
    run = ["--checkpoint", rgb, "--test-shards", str(shards), "-o", str(tmp_path / "p"), *looks]
    small = ["--steps", "1", "--batch-size", "2", "--channels", "4", "--stages", "2"]
    assert main(["probe", *run, *small, "--calibration-batches", "1"]) == 0
    assert "\nstage 2 " in capsys.readouterr().out


def test_helping_process_prints_no_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("perfnet.training.fit.fit", lambda _config: Path("x"))
    assert main(["fit", "--shards", "s", "--output", "o"]) == 0
    assert capsys.readouterr().out == ""


def test_long_evaluation_says_how_far_it_is(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("perfnet.evaluation.evaluate._SECONDS_BETWEEN_LINES", -1.0)
    run = ["--shards", str(shards), "--output", str(tmp_path / "run")]
    assert main(["fit", *run, *TINY]) == 0
    looks = ["--shards", str(shards), "--workers", "0", "--batch-size", "4"]
    for command in (["evaluate", "--checkpoint"], ["fuse", str(tmp_path / "run")]):
        capsys.readouterr()
        assert main([*command, str(tmp_path / "run"), "-o", str(tmp_path / "e"), *looks]) == 0
        assert "evaluated 8 of 11 views of clips\n" in capsys.readouterr().err


def _fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status, and the one line that the program printed."""
    status = main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("perfnet-train: ")
    return status, line


def test_setting_out_of_range_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--shards", "s", "--output", "o", "--batch-size", "0"]) == 2
    assert "batch_size must be >= 1, got 0" in capsys.readouterr().err


def test_folder_without_shards_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["fit", "--shards", str(tmp_path), "--output", str(tmp_path / "out"), *TINY]
    status, line = _fails(run, capsys)
    assert status == 2
    assert "without the file COMPLETED; finish the build, or check the path" in line


def test_missing_shard_and_missing_stream_say_what_to_do(
    write_shards: Callable[..., Path],
    records: list[ClipRecord],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_shards(records[:2], num_shards=1)
    next((folder / "parquet").glob("**/*00000-of-00001*")).unlink()
    run = ["fit", "--shards", str(folder), "--output", str(tmp_path / "out"), *TINY]
    assert main(run) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "shard must exist, got no file" in last
    assert "`perfnet-prep build` again" in last
    info = (folder / "run.json").read_text()
    (folder / "run.json").write_text(info.replace('"flow", ', ""))
    status, line = _fails([*run, "--modality", "flow"], capsys)
    assert status == 2
    assert "flow must be in the shards" in line
    assert "--modalities rgb pose flow" in line


def test_missing_checkpoint_is_one_line(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["evaluate", "--shards", str(shards), "-o", str(tmp_path / "out")]
    status, line = _fails([*run, "--checkpoint", str(tmp_path / "none.pt")], capsys)
    assert (status, "checkpoint must exist, got no file" in line) == (2, True)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fit", "interrupted; the same command goes on from the newest checkpoint"),
        ("evaluate", "interrupted"),
    ],
)
def test_interrupt_is_status_130(
    command: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(_arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, command, cli.Command(interrupt, ""))
    assert _fails([command], capsys) == (130, f"perfnet-train: {message}")


def test_full_gpu_says_what_takes_less(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_arguments: list[str]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nMore")

    monkeypatch.setitem(cli.COMMANDS, "fit", cli.Command(fail, ""))
    status, line = _fails(["fit"], capsys)
    assert (status, line.endswith("Tried to allocate 9 GiB.")) == (1, True)
    assert "smaller --batch-size" in line


def test_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: list[str]) -> None:
        raise TypeError("bug")

    monkeypatch.setitem(cli.COMMANDS, "fit", cli.Command(fail, ""))
    with pytest.raises(TypeError, match="bug"):
        main(["fit"])
