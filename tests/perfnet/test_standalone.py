"""The data part works where neither Beam nor TensorFlow is, and its documented example runs."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "shard-dataset.md"

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""
READ = """
import sys
from perfnet import ShardDataset, ViewConfig, collate_clips
view = ViewConfig(num_frames=4, height=24, width=32)
dataset = ShardDataset(sys.argv[1], modalities=("rgb", "flow", "pose"), view=view)
batch = collate_clips([dataset[0], dataset[1]])
assert batch["pose"].shape == (2, 4, 24, 32, 3)
loaded = {name.split(".")[0] for name in sys.modules}
print(sorted(loaded & {"apache_beam", "tensorflow", "torchvision", "av", "mediapipe", "numba"}))
"""


def _example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(code)


@pytest.mark.slow
def test_shards_are_read_without_beam_and_tensorflow(shards: Path) -> None:
    blocked = BLOCK.format(blocked={"apache_beam", "tensorflow", "torchvision", "accelerate"})
    run = subprocess.run(
        [sys.executable, "-c", blocked + READ, str(shards)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_shards_are_read_in_an_environment_with_the_needed_packages_alone(
    shards: Path, tmp_path: Path
) -> None:
    # A new environment that sees, of this one, only the named packages and what they load.
    venv.create(tmp_path / "venv", with_pip=False)
    here = Path(sysconfig.get_paths()["purelib"])
    unneeded = re.compile(
        r"apache_beam|tensorflow|keras|torchvision|accelerate|tensorboard|numba|av"
    )
    there = tmp_path / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for entry in here.iterdir():
        if not unneeded.match(entry.name) and entry.suffix not in (".pth", ".dist-info"):
            (there / "site-packages" / entry.name).symlink_to(entry)
    program = tmp_path / "read.py"
    program.write_text(
        "import importlib.util\n"
        "assert importlib.util.find_spec('apache_beam') is None\n"
        "assert importlib.util.find_spec('tensorflow') is None\n" + READ
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", program, str(shards)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_example_has_15_lines() -> None:
    assert len([line for line in _example().splitlines() if line.strip()]) <= 15


@pytest.mark.slow
def test_documented_example_runs(shards: Path, tmp_path: Path) -> None:
    code = _example().replace("shards/train", str(shards))
    code = code.replace("num_frames=64, height=224, width=224", "num_frames=4, height=24, width=32")
    program = tmp_path / "example.py"
    program.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("torch.Size([2, 3, 4, 24, 32]) torch.Size([2, 2, 4, 24, 32])") == 4
