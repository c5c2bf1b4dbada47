"""Label maps: stable order, one line a label."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.labels import LabelMap, parse_label_map, sorted_label_map

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)


def test_index_is_the_position() -> None:
    labels = LabelMap(("b", "a", "c"))
    assert labels.texts.index("c") == 2
    assert len(labels) == 3
    assert "a" in labels
    assert "d" not in labels


def test_blank_line_between_labels_is_no_label() -> None:
    with pytest.raises(ValueError, match="label must be one non-empty line, got ''"):
        parse_label_map("a\n\nb\n")


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\r"])
def test_label_that_is_not_one_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^label must be one non-empty line, got '"):
        LabelMap((text,))


def test_label_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^labels must be unique, got twice: \['a', 'b'\]$"):
        LabelMap(("b", "a", "c", "a", "b"))


def test_sorted_map_is_in_code_point_order_without_repeats() -> None:
    labels = sorted_label_map(["b c", "b", "B", "a", "b_c", "b", "é"])
    assert labels.texts == ("B", "a", "b", "b c", "b_c", "é")


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(TEXTS.filter(str.strip), unique=True, max_size=8))
def test_text_form_comes_back(texts: list[str]) -> None:
    labels = LabelMap(tuple(texts))
    assert parse_label_map(labels.to_text()) == labels


def test_text_form_is_one_label_a_line() -> None:
    assert LabelMap(("play golf", "yo-yo")).to_text() == "play golf\nyo-yo\n"


@pytest.mark.parametrize("text", ["a\nb\n", "a\r\nb\r\n", "a\nb", "a\nb\n\n\n", "a\rb\r"])
def test_line_ends_of_any_system_are_read(text: str) -> None:
    assert parse_label_map(text).texts == ("a", "b")


def test_empty_text_is_the_empty_map() -> None:
    assert parse_label_map("").texts == ()
