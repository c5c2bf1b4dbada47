"""Versions of what makes a record or a network, for its provenance."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PIXEL_PACKAGES = (
    *("perfnet-prep", "av", "decord", "mediapipe", "numba", "numpy", "opencv-contrib-python"),
)
_OTHER_PACKAGES = ("apache-beam", "pyarrow", "protobuf")


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the installed versions; packages that are not installed are left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def software_text() -> str:
    """Return "name=version name=version" of the packages that can change a pixel."""
    return " ".join(f"{name}={each}" for name, each in package_versions(_PIXEL_PACKAGES).items())


def environment() -> dict[str, str]:
    """Return what `run.json` of a build says of its surroundings."""
    return environment_with(_PIXEL_PACKAGES + _OTHER_PACKAGES)


def environment_with(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of these packages, Python and the system, and the git commit if any."""
    found = package_versions(packages)
    found["python"] = platform.python_version()
    found["system"] = f"{platform.system()} {platform.machine()}"
    commit = _git_commit()
    if commit:
        found["git_commit"] = commit
    return found


def _git_commit() -> str:
    """Commit of the checkout this file lies in; "" for an installed package."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
