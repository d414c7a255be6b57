"""One style for every plot: text that follows the page's own colour, so that light and dark both read, an alt text, and two
drawings, one for a page and one for a phone."""

import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, NullFormatter

from boxlab import records, stats
from boxlab.language import _

COLOURS = {
    "process": "#7f7f7f",
    "container": "#1f83c4",
    "restored-vm": "#b8860b",
    "microvm": "#d9730d",
    "full-vm": "#c0504d",
}
"""One colour a box, in plots and diagrams alike; each has a contrast of 3 : 1 or more on white and on the dark page."""

PARTS = {
    "application": "#1f83c4",
    "shim": "#7f7f7f",
    "guest": "#d9730d",
    "kernel_file": "#b8860b",
    "translation": "#8f63d8",
    "vmm": "#c0504d",
    "shared": "#7f7f7f",
    "own": "#1f83c4",
    "base_files": "#7f7f7f",
    "own_files": "#1f83c4",
    "packed": "#2e9e77",
    "writable": "#8f63d8",
    "kernel": "#b8860b",
    "disk": "#d9730d",
}
"""One colour for each part of what a box takes, in memory and on disk."""

INK = "#010203"  # stands for the page's own text colour until the SVG is written

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud, and scales with the page
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": "#808080",
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
}


@dataclass(frozen=True)
class Page:
    """What a plot is drawn for.

    Attributes:
        width_in: how wide the drawing is, in inches of its own letters.
        narrow: panels stand one below the other, and the names of rows above them.
    """

    width_in: float
    narrow: bool

    def canvas(self, rows: int, row_in: float, around_in: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
        """An empty figure with its panels, two beside each other or all below each other.

        Args:
            rows: of each panel.
            row_in: inches of a row, at least.
            around_in: inches above and below the rows.
            panels: how many.
        """
        across = 1 if self.narrow else min(panels, 2)
        down = -(-panels // across)
        height_in = rows * (max(row_in, ROW_IN) if self.narrow else row_in) + around_in
        figure = Figure(figsize=(self.width_in, down * height_in), layout="constrained")
        axes = list(figure.subplots(down, across, squeeze=False, sharey=not self.narrow).flat)
        for beyond in axes[panels:]:
            beyond.remove()
        return figure, axes[:panels]

    def rows(self, axes: Axes, names: list[str]) -> None:
        """Name the rows of a plot, the first at the top."""
        axes.set_ylim(len(names) - 0.4, -0.95 if self.narrow else -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(names)), [""] * len(names) if self.narrow else names)
        if self.narrow:
            for row, name in enumerate(names):
                axes.annotate(
                    name, (0, row - 0.44), xycoords=("axes fraction", "data"), va="bottom", annotation_clip=False
                )


WIDE, NARROW = Page(6.4, narrow=False), Page(3.3, narrow=True)

STEPS = {
    10: ((1, (1, 2, 3, 5)), (1, (1, 2, 5)), (1, (1, 3)), *((power, (1,)) for power in (1, 2, 3, 6))),
    2: ((1, (1, 1.5)), *((power, (1,)) for power in (1, 2, 4, 6, 10))),
}
"""Ticks of a logarithmic axis, by the base of its numbers: the power of the base that they repeat in, and where in it they stand."""

APART = 0.22
"""How far apart two of them are at least, as a part of the axis."""

MOST_NARROW_PT = 8.5
"""The largest letters of a narrow drawing."""

BAR = 0.5
"""How much of its row a bar takes."""

ROW_IN = 0.55
"""The least height of a row that has its name above it, in inches."""


@dataclass(frozen=True)
class Plot:
    """A finished plot: inline SVG with its alt text. Jupyter and the book show it as it is; on a phone, the book shows `narrow`."""

    svg: str
    alt: str
    caption: str
    narrow: str = ""

    def __repr__(self) -> str:
        return f"Plot: {self.alt}"

    def standalone(self) -> str:
        """The SVG as a file of its own, with its alt text as title; its text is black."""
        attributes = 'xmlns="http://www.w3.org/2000/svg" color="black"'
        return self.svg.replace("<svg ", f"<svg {'' if 'xmlns=' in self.svg[:300] else attributes} ", 1).replace(
            ">", f"><title>{escape(self.alt)}</title>", 1
        )

    def _repr_html_(self) -> str:
        narrow = self.narrow.replace("<svg ", '<svg style="display: none" ', 1)  # where no style sheet says otherwise
        return (
            f'<figure class="boxlab-plot"><div role="img" aria-label="{escape(self.alt, quote=True)}">{self.svg}{narrow}</div>'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


def colour(record: records.Record, kind: str) -> str:
    """The colour of an arm: its box's, or that of the kind of box that it is a variant of."""
    if kind in COLOURS:
        return COLOURS[kind]
    details = record.arm(kind)["details"]
    if "accelerator" in details:
        return COLOURS["microvm"]
    return COLOURS["process" if "namespaces" in details else "container"]


def log_scale(page: Page, axes: Axes, values: list[float], unit: str) -> None:
    """A logarithmic x axis in the words of `unit`, with room for notes at its right, and at least three ticks."""
    low, high = min(values, default=1) / 1.6, max(values, default=1) * (8 if page.narrow else 4.5)
    ticks, high = _log_ticks(low, high, 2 if unit == "B" else 10)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x, unit)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="major", zorder=0)


