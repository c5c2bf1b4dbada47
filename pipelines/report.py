"""Write the report: one HTML page that needs no other file and no network."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from pipelines.finished_output import FinishedOutput
from pipelines.report_clips import choose_clips, make_film
from pipelines.report_data import page_data
from schemas.errors import ConfigError


def write_report(outputs: Sequence[FinishedOutput], *, path: str, num_clips: int) -> int:
    """Write the page about some outputs.

    Args:
        outputs: At least one.
        path: The HTML file to write, local; replaced if it exists.
        num_clips: How many clips play on the page.

    Returns:
        Bytes of the page.

    Raises:
        ConfigError: If path is a folder, or its folder does not exist.
        ShardError: If a shard is missing or damaged.
    """
    target = Path(path)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ConfigError(f"report must be a file in an existing folder, got {path}")
    chosen = choose_clips(outputs, num_clips)
    films = [film for output, row in chosen if (film := make_film(output, row)) is not None]
    page = fill_page(page_data(outputs, films)).encode("utf-8")
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.write_bytes(page)
    unfinished.replace(target)
    return len(page)


def fill_page(data: dict[str, Any]) -> str:
    """Return the page.

    The browser runs only the script and uses only the style whose hashes the page names, and
    connects to nothing; texts of the data set stay texts.

    Args:
        data: From `page_data`.
    """
    folder = files("pipelines").joinpath("report_page")
    page, style, script = (
        folder.joinpath(name).read_text("utf-8") for name in ("page.html", "style.css", "script.js")
    )
    # JSON in ASCII has these three characters only inside texts.
    plain = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    return Template(page).substitute(
        title=escape(", ".join(each["name"] for each in data["outputs"])),
        policy=escape(_policy(style, script)),
        style=style,
        data=plain,
        script=script,
    )


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy of the page."""
    rules = {
        "default-src": "'none'",
        "script-src": _hash_source(script),
        "style-src": _hash_source(style),
        "img-src": "data:",
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
