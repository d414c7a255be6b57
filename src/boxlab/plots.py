"""One style for every plot: text that follows the page's own colour, so that light and dark both read, and an alt text.

A plot is drawn from a record alone; what ran under software emulation says so in the plot itself.
"""

import io
import math
import re
from dataclasses import dataclass
from html import escape

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from boxlab import records

COLOURS = {
    "process": "#7f7f7f",
    "container": "#1f83c4",
    "restored-vm": "#b8860b",
    "microvm": "#d9730d",
    "full-vm": "#c0504d",
}
"""One colour a box, in plots and diagrams alike; each has a contrast of 3 : 1 or more on white and on the dark page."""

PHASE_SHADES = (1.0, 0.55)

_INK = "#010203"  # stands for the page's own text colour until the SVG is written

_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud, and scales with the page
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": "#808080",
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
}
_WIDTH_IN = 6.4


@dataclass(frozen=True)
class Plot:
    """A finished plot: inline SVG with its alt text. Jupyter and the book show it as it is."""

    svg: str
    alt: str
    caption: str

    def __repr__(self) -> str:
        return f"Plot: {self.alt}"

    def _repr_html_(self) -> str:
        return (
            f'<figure class="boxlab-plot"><div role="img" aria-label="{escape(self.alt, quote=True)}">{self.svg}</div>'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


def startup(run: records.Run) -> Plot:
    """Every start of every box as a dot on a logarithmic axis, with the median and its interval.

    Hollow dots are the discarded round. Failures are counted at the right; a box that never became ready has only them.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 0.62 * len(run.arms) + 1.0), layout="constrained")
        axes = figure.subplots()
        _log_seconds(axes, [s.values[run.main] for s in run.samples if run.main in s.values])
        for row, kind in enumerate(run.arms):
            _draw_starts(axes, row, run, kind)
        axes.set_yticks(range(len(run.arms)), [_name(run, kind) for kind in run.arms])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("from the call to the first prediction (logarithmic)")
    return _finish(figure, _startup_alt(run), run.caption(), f"startup-{run.created}")


def _draw_starts(axes: Axes, row: int, run: records.Run, kind: str) -> None:
    """One arm's dots, the interval above them, and the median through both."""
    failed = len(run.failures(kind))
    if not run.kept(kind):
        axes.annotate(f"never ready: {failed} failed", (axes.get_xlim()[0], row), va="center")
        return
    colour = COLOURS[kind]
    samples = [s for s in run.samples if s.arm == kind and run.main in s.values]
    x, thrown = np.array([s.values[run.main] for s in samples]), np.array([s.discarded for s in samples], bool)
    y = row + 0.16 * _spread(len(samples))
    axes.scatter(x[~thrown], y[~thrown], s=22, color=colour, alpha=0.75, linewidths=0, zorder=3)
    axes.scatter(x[thrown], y[thrown], s=22, facecolors="none", edgecolors=colour, linewidths=1.1, zorder=3)
    median = run.median(kind)
    line = {"color": colour, "solid_capstyle": "butt", "zorder": 2}
    axes.plot([median.low, median.high], [row - 0.33] * 2, linewidth=2.4, **line)
    axes.plot([median.value] * 2, [row - 0.42, row + 0.26], linewidth=1.6, **line)
    note = records.seconds(median.value) + (f", {failed} failed" if failed else "")
    axes.annotate(note, (x.max(), row), xytext=(9, 0), textcoords="offset points", va="center")


def phases(run: records.Run, kinds: tuple[str, ...] = ("container", "microvm")) -> Plot:
    """Where the time of one typical start goes: a waterfall for each box, all on one axis.

    Drawn from the start nearest to the median, so that the phases of a row add up to a start that really happened.
    Boxes that did not run or never became ready are left out; where none is left, the plot says so in words.
    """
    steps = {kind: _steps(run, kind) for kind in kinds if kind in run.arms and run.kept(kind)}
    if not steps:
        reasons = [f"{kind}: {run.plan['left_out'][kind]['reason']}" for kind in kinds if kind in run.plan["left_out"]]
        return Plot("", "Nothing to draw.", "; ".join(["Not measured here", *reasons]))
    longest = max(end for rows in steps.values() for _, _, end in rows)
    height = sum(map(len, steps.values())) + 0.8 * (len(steps) - 1)
    with matplotlib.rc_context(_STYLE | {"font.size": 8.5}):
        figure = Figure(figsize=(_WIDTH_IN, 0.27 * height + 0.9), layout="constrained")
        axes = figure.subplots()
        y, ticks, names = 0.0, [], []
        for kind, rows in steps.items():
            for index, (label, begin, end) in enumerate(rows):
                _draw_step(axes, y, begin, end, longest, COLOURS[kind], PHASE_SHADES[index % 2])
                ticks.append(y)
                names.append(label if index else f"{_name(run, kind)} · {label}")
                y += 1
            y += 0.8
        axes.set_yticks(ticks, names)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", zorder=0)
        axes.set_xlim(0, longest * 1.02)
        axes.set_xlabel("seconds from the call")
    caption = "One start each, the one nearest to the median · " + run.caption()
    return _finish(figure, _phases_alt(run, steps), caption, f"phases-{'-'.join(steps)}-{run.created}")


def _draw_step(axes: Axes, y: float, begin: float, end: float, longest: float, colour: str, shade: float) -> None:
    """One phase as a bar, with its length beside it: on the right, or on the left where the plot ends."""
    axes.barh(y, end - begin, left=begin, height=0.72, color=colour, alpha=shade, zorder=3)
    at_right = end < 0.82 * longest
    axes.annotate(
        records.seconds(end - begin),
        (end if at_right else begin, y),
        xytext=(4 if at_right else -4, 0),
        textcoords="offset points",
        va="center",
        ha="left" if at_right else "right",
    )


def _steps(run: records.Run, kind: str) -> list[tuple[str, float, float]]:
    """The phases of a typical start: label, begin and end in seconds."""
    labels, marks = run.arm(kind)["phases"], run.typical(kind).marks
    steps, begin = [], 0.0
    for mark in (m for m in labels if m in marks):
        steps.append((labels[mark], begin, marks[mark]))
        begin = marks[mark]
    return steps


def _name(run: records.Run, kind: str) -> str:
    return run.name(kind, ", emulated")


def _spread(n: int) -> np.ndarray:
    """Heights for n dots of a row: the order of measurement, top to bottom, between -1 and 1."""
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)


