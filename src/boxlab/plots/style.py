"""One style for every plot: text that follows the page's own colour, so that light and dark both read, and an alt text."""

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullFormatter

from boxlab import records
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
WIDTH_IN = 6.4


@dataclass(frozen=True)
class Plot:
    """A finished plot: inline SVG with its alt text. Jupyter and the book show it as it is."""

    svg: str
    alt: str
    caption: str

    def __repr__(self) -> str:
        return f"Plot: {self.alt}"

    def standalone(self) -> str:
        """The SVG as a file of its own, with its alt text as title; its text is black."""
        attributes = 'xmlns="http://www.w3.org/2000/svg" color="black"'
        return self.svg.replace("<svg ", f"<svg {'' if 'xmlns=' in self.svg[:300] else attributes} ", 1).replace(
            ">", f"><title>{escape(self.alt)}</title>", 1
        )

    def _repr_html_(self) -> str:
        return (
            f'<figure class="boxlab-plot"><div role="img" aria-label="{escape(self.alt, quote=True)}">{self.svg}</div>'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


def canvas(height_in: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure of the page's width with its axes, side by side; to be finished within `styled`."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    return figure, list(axes)


def styled(font_size: float = 10) -> AbstractContextManager[None]:
    """The context in which a figure is drawn."""
    return matplotlib.rc_context(STYLE | {"font.size": font_size})


def colour(record: records.Record, kind: str) -> str:
    """The colour of an arm: its box's, or that of the kind of box that it is a variant of."""
    if kind in COLOURS:
        return COLOURS[kind]
    details = record.arm(kind)["details"]
    if "accelerator" in details:
        return COLOURS["microvm"]
    return COLOURS["process" if "namespaces" in details else "container"]


def rows(axes: Axes, names: list[str]) -> None:
    """Name the rows of a plot, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def log_scale(axes: Axes, values: list[float], unit: str, room: float = 4) -> None:
    """A logarithmic x axis in the words of `unit`, with room for notes at its right."""
    axes.set_xscale("log")
    if values:
        axes.set_xlim(min(values) / 1.6, max(values) * room)
    axes.xaxis.set_major_locator(LogLocator(4 if unit == "B" else 10, subs=(1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x, unit)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="major", zorder=0)


def linear_scale(axes: Axes, longest: float, unit: str, room: float = 1.25) -> None:
    """A linear x axis from zero in the words of `unit`, with room for notes at its right."""
    axes.set_xlim(0, longest * room)
    if unit == "B":
        axes.xaxis.set_major_locator(MultipleLocator(_binary_step(longest * room)))
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
            return f"{value / factor:.3g} {name}"
    return f"{value:.3g}"


def spread(n: int) -> np.ndarray:
    """Heights for n dots of a row: the order of measurement, top to bottom, between -1 and 1."""
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)


def name(record: records.Record, kind: str) -> str:
    """An arm's name as plots write it."""
    return record.name(kind, _(", emulated"))


def finish(figure: Figure, alt: str, caption: str, salt: str) -> Plot:
    """The figure as a plot; the same `salt` and data always give the same SVG."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": salt}):
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
    return Plot(re.sub(r"\n\s*", "\n", svg), alt, caption)
