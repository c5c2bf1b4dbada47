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


def install_line(libraries: list[str]) -> str:
    """Return the Debian and Ubuntu command that installs shared libraries.

    Args:
        libraries: Names from `missing_libraries`.
    """
    packages = " ".join(sorted({_DEBIAN_PACKAGES[name] for name in libraries}))
    return f"apt-get install -y {packages}"
