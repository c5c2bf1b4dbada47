"""The label map: label texts in index order, the same in every run."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Label texts; the index of a label is its position.

    Raises:
        ValueError: If a label is empty, holds a line break or stands twice.
    """

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        for text in self.texts:
            if not text.strip() or "\n" in text or "\r" in text:
                raise ValueError(f"label must be one non-empty line, got {text!r}")
        if len(set(self.texts)) != len(self.texts):
            twice = sorted(text for text, number in Counter(self.texts).items() if number > 1)
            raise ValueError(f"labels must be unique, got twice: {twice}")

    def __len__(self) -> int:
        return len(self.texts)

    def __contains__(self, text: object) -> bool:
        return text in self.texts

    def to_text(self) -> str:
        """Return the content of `label_map.txt`: one label a line, in index order."""
        return "".join(f"{text}\n" for text in self.texts)


def sorted_label_map(texts: Iterable[str]) -> LabelMap:
    """Return the map of the distinct labels in code-point order.

    This is the order of the published Kinetics and HMDB51 label maps (raw names are sorted,
    before any space becomes an underscore).
    """
    return LabelMap(tuple(sorted(set(texts))))


def parse_label_map(text: str) -> LabelMap:
    """Return the map that `LabelMap.to_text` wrote.

    Line ends may be those of any system; blank lines at the end are ignored.

    Raises:
        ValueError: As `LabelMap`; a blank line between labels is an empty label.
    """
    lines = _LINE_END.split(text.rstrip("\r\n"))
    return LabelMap(tuple(lines) if lines != [""] else ())
