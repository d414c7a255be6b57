"""Medians, ratios and their intervals, and whether a set of samples is fit to be quoted. scipy does the work."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 20260101
"""Fixed, so that the same samples always give the same interval."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at `CONFIDENCE`; `low` and `high` are NaN where fewer than two samples exist."""

    value: float
    low: float
    high: float


def median(samples: np.ndarray) -> Estimate:
    """Median of `samples` (shape: n) with its percentile bootstrap interval.

    For very few samples the interval is about the range of the samples, and covers less than it says (at n = 5 at most
    94 %: 1 - 2 * 0.5**5).

    Raises:
        ValueError: there are no samples.
    """
    return _estimate((np.asarray(samples, float),), _median, paired=False)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
    """Ratio of two medians with its percentile bootstrap interval.

    Args:
        numerator, denominator: shape n each, the same rounds in the same order. Rounds are resampled whole, so that what
            made a round slow for both does not widen the interval.

    Raises:
        ValueError: they are empty or of different lengths.
    """
    return _estimate((np.asarray(numerator, float), np.asarray(denominator, float)), _ratio_of_medians, paired=True)


def _median(samples, axis=-1):
    return np.median(samples, axis=axis)


def _ratio_of_medians(numerator, denominator, axis=-1):
    return np.median(numerator, axis=axis) / np.median(denominator, axis=axis)


def _estimate(data: tuple[np.ndarray, ...], statistic, paired: bool) -> Estimate:
    sizes = {len(samples) for samples in data}
    if sizes == {0} or len(sizes) > 1:
        raise ValueError(f"expected samples of one and the same size above zero, got {[len(s) for s in data]}")
    value = float(statistic(*data))
    if sizes == {1}:
        return Estimate(value, np.nan, np.nan)
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
    return Estimate(value, float(interval.low), float(interval.high))


def instability(samples: np.ndarray) -> list[str]:
    """Why `samples` (shape: n) should not be quoted yet; empty where nothing speaks against it.

    The bounds are those of pyperf's `check` command: a standard deviation of 10 % of the mean, extremes 50 % away from it.
    """
    samples = np.asarray(samples, float)
    if len(samples) < 2:
        return ["fewer than two samples"]
    mean = samples.mean()
    reasons = []
    if (share := samples.std(ddof=1) / mean) >= 0.10:
        reasons.append(f"the standard deviation is {share:.0%} of the mean")
    for name, extreme in (("fastest", samples.min()), ("slowest", samples.max())):
        if abs(share := extreme / mean - 1) >= 0.50:
            reasons.append(f"the {name} is {abs(share):.0%} {'above' if share > 0 else 'below'} the mean")
    return reasons
