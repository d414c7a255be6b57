"""Medians, ratios and their intervals, and whether a set of samples is fit to be quoted. scipy does the work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, linregress
from scipy.stats import t as student_t

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
    """A straight line through n points.

    Attributes:
        slope: of the line, in units of y per unit of x.
        intercept: its value at x = 0, in units of y.
        residuals: what the line leaves of each point, in units of y; shape n.
    """

    slope: Estimate
    intercept: Estimate
    residuals: np.ndarray

    @property
    def n(self) -> int:
        return len(self.residuals)

    def reach(self, budget: float) -> float:
        """The x at which the line reaches `budget`."""
        return (budget - self.intercept.value) / self.slope.value


def line(x: ArrayLike, y: ArrayLike) -> Line:
    """The least-squares line through points, with Student's intervals of slope and intercept (shape of both: n).

    The intervals take the residuals for independent and normal: look at them.

    Raises:
        ValueError: fewer than three points, or all of them at one x.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"a line with intervals needs three points at two places, got {len(x)}")
    fit = linregress(x, y)
    width = student_t.ppf((1 + CONFIDENCE) / 2, len(x) - 2)

    def estimate(value: float, error: float) -> Estimate:
        return Estimate(float(value), float(value - width * error), float(value + width * error))

    return Line(
        estimate(fit.slope, fit.stderr),
        estimate(fit.intercept, fit.intercept_stderr),
        y - (fit.intercept + fit.slope * x),
    )


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
    interval = bootstrap(
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
