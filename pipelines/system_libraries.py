"""Shared libraries of the system that the wheels of OpenCV and MediaPipe link against."""

import ctypes
import sys

_DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
}


def missing_libraries() -> list[str]:
    """Return the names of the shared libraries that cannot be loaded; [] outside Linux."""
    if not sys.platform.startswith("linux"):
        return []
    missing = []
    for name in _DEBIAN_PACKAGES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def describe_missing(libraries: list[str]) -> str:
    """Return what to tell the user: which libraries are missing and how to install them.

    Args:
        libraries: Names from `missing_libraries`, at least one.
    """
    packages = " ".join(sorted({_DEBIAN_PACKAGES[name] for name in libraries}))
    return (
        f"system libraries that OpenCV and MediaPipe need are missing: {', '.join(libraries)}; "
        f"on Debian or Ubuntu run: apt-get install -y {packages}\n"
    )


if __name__ == "__main__":
    absent = missing_libraries()
    sys.exit(describe_missing(absent) if absent else 0)
