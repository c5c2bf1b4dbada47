"""What docs/training.md tells people to type, run as it stands on shards of real videos."""

import csv
import io
import json
import math
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

import perfnet.cli
import pipelines.cli
from perfnet import ShardDataset, ViewConfig
from perfnet.evaluation.metrics import Accuracy
from perfnet.evaluation.predictions import load_predictions
from perfnet.training.checkpoint import load_checkpoint
from pose.assets import MEDIAPIPE_POSE, asset_path
from tests.perfnet.documented_commands import code_blocks, expand_commands

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
NETWORKS = ("r3d50g", "s3dg")
STREAMS = ("rgb", "flow", "pose")
RESULTS = (*STREAMS, "fused", "student")
PAS_NET = ("eco_lite", "pas_net")

VIDEOS = {
    "bow": "hmdb51/6arrowswithin30seconds_shoot_bow_f_nm_np1_fr_med_3.avi",
    "wave": "hmdb51/RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "yoyo": "ucf101/v_YoYo_g25_c03.avi",
}
"""Videos in which people are found at small sizes, by class."""
CLIP_FRAMES = 10


@dataclass(frozen=True, kw_only=True)
class WalkThrough:
    """What the commands left behind."""

    folder: Path
    commands: list[list[str]]
    printed: list[str] = field(default_factory=list)
    """Standard output of each command."""
    hashes: dict[str, list[str]] = field(default_factory=dict)
    """Digest of every checkpoint after each command."""

    def said(self, *words: str) -> str:
        """What the one command with all these words printed."""
        pairs = zip(self.commands, self.printed, strict=True)
        (text,) = [text for command, text in pairs if set(words) <= set(command)]
        return text


