"""Accuracies are those counted by hand; fusion adds logits; files say what was found."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perfnet import SampleKey, ShardDataset, ViewConfig, to_model_input
from perfnet.evaluation.evaluate import EvalConfig, predict
from perfnet.evaluation.evaluate_run import EvaluateConfig, evaluate
from perfnet.evaluation.fuse_run import FuseConfig, fuse
from perfnet.evaluation.metrics import (
    Accuracy,
    accuracy_of,
    class_accuracies,
    confusion_matrix,
    mean_accuracy,
)
from perfnet.evaluation.network import LookOptions, choose_view, load_network
from perfnet.evaluation.predictions import (
    Predictions,
    fuse_predictions,
    load_predictions,
    save_predictions,
)
from perfnet.models.registry import ModelConfig, make_model
from perfnet.training.checkpoint import ModelCard, save_checkpoint
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError, ShardError

LABELS = ("jump", "squat", "wave")
SMALL = ModelConfig(width_multiplier=0.125, depth_multiplier=0.34)
VIEW = {"num_frames": 6, "height": 32, "width": 48, "is_random": False}


def _predictions(labels: list[int], logits: list[list[float]], **changes: Any) -> Predictions:
    made = Predictions(
        clip_ids=tuple(f"clip-{n}" for n in range(len(labels))),
        label_indices=np.array(labels, np.int64),
        logits=np.array(logits, np.float32),
        labels=tuple(f"label {n}" for n in range(len(logits[0]))),
    )
    return dataclasses.replace(made, **changes)


# Right, wrong, right, 7th of 7, second by a tie; one without a label.
SEVEN = _predictions(
    [0, 0, 0, 1, 2, -1],
    [
        [9, 1, 1, 1, 1, 1, 1],
        [1, 9, 1, 1, 1, 1, 1],
        [9, 1, 1, 1, 1, 1, 1],
        [8, 1, 9, 7, 6, 5, 4],
        [0, 0, 5, 5, 0, 0, 0],
        [9, 9, 9, 9, 9, 9, 9],
    ],
)


def test_accuracy_is_that_counted_by_hand() -> None:
    assert accuracy_of(SEVEN) == Accuracy(
        top1=pytest.approx(3 / 5),
        top5=pytest.approx(4 / 5),
        mean_class=pytest.approx((2 / 3 + 0 + 1) / 3),
        num_clips=5,
    )


def test_rows_of_the_classes_are_those_counted_by_hand() -> None:
    matrix = confusion_matrix(SEVEN)
    assert matrix.sum() == 5
    assert matrix[0].tolist() == [2, 1, 0, 0, 0, 0, 0]
    first, second, third, empty, *_ = class_accuracies(SEVEN)
    assert first[1:] == (3, pytest.approx(2 / 3), 1.0, "label 1", pytest.approx(1 / 3))
    assert second[1:] == (1, 0.0, 0.0, "label 2", 1.0)
    assert third[1:] == (1, 1.0, 1.0, "", 0.0)
    assert (empty.num_clips, empty.taken_for) == (0, "")
    assert np.isnan(empty.top1)


def test_mean_over_splits_weighs_each_alike() -> None:
    mean = mean_accuracy([Accuracy(0.2, 0.4, 0.1, 10), Accuracy(0.4, 0.8, 0.5, 1000)])
    assert mean == pytest.approx((0.3, 0.6, 0.3, 1010))


def test_unlabelled_clips_have_no_accuracy() -> None:
    with pytest.raises(ConfigError, match="must have labelled clips, got none"):
        accuracy_of(_predictions([-1], [[0.0, 1.0]]))


def test_fusion_adds_logits_not_probabilities() -> None:
    one, other = _predictions([1], [[0.0, 3.0, 2.9]]), _predictions([1], [[50.0, 0.0, 49.0]])
    fused = fuse_predictions([one, other])
    np.testing.assert_allclose(fused.logits, [[50.0, 3.0, 51.9]])
    assert fused.logits.argmax() == 2  # probabilities would choose class 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "b", "c")}, "must have the same labels"),
        ({"clip_ids": ("clip-7",)}, "must be of the same clips, got 2 that some lack"),
        ({"label_indices": np.array([2])}, "must agree on the label of every clip"),
    ],
)
def test_what_does_not_belong_together_is_not_fused(changes: dict[str, Any], message: str) -> None:
    one = _predictions([1], [[0.0, 1.0, 2.0]])
    with pytest.raises(ConfigError, match=message):
        fuse_predictions([one, dataclasses.replace(one, **changes)])


def test_predictions_come_back_from_their_file(tmp_path: Path) -> None:
    save_predictions(SEVEN, tmp_path / "p.parquet")
    back = load_predictions(tmp_path / "p.parquet")
    assert (back.clip_ids, back.labels) == (SEVEN.clip_ids, SEVEN.labels)
    np.testing.assert_array_equal(back.logits, SEVEN.logits)
    np.testing.assert_array_equal(back.label_indices, SEVEN.label_indices)
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(ConfigError, match="must be a file of `perfnet-train evaluate`"):
        load_predictions(tmp_path / "no.parquet")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks with random weights for frames and flow, and one for other labels."""
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {}
    for name, channels, labels in (
        ("rgb", 3, LABELS),
        ("flow", 2, LABELS),
        ("other", 3, ("run", "sit", "wave")),
    ):
        torch.manual_seed(channels)
        model = make_model(SMALL, num_classes=3, in_channels=channels)
        torch.nn.init.normal_(model.head.weight)
        modality: Any = "flow" if name == "flow" else "rgb"
        card = ModelCard(model=SMALL, modality=modality, in_channels=channels, labels=labels)
        paths[name] = folder / f"{name}.pt"
        training = {"config": {"eval_view": VIEW}}
        save_checkpoint(paths[name], card=card, weights=model.state_dict(), training=training)
    return paths


