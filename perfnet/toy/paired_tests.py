"""Exact tests of paired results, small enough to be checked by hand."""

from collections.abc import Sequence
from itertools import product
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_PAIRS = 20
"""`sign_flip_p` tries every sign: 2 ** 20 of them at most."""


class Spread(NamedTuple):
    """Mean and standard deviation over seeds."""

    mean: float
    deviation: float
    """Of the sample (n - 1); 0 for one value."""


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of at least one value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(float(np.mean(values)), deviation)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of paired differences under random signs.

    If two methods are alike, each difference is as likely to have the other sign: p is the share
    of all sign patterns whose sum is as far from 0 as the observed one. With n pairs it is never
    smaller than 2 / 2 ** n.

    Args:
        differences: One for each seed, 1 to 20 of them.

    Raises:
        ValueError: If there are none or too many.

    References:
        Fisher 1935, The Design of Experiments, section 21.
    """
    if not 1 <= len(differences) <= MAX_PAIRS:
        raise ValueError(f"differences must be 1 to {MAX_PAIRS}, got {len(differences)}")
    sizes = np.abs(np.asarray(differences, np.float64))
    observed = abs(float(np.sum(differences)))
    signs = np.array(list(product((-1.0, 1.0), repeat=len(sizes))))
    tolerance = 1e-9 * max(1.0, float(sizes.sum()))  # sums of the same numbers in another order
    return float((np.abs(signs @ sizes) >= observed - tolerance).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for testing several hypotheses together, in the given order.

    References:
        Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def mcnemar_p(first_right: npt.NDArray[np.bool_], second_right: npt.NDArray[np.bool_]) -> float:
    """Return the exact two-sided p-value that two classifiers are right equally often.

    It speaks of these two trained networks on such clips, not of training them again.

    Args:
        first_right: bool [N], whether the first is right on each clip.
        second_right: bool [N], whether the second is, on the same clips.

    References:
        McNemar 1947; binomial form, of the clips on which just one of them is right.
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    number, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(number, k) for k in range(fewer + 1)) / 2.0**number
    return min(1.0, 2 * tail)