def _write_clip(frames: list[npt.NDArray[np.uint8]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _cut_clips(corpus: Path, folder: Path) -> None:
    """Two short training clips and a validation clip of each class, of other frames."""
    for label, name in VIDEOS.items():
        with av.open(str(corpus / "videos" / name)) as container:
            frames = [
                cv2.resize(frame.to_ndarray(format="rgb24"), (240, 180))
                for frame, _ in zip(container.decode(video=0), range(3 * CLIP_FRAMES), strict=False)
            ]
        for place, clip in enumerate(("train/{}/one", "train/{}/two", "val/{}/three")):
            part = frames[place * CLIP_FRAMES : (place + 1) * CLIP_FRAMES]
            _write_clip(part, folder / f"{clip.format(label)}.mp4")


def _run(command: list[str]) -> str:
    program = {"perfnet-prep": pipelines.cli.main, "perfnet-train": perfnet.cli.main}[command[0]]
    with redirect_stdout(io.StringIO()) as printed:
        status = program(command[1:])
    assert status == 0, command
    return printed.getvalue()


@pytest.fixture(scope="module")
def walk(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalkThrough]:
    """All commands of the part in miniature, run one after the other in an empty folder."""
    if not asset_path(MEDIAPIPE_POSE).is_file():
        pytest.skip("pose model not fetched; run: perfnet-prep models fetch")
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("walk")
    _cut_clips(corpus, folder / "clips")
    commands = expand_commands("\n".join(code_blocks(PAGE, "sh run")))
    found = WalkThrough(folder=folder, commands=commands)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            found.printed.append(_run(command))
            for path in sorted(Path("runs").glob("*/checkpoints/*.pt")):
                digest = sha256(path.read_bytes()).hexdigest()
                found.hashes.setdefault(path.parts[1], []).append(digest)
        yield found
    torch.set_num_threads(number)


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
class TestMiniature:
    @pytest.mark.parametrize("result", RESULTS)
    def test_every_network_and_the_fusion_are_evaluated(
        self, walk: WalkThrough, network: str, result: str
    ) -> None:
        folder = walk.folder / "results" / f"{network}-{result}"
        accuracy = json.loads((folder / "accuracy.json").read_text("utf-8"))
        assert all(0 <= accuracy[name] <= 1 for name in ("top1", "top5", "mean_class"))
        assert accuracy["num_clips"] == len(VIDEOS)
        with (folder / "confusion.csv").open(encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header == ["class", *VIDEOS]
        counts = np.array([[int(value) for value in row[1:]] for row in rows])
        assert counts.sum(axis=1).tolist() == [1] * len(VIDEOS)
        assert np.trace(counts) / counts.sum() == pytest.approx(accuracy["top1"])
        with (folder / "classes.csv").open(encoding="utf-8") as file:
            classes = list(csv.DictReader(file))
        assert [row["label"] for row in classes] == list(VIDEOS)
        for name in ("confusion.png", "classes.png"):
            assert cv2.imread(str(folder / name)).std() > 5

    def test_fusion_is_the_sum_of_the_streams(self, walk: WalkThrough, network: str) -> None:
        results = walk.folder / "results"
        files = [results / f"{network}-{name}" / "predictions.parquet" for name in STREAMS]
        wanted = sum(load_predictions(path).logits for path in files)
        fused = load_predictions(results / f"{network}-fused" / "predictions.parquet")
        np.testing.assert_allclose(fused.logits, wanted, rtol=1e-6)

    def test_streams_are_different_inputs(self, walk: WalkThrough, network: str) -> None:
        cards = [load_checkpoint(walk.folder / f"runs/{network}-{name}").card for name in STREAMS]
        assert [card.modality for card in cards] == list(STREAMS)
        assert [card.in_channels for card in cards] == [3, 2, 3]
        assert {card.model.name for card in cards} == {network}

    def test_teachers_are_as_they_were_before_the_distillation(
        self, walk: WalkThrough, network: str
    ) -> None:
        for stream in STREAMS:
            digests = walk.hashes[f"{network}-{stream}"]
            assert len(digests) > len(STREAMS)
            assert len(set(digests)) == 1

    def test_student_needs_rgb_alone(self, walk: WalkThrough, network: str, tmp_path: Path) -> None:
        student = walk.folder / "runs" / f"{network}-student"
        card = load_checkpoint(student).card
        assert (card.modality, card.in_channels) == ("rgb", 3)
        rgb = walk.folder / f"rgb-{network}"
        build = walk.commands[1][:]
        build[build.index("--output") + 1] = str(rgb)
        start = build.index("--modalities")
        build[start + 2 : start + 4] = []
        _run([*build, "--reuse", "shards/val"])
        evaluate = ["perfnet-train", "evaluate", "--checkpoint", str(student), "--workers", "0"]
        _run([*evaluate, "--shards", str(rgb), "--output", str(tmp_path)])
        usual = walk.folder / "results" / f"{network}-student" / "predictions.parquet"
        found = load_predictions(tmp_path / "predictions.parquet")
        np.testing.assert_array_equal(found.logits, load_predictions(usual).logits)

    def test_heat_lies_over_every_stream(self, walk: WalkThrough, network: str) -> None:
        picture = f"results/{network}-gradcam.png"
        clip, *rows, last = walk.said("gradcam", picture).splitlines()
        assert clip in ShardDataset(walk.folder / "shards" / "val").clip_ids
        assert [row.split()[0] for row in rows] == [*STREAMS, "rgb"]
        assert last == f"result in {picture}"
        pixels = cv2.imread(str(walk.folder / picture)).astype(int)
        assert pixels.shape[1] > 1000
        blue, green, red = np.moveaxis(pixels, -1, 0)
        hot = (red - blue > 60) & (red - green > 30)
        cold = sum("nothing speaks for it" in row for row in rows)
        assert cold < len(rows) / 2
        assert hot.mean() > 0.01

    def test_profile_counts_the_networks_that_were_trained(
        self, walk: WalkThrough, network: str
    ) -> None:
        weights = load_checkpoint(walk.folder / "runs" / f"{network}-rgb").weights
        number = sum(
            math.prod(value.shape)
            for name, value in weights.items()
            if "running" not in name and "num_batches" not in name
        )
        assert f"parameters {number}\n" in walk.said("profile", network)

    def test_the_same_command_finds_nothing_to_do(self, walk: WalkThrough, network: str) -> None:
        (fit,) = [
            each for each in walk.commands if f"runs/{network}-flow" in each and "fit" in each
        ]
        assert _run(fit).startswith("nothing to do: all 33 steps are done")


@pytest.mark.corpus
@pytest.mark.slow
def test_pan_teaches_a_pan_and_their_logits_are_added(walk: WalkThrough) -> None:
    names = ("lite", "rgb")
    cards = [load_checkpoint(walk.folder / f"runs/pan-{name}").card for name in names]
    assert [card.model.name for card in cards] == ["pan_lite_r50", "pan_rgb_r50"]
    assert len(set(walk.hashes["pan-lite"])) == 1  # the teacher stays as it was
    results = [walk.folder / f"results/pan-{name}/predictions.parquet" for name in names]
    wanted = sum(load_predictions(path).logits for path in results)
    fused = load_predictions(walk.folder / "results/pan-fused/predictions.parquet")
    np.testing.assert_allclose(fused.logits, wanted, rtol=1e-6)
    assert np.isfinite(fused.logits).all()
    assert len(fused.clip_ids) == len(VIDEOS)


@pytest.mark.corpus
@pytest.mark.slow
class TestPasNetInMiniature:
    @pytest.mark.parametrize("result", ["rgb", "pose", "fused", "student"])
    def test_pas_net_is_evaluated(self, walk: WalkThrough, result: str) -> None:
        path = walk.folder / "results" / f"pas_net-{result}" / "accuracy.json"
        assert json.loads(path.read_text("utf-8"))["num_clips"] == len(VIDEOS)

    @pytest.mark.parametrize("stream", ["rgb", "pose"])
    def test_second_training_starts_from_the_first(self, walk: WalkThrough, stream: str) -> None:
        """What ECO-Lite and PAS-Net share is near; eight small steps lie between them."""
        eco, pas = (load_checkpoint(walk.folder / f"runs/{n}-{stream}") for n in PAS_NET)
        assert (eco.card.model.name, pas.card.model.name) == PAS_NET
        names = [name for name in eco.weights if name.endswith("conv.weight")]
        assert len(names) > 15
        for name in names:
            one, other = eco.weights[name].flatten(), pas.weights[name].flatten()
            assert torch.cosine_similarity(one, other, dim=0) > 0.9, name

    def test_heat_lies_over_both_streams(self, walk: WalkThrough) -> None:
        _, *rows, last = walk.said("gradcam", "results/pas_net-gradcam.png").splitlines()
        assert [row.split()[0] for row in rows] == ["rgb", "pose", "rgb"]
        assert last == "result in results/pas_net-gradcam.png"


@pytest.mark.corpus
@pytest.mark.slow
def test_shards_hold_real_poses_and_flow(walk: WalkThrough) -> None:
    view = ViewConfig(num_frames=CLIP_FRAMES, height=96, width=128, is_random=False)
    train = ShardDataset(walk.folder / "shards" / "train", modalities=STREAMS, view=view)
    assert len(train) == 2 * len(VIDEOS)
    samples = [train[place] for place in range(len(train))]
    drawn = [(sample["pose"] != sample["rgb"]).any() for sample in samples]
    assert sum(map(bool, drawn)) >= 4
    assert all(float(sample["flow"].float().std()) > 0.5 for sample in samples)


def test_miniature_has_both_networks_all_streams_and_both_losses() -> None:
    commands = expand_commands("\n".join(code_blocks(PAGE, "sh run")))
    fitted = {
        (command[command.index("--model.name") + 1], command[command.index("--modality") + 1])
        for command in commands
        if command[1] == "fit"
    }
    usual = {(network, stream) for network in NETWORKS for stream in STREAMS}
    of_frames = {(network, stream) for network in PAS_NET for stream in ("rgb", "pose")}
    assert fitted == {*usual, *of_frames, ("pan_lite_r50", "rgb")}
    modes = [
        each[each.index("--distill.mode") + 1] for each in commands if "--distill.mode" in each
    ]
    assert set(modes) == {"separate", "unified"}
    assert {command[1] for command in commands} == {
        *("build", "fit", "distill", "evaluate", "fuse", "gradcam", "profile"),
    }


def test_commands_for_full_size_are_understood(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = expand_commands("\n".join(code_blocks(PAGE, "sh")))
    ran: list[str] = []

    def stand_in(name: str) -> Any:
        return lambda _config: ran.append(name) or Accuracy(0, 0, 0, 1)

    homes = {
        "fit": "training.fit.fit", "distill": "training.distill_run.distill",
        "evaluate": "evaluation.evaluate_run.evaluate", "probe": "probe.probe.probe",
        "fuse": "evaluation.fuse_run.fuse",
    }  # fmt: skip
    monkeypatch.setattr("perfnet.training.presets.load_start", lambda *_: load_checkpoint(start))
    start = _student(tmp_path)
    for name, home in homes.items():
        monkeypatch.setattr(f"perfnet.{home}", stand_in(name))
    monkeypatch.setattr("perfnet.probe.probe.describe_errors", str)
    monkeypatch.chdir(tmp_path)
    Path("shards").mkdir()
    for n in (1, 2, 3):  # a recipe of so many epochs looks how many clips there are
        Path(f"shards/ucf101-train{n}").symlink_to(shards)
    Path("shards/something-train").symlink_to(shards)
    for command in commands:
        program, *arguments = command
        if program == "perfnet-prep":
            options = pipelines.cli.COMMANDS[arguments[0]].options
            assert pipelines.cli.tyro.cli(options, args=arguments[1:])
            continue
        if program == "accelerate":
            assert "-m perfnet" in " ".join(arguments)
            arguments = arguments[arguments.index("perfnet") + 1 :]
        assert perfnet.cli.main(arguments) == 0, command
    assert set(ran) == set(homes)


def _student(folder: Path) -> Path:
    from perfnet.models.registry import ModelConfig, make_model
    from perfnet.training.checkpoint import ModelCard, save_checkpoint

    config = ModelConfig(width_multiplier=0.125, depth_multiplier=0.34)
    card = ModelCard(model=config, modality="rgb", in_channels=3, labels=("a",))
    weights = make_model(config, num_classes=1).state_dict()
    save_checkpoint(folder / "student.pt", card=card, weights=weights, training={})
    return folder / "student.pt"