def _options(**values: Any) -> dict[str, Any]:
    return {"workers": 0, "batch_size": 4, **values}


def test_views_of_a_clip_are_averaged(checkpoints: dict[str, Path], shards: Path) -> None:
    network = load_network(checkpoints["rgb"])
    view = ViewConfig(num_views=3, **VIEW)
    found = predict(network.model, network.card, shards, EvalConfig(view=view, workers=0))
    dataset = ShardDataset(shards, view=view)
    clip = dataset.clip_ids.index("clip-08")
    rows = []
    for number in range(3):
        codes = dataset[SampleKey(clip, view=number)]["rgb"][None]
        with torch.no_grad():
            rows.append(network.model(to_model_input({"rgb": codes}, "rgb"))[0].numpy())
    own = found.logits[found.clip_ids.index("clip-08")]
    np.testing.assert_allclose(own, np.mean(rows, axis=0), atol=1e-5)
    assert np.abs(rows[0] - rows[2]).max() > 1e-4  # the windows do differ


def test_view_is_that_of_the_training_run_unless_told(checkpoints: dict[str, Path]) -> None:
    network = load_network(checkpoints["rgb"])
    assert choose_view(network, LookOptions()) == ViewConfig(**VIEW)
    ucf = choose_view(network, LookOptions(view="ucf101", num_views=2))
    assert (ucf.num_frames, ucf.height, ucf.width, ucf.num_views) == (128, 224, 298, 2)
    own = choose_view(network, LookOptions(input=(4, 24, 32)))
    assert (own.num_frames, own.height, own.width) == (4, 24, 32)