def _log_seconds(axes: Axes, values: list[float]) -> None:
    axes.set_xscale("log")
    if values:
        axes.set_xlim(min(values) / 1.6, max(values) * 4)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * 1000:g} ms" if x < 1 else f"{x:g} s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="major", zorder=0)


def _startup_alt(run: records.Run) -> str:
    def words(kind: str) -> str:
        if not run.kept(kind):
            return f"{_name(run, kind)}: never ready"
        median = run.median(kind)
        interval = f", 95 % interval {records.seconds(median.low)} to {records.seconds(median.high)}"
        measured_once = math.isnan(median.low)
        return f"{_name(run, kind)}: median {records.seconds(median.value)}{', measured once' if measured_once else interval}"

    title = "Dot plot of the time from the call to the first prediction, on a logarithmic axis. "
    return title + "; ".join(map(words, run.arms)) + "."


def _phases_alt(run: records.Run, steps: dict[str, list[tuple[str, float, float]]]) -> str:
    rows = [
        f"{_name(run, kind)}: " + ", ".join(f"{label} {records.seconds(end - begin)}" for label, begin, end in phases)
        for kind, phases in steps.items()
    ]
    return "Waterfall of the phases of one typical start. " + ". ".join(rows) + "."


def _finish(figure: Figure, alt: str, caption: str, salt: str) -> Plot:
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg \1aria-hidden="true"', svg, count=1)
    return Plot(re.sub(r"\n\s*", "\n", svg), alt, caption)
