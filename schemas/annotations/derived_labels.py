"""Label maps made from the labels of the annotation rows."""

import re
import unicodedata
from collections.abc import Mapping

from schemas.annotations.fields import is_usable_label, show
from schemas.errors import ConfigError
from schemas.labels import LabelMap, sorted_label_map

_SPACES = re.compile(r"[\s_]+")


def derive_label_map(first_seen: Mapping[str, str]) -> LabelMap:
    """Return the sorted map of labels; those that are no line of text are left to their rows.

    Args:
        first_seen: Where each label stands first, as `file:line`.

    Raises:
        ConfigError: If two labels differ only in case, spaces or underscores.
    """
    labels = [text for text in first_seen if text.strip() and is_usable_label(text)]
    check_distinct({text: first_seen[text] for text in labels})
    return sorted_label_map(labels)


def check_distinct(first_seen: Mapping[str, str]) -> None:
    """Raise if two labels differ only in case, spaces or underscores: one class, typed twice.

    Args:
        first_seen: Where each label stands first, as `file:line`.

    Raises:
        ConfigError: Naming both.
    """
    by_form: dict[str, str] = {}
    for text, source in first_seen.items():
        other = by_form.setdefault(fold_label(text), text)
        if other != text:
            raise ConfigError(
                "labels must differ in more than case, spaces and underscores, got "
                f"{show(other)} in {first_seen[other]} and {show(text)} in {source}; "
                "write them alike, or list both in a file and give it as --label-map"
            )


def fold_label(text: str) -> str:
    """Return the label without case, with single spaces for all kinds and numbers of them."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