def test_evaluation_leaves_all_files(
    checkpoints: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        checkpoint=(checkpoints["rgb"],), shards=(shards,), output=tmp_path / "out", **_options()
    )
    accuracy = evaluate(config)
    saved = load_predictions(tmp_path / "out" / "predictions.parquet")
    assert saved.clip_ids == tuple(f"clip-{n:02d}" for n in range(11))
    assert accuracy_of(saved) == accuracy
    found = json.loads((tmp_path / "out" / "accuracy.json").read_text())
    assert found["top1"] == accuracy.top1
    assert found["splits"][0]["num_clips"] == 11
    with (tmp_path / "out" / "confusion.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["class", *LABELS]
    counts = np.array([row[1:] for row in rows], np.int64)
    np.testing.assert_array_equal(counts, confusion_matrix(saved))
    with (tmp_path / "out" / "classes.csv").open(newline="") as file:
        classes = list(csv.DictReader(file))
    assert [row["label"] for row in classes] == list(LABELS)
    assert [int(row["num_clips"]) for row in classes] == [4, 4, 3]
    for name in ("confusion.png", "classes.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_splits_are_averaged_and_fused_split_by_split(
    checkpoints: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    outputs = []
    for name in ("rgb", "flow"):
        outputs.append(tmp_path / name)
        config = EvaluateConfig(
            checkpoint=(checkpoints[name],) * 2,
            shards=(shards, shards),
            output=outputs[-1],
            **_options(),
        )
        accuracy = evaluate(config)
        values = json.loads((outputs[-1] / "accuracy.json").read_text())
        assert values["top1"] == accuracy.top1
        assert [split["num_clips"] for split in values["splits"]] == [11, 11]
    fuse(FuseConfig(sources=tuple(outputs), output=tmp_path / "fused", **_options()))
    for split in ("split-1", "split-2"):
        parts = [load_predictions(path / split / "predictions.parquet") for path in outputs]
        fused = load_predictions(tmp_path / "fused" / split / "predictions.parquet")
        np.testing.assert_allclose(fused.logits, parts[0].logits + parts[1].logits, rtol=1e-6)


def test_checkpoints_and_predictions_fuse_in_any_mixture(
    checkpoints: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    done = tmp_path / "flow"
    flow = EvaluateConfig(
        checkpoint=(checkpoints["flow"],), shards=(shards,), output=done, **_options()
    )
    evaluate(flow)
    sources = (checkpoints["rgb"], done / "predictions.parquet")
    fuse(FuseConfig(sources=sources, shards=shards, output=tmp_path / "a", **_options()))
    sources = (checkpoints["rgb"], checkpoints["flow"])
    fuse(FuseConfig(sources=sources, shards=shards, output=tmp_path / "b", **_options()))
    one, other = (load_predictions(tmp_path / name / "predictions.parquet") for name in "ab")
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-6)
    with pytest.raises(ConfigError, match="shards must be given to run checkpoints on"):
        fuse(FuseConfig(sources=sources, output=tmp_path / "c", **_options()))


def test_other_labels_than_those_of_the_checkpoint_are_refused(
    checkpoints: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        checkpoint=(checkpoints["other"],), shards=(shards,), output=tmp_path, **_options()
    )
    with pytest.raises(ConfigError, match=r"labels of the checkpoint \(3, first 'run'\).*build"):
        evaluate(config)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_missing_shard_ends_in_one_line_or_is_left_out(
    workers: int,
    checkpoints: dict[str, Path],
    write_shards: Callable[..., Path],
    records: list[ClipRecord],
    tmp_path: Path,
) -> None:
    folder = write_shards(records)
    next((folder / "parquet").glob("**/*00001-of-00003*")).unlink()
    options = _options(workers=workers, output=tmp_path / "out")
    config = EvaluateConfig(checkpoint=(checkpoints["rgb"],), shards=(folder,), **options)
    with pytest.raises(ShardError, match=r"shard must exist, got no file .*perfnet-prep") as error:
        evaluate(config)
    assert "\n" not in str(error.value)
    lenient = dataclasses.replace(config, on_corrupt="skip")
    assert evaluate(lenient).num_clips == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shards": ()}, "must name as many paths each, in the same order, got 1 and 0"),
        ({"num_views": 0}, "num_views must be >= 1, got 0"),
        ({"input": (8, 0, 32)}, r"input must be three numbers >= 1, got \(8, 0, 32\)"),
        ({"input": (8, 8, 8), "view": "k600"}, "view must be left out beside input, got k600"),
    ],
)
def test_impossible_evaluation_is_refused(changes: dict[str, Any], message: str) -> None:
    values = {"checkpoint": (Path("c"),), "shards": (Path("s"),), "output": Path("o")}
    with pytest.raises(ConfigError, match=message):
        EvaluateConfig(**{**values, **changes})


def test_one_network_is_nothing_to_fuse() -> None:
    with pytest.raises(ConfigError, match="SOURCE must name two networks or more to fuse, got 1"):
        FuseConfig(sources=(Path("a"),), output=Path("o"))
