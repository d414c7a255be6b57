"""Medians, ratios and their intervals, and whether a set of samples is fit to be quoted. scipy does the work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # and not from scipy.stats, which takes a second to import, and is imported where it is first used
from numpy.typing import ArrayLike

from boxlab.language import _

CONFIDENCE = 0.95
RESAMPLES = 9999
FEWEST = 6
"""Fewer samples than this give no interval at `CONFIDENCE` but their range: that of n covers the median in 1 - 2 * 0.5**n."""

WIDE = 0.10
"""Share of the mean that the standard deviation may be, and of the median that a sample may be away from it."""

OUTLIER = 10 * 1.4826
"""A sample so many median deviations from the median is an outlier: ten standard deviations, were they normal."""

SEED = 20260101
"""Fixed, so that the same samples always give the same interval."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at `CONFIDENCE`; `low` and `high` are NaN where fewer than two samples exist.

    Attributes:
        is_range: whether there were too few samples (see `FEWEST`) for an interval, so that it is their range at most.
    """

    value: float
    low: float
    high: float
    is_range: bool = False


@dataclass(frozen=True)
class Line:
    """A straight line through n points, or one that is approached: intercept + slope * x + bend / x.

    Attributes:
        slope: of the line, in units of y per unit of x.
        intercept: its value at x = 0, in units of y.
        residuals: what is left of each point, in units of y; shape n.
        bend: by how much the curve is off its line at x = 1; None for a straight line.
    """

    slope: Estimate
    intercept: Estimate
    residuals: np.ndarray
    bend: Estimate | None = None

    @property
    def n(self) -> int:
        return len(self.residuals)

    def at(self, x: ArrayLike) -> np.ndarray:
        """Its values at x, which is above zero where there is a bend (shape of both: any)."""
        x = np.asarray(x, float)
        straight = self.intercept.value + self.slope.value * x
        return straight + self.bend.value / x if self.bend else straight


def line(x: ArrayLike, y: ArrayLike) -> Line:
    """The least-squares line through points, with Student's intervals of slope and intercept (shape of both: n).

    The intervals take the residuals for independent and normal: look at them.

    Raises:
        ValueError: fewer than three points, or all of them at one x.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"a line with intervals needs three points at two places, got {len(x)}")
    fit = scipy.stats.linregress(x, y)
    width = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2)

    def estimate(value: float, error: float) -> Estimate:
        return Estimate(float(value), float(value - width * error), float(value + width * error))

    return Line(
        estimate(fit.slope, fit.stderr),
        estimate(fit.intercept, fit.intercept_stderr),
        y - (fit.intercept + fit.slope * x),
    )


def bent_line(x: ArrayLike, y: ArrayLike) -> Line:
    """The least-squares fit of intercept + slope * x + bend / x, with Student's intervals (shape of both: n).

    Such is a sum over x instances that share files: each maps some pages that those before it have not, ever fewer.

    Raises:
        ValueError: fewer than five points, fewer than four places, or a place that is not above zero.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 5 or len(np.unique(x)) < 4 or x.min() <= 0:
        raise ValueError(f"a bend with an interval needs five points at four places above zero, got {x}")
    terms = np.column_stack([x, np.ones_like(x), 1 / x])
    inverse = np.linalg.inv(terms.T @ terms)
    values = inverse @ terms.T @ y
    residuals = y - terms @ values
    free = len(x) - 3
    widths = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, free) * np.sqrt(np.diag(inverse) * (residuals @ residuals / free))
    slope, intercept, bend = (
        Estimate(float(value), float(value - width), float(value + width))
        for value, width in zip(values, widths, strict=True)
    )
    return Line(slope, intercept, residuals, bend)


def fitting_line(x: ArrayLike, y: ArrayLike) -> Line:
    """The straight line through points, unless they bend: then the bent one, whose bend has an interval without zero.

    Raises:
        ValueError: as `line` does.
    """
    try:
        bent = bent_line(x, y)
    except ValueError:
        return line(x, y)
    assert bent.bend
    return bent if bent.bend.low > 0 or bent.bend.high < 0 else line(x, y)


def median(samples: ArrayLike) -> Estimate:
    """Median of `samples` (shape: n) with its percentile bootstrap interval.

    By the bootstrap as the ratios are, and not by order statistics (scipy's quantile_test): one method, and one explanation.

    Raises:
        ValueError: there are no samples.
    """
    return _estimate((np.asarray(samples, float),), _median, paired=False)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Estimate:
    """Ratio of two medians with its percentile bootstrap interval.

    Args:
        numerator, denominator: shape n each, the same rounds in the same order. Rounds are resampled whole, so that what
            made a round slow for both does not widen the interval.

    Raises:
        ValueError: they are empty or of different lengths.
    """
    return _estimate((np.asarray(numerator, float), np.asarray(denominator, float)), _ratio_of_medians, paired=True)


def independent_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Estimate:
    """Ratio of the medians of two sets of samples that have no rounds in common, as those of two runs (shapes: n and m).

    Raises:
        ValueError: one is empty.
    """
    return _estimate((np.asarray(numerator, float), np.asarray(denominator, float)), _ratio_of_medians, paired=False)


def _median(samples: np.ndarray, axis: int = -1) -> Any:
    return np.median(samples, axis=axis)


def _ratio_of_medians(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> Any:
    return np.median(numerator, axis=axis) / np.median(denominator, axis=axis)


def _estimate(data: tuple[np.ndarray, ...], statistic: Callable[..., Any], paired: bool) -> Estimate:
    fewest = min(map(len, data))
    if not fewest or (paired and len(set(map(len, data))) > 1):
        raise ValueError(f"expected samples on every side, as many on each if paired, got {[len(s) for s in data]}")
    value = float(statistic(*data))
    if fewest == 1:
        return Estimate(value, np.nan, np.nan, is_range=True)
    interval = scipy.stats.bootstrap(
        data,
        statistic,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), fewest < FEWEST)


def instability(samples: ArrayLike) -> list[str]:
    """Why `samples` (shape: n) should not be quoted yet; empty where nothing speaks against it.

    A standard deviation of 10 % of the mean is too wide (as pyperf's `check` command has it). An outlier is told by the
    median deviation (as hyperfine tells it), which holds near zero as well, and must be as far off as that.
    """
    samples = np.asarray(samples, float)
    if len(samples) < 2:
        return [_("fewer than two samples")]
    mean, middle, deviation = abs(samples.mean()), np.median(samples), samples.std(ddof=1)
    reasons = []
    if deviation > WIDE * mean:
        if mean:
            reasons.append(_("the standard deviation is {share:.0%} of the mean", share=deviation / mean))
        else:
            reasons.append(_("the standard deviation is more than the mean, which is zero"))
    away = np.abs(samples - middle)
    bound = max(OUTLIER * np.median(away), WIDE * abs(middle))
    if abs(samples.min() - middle) > bound:
        reasons.append(_("the smallest is an outlier"))
    if abs(samples.max() - middle) > bound:
        reasons.append(_("the largest is an outlier"))
    return reasons
