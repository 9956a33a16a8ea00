"""The confidence interval of a rate."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

Z = 1.959964  # standard deviations around the mean that hold 95 % of a normal distribution


class Rate(NamedTuple):
    """A share with its 95 % confidence interval; all three are None where the whole is 0 or unknown."""

    part: int | None
    whole: int | None
    value: float | None
    low: float | None
    high: float | None


def rate(part: int | None, whole: int | None) -> Rate:
    """The share with its Wilson score interval, which stays within 0 and 1 and is valid for small numbers as well.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927), 209-212; recommended for small numbers by Brown, Cai and DasGupta, "Interval
    estimation for a binomial proportion", Statistical Science 16 (2001), 101-133, whose formula (4) this is.
    """
    if part is None or not whole:
        return Rate(part, whole, None, None, None)
    p = part / whole
    centre = (p + Z**2 / (2 * whole)) / (1 + Z**2 / whole)
    half = Z / (1 + Z**2 / whole) * sqrt(p * (1 - p) / whole + Z**2 / (4 * whole**2))
    return Rate(part, whole, p, max(0.0, centre - half), min(1.0, centre + half))
