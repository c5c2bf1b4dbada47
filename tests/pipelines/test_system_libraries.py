"""Missing system libraries are named with the line that installs them."""

import ctypes
import sys

import pytest

from pipelines import __main__ as entry
from pipelines.system_libraries import describe_missing, missing_libraries


def test_libraries_of_a_working_machine_are_found() -> None:
    assert missing_libraries() == []


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name == "libGL.so.1":
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(sys, "platform", "linux")
    assert missing_libraries() == ["libGL.so.1"]


def test_nothing_is_looked_for_outside_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert missing_libraries() == []


def test_message_ends_with_the_line_to_run() -> None:
    message = describe_missing(["libxcb.so.1", "libGL.so.1"])
    assert message.endswith("run: apt-get install -y libgl1 libxcb1\n")


def test_command_stops_before_it_imports_opencv(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "missing_libraries", lambda: ["libGL.so.1"])
    with pytest.raises(SystemExit) as stopped:
        entry.main_exit()
    assert stopped.value.code == 2
    assert "apt-get install -y libgl1" in capsys.readouterr().err
