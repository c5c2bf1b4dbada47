"""Sealed JSON: what was sealed comes back, anything else does not."""

import json

import pytest

from schemas.sealed_json import hash_json, seal, unseal


def test_unseal_gives_back_what_was_sealed() -> None:
    values = {"name": "é", "sizes": [1, 2]}
    assert unseal(json.loads(json.dumps(seal(values)))) == values
    assert values == {"name": "é", "sizes": [1, 2]}


@pytest.mark.parametrize("damaged", [None, [], "text", {}, {"sizes": [1, 2]}])
def test_unsealed_values_are_refused(damaged: object) -> None:
    assert unseal(damaged) is None


def test_a_changed_value_is_noticed() -> None:
    assert unseal({**seal({"sizes": [1, 2]}), "sizes": [1, 3]}) is None


def test_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})
    assert hash_json({"a": 1}) == "165b44bb3d3e0923"  # as it stands in finished folders