def _log_ticks(low: float, high: float, base: int) -> tuple[list[float], float]:
    """Round numbers between two ends, three or more, as close as their labels allow; and the end, moved where it takes that."""
    while True:
        for power, steps in STEPS[base]:
            factor = float(base**power)
            first, last = (math.floor(math.log(end, factor)) for end in (low, high))
            ticks = [t for n in range(first, last + 1) for step in steps if low <= (t := step * factor**n) <= high]
            apart = math.log(high / low) * APART
            if len(ticks) >= 3 and all(math.log(b / a) >= apart for a, b in pairwise(ticks)):
                return ticks, high
        high *= 1.25


def linear_scale(page: Page, axes: Axes, longest: float, unit: str) -> None:
    """A linear x axis from zero in the words of `unit`, with room for notes at its right."""
    end = longest * (1.45 if page.narrow else 1.35)
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MultipleLocator(_binary_step(end)) if unit == "B" else MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x, unit)))
    axes.grid(axis="x", zorder=0)


def byte_ticks(axes: Axes) -> None:
    """Round binary numbers on a y axis of bytes, as it is scaled now."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MultipleLocator(_binary_step(high - low)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y, "B")))


def _binary_step(longest: float) -> float:
    """The power of two that gives an axis of `longest` bytes a few ticks."""
    return float(2.0 ** np.ceil(np.log2(max(longest, 1) / 5)))


def short(value: float, unit: str) -> str:
    """A value as an axis shows it: 100 ms, 2 s, 64 MiB."""
    if not value:
        return "0"
    steps = {
        "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
        "B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    }
    for factor, name in steps.get(unit, ()):
        if abs(value) >= factor * 0.999:
            return f"{value / factor:.4g} {name}"
    return f"{value:.3g}"


def spread(n: int) -> np.ndarray:
    """Heights for n dots of a row: the order of measurement, top to bottom, between -1 and 1."""
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)


def interval(axes: Axes, estimate: stats.Estimate, y: float, **line: Any) -> None:
    """The interval of an estimate as a bar at a height; a mere range of samples is none, and has no bar."""
    if not estimate.is_range:
        axes.plot([estimate.low, estimate.high], [y, y], **line)


def name(record: records.Record, kind: str) -> str:
    """An arm's name as plots write it."""
    return record.name(kind, _(", emulated"))


def finish(draw: Callable[[Page], Figure], alt: str, caption: str, salt: str, font_size: float = 10) -> Plot:
    """What `draw` makes for each kind of page, as one plot; the same `salt` and data always give the same SVG."""
    wide, narrow = _svg(draw, WIDE, font_size, salt), _svg(draw, NARROW, font_size, f"{salt}-narrow")
    return Plot(wide, alt, caption, narrow)


@contextmanager
def drawing(draw: Callable[[Page], Figure], page: Page, font_size: float) -> Iterator[Figure]:
    """The figure that `draw` makes for a page, laid out, in the style that it is saved in."""
    size = min(font_size, MOST_NARROW_PT) if page.narrow else font_size
    with matplotlib.rc_context(STYLE | {"font.size": size}):
        figure = draw(page)
        figure.draw_without_rendering()  # ticks are chosen by the room that the first layout leaves, and need their own
        yield figure


def _svg(draw: Callable[[Page], Figure], page: Page, font_size: float, salt: str) -> str:
    buffer = io.StringIO()
    with drawing(draw, page, font_size) as figure, matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg \1aria-hidden="true"', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg)
