"""The commands of a page of the documentation, as a shell would run them."""

import re
import shutil
import subprocess
from pathlib import Path

_RECORD = """
record() { printf '%s\\0' "$#" "$@"; }
perfnet-prep() { record perfnet-prep "$@"; }
perfnet-train() { record perfnet-train "$@"; }
accelerate() { record accelerate "$@"; }
pip() { :; }
"""


def code_blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code that open with exactly this line behind the fence."""
    pattern = rf"^```{re.escape(language)}\n(.*?)^```$"
    return re.findall(pattern, page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def expand_commands(script: str) -> list[list[str]]:
    """Return the arguments of every command, with loops, functions and variables resolved.

    Args:
        script: Blocks of shell code. Nothing of it is run but the shell's own.
    """
    shell = shutil.which("bash")
    assert shell is not None
    command = [shell, "-euc", _RECORD + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    words = done.stdout.split("\0")[:-1]
    commands = []
    while words:
        number = int(words[0])
        commands.append(words[1 : number + 1])
        words = words[number + 1 :]
    return commands
