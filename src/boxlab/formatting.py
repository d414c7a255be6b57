"""Numbers as text: the one way in which tables, prose, plots and notebooks write a quantity."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from boxlab.language import _

if TYPE_CHECKING:  # it takes longer to import than all that writes a number
    from boxlab.stats import Estimate


def seconds(value: float) -> str:
    """A time as text with three significant digits: 21.3 ms, 2.55 s, 90.1 ns; a dash where there is none (NaN)."""
    if math.isnan(value):
        return "–"
    for unit, factor in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(value) >= factor * 0.9995:
            return f"{_three(value / factor)} {unit}"
    return f"{_three(value * 1e9)} ns"


def size(value: float) -> str:
    """Bytes as text with three significant digits in binary units: 3.42 MiB, 238 MiB; a dash where there is none (NaN)."""
    if math.isnan(value):
        return "–"
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= factor * 0.9995:
            return f"{_three(value / factor)} {unit}"
    return f"{value:.0f} B"


def quantity(value: float, unit: str) -> str:
    """A value as text: `unit` is s, B (bytes) or 1 (a count or a share)."""
    if unit == "s":
        return seconds(value)
    if unit == "B":
        return size(value)
    return "–" if math.isnan(value) else f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def times(value: float) -> str:
    """A ratio as text with two significant digits: 0.11, 12; a dash where there is none (NaN).

    Near 1 it has two decimals, or up to four where fewer, and not these, would make 1 of it: on which side of 1 it lies can be read.
    """
    if math.isnan(value):
        return "–"
    if 0.8 <= value < 1.25:
        digits = next((digits for digits in (2, 3, 4) if float(f"{value:.{digits}f}") != 1), 2)
        return f"{value:.{digits}f}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:#.2g}"


def interval(estimate: "Estimate", say: Callable[[float], str]) -> str:
    """The ends of an interval as text, each by `say`, and "(range)" where that is all it is; a dash where there is none (NaN)."""
    if math.isnan(estimate.low):
        return "–"
    ends = f"{say(estimate.low)} – {say(estimate.high)}"
    return _("{ends} (range)", ends=ends) if estimate.is_range else ends


def with_interval(estimate: "Estimate", say: Callable[[float], str] = times) -> str:
    """A value, by default a ratio, and its interval as text: both ends in brackets, and "range" before a mere range; of one sample the value alone."""
    value, ends = say(estimate.value), f"{say(estimate.low)} – {say(estimate.high)}"
    if math.isnan(estimate.low):
        return value
    return _("{value} (range {ends})", value=value, ends=ends) if estimate.is_range else f"{value} ({ends})"


def _three(value: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
    return f"{value:.{digits}f}"
