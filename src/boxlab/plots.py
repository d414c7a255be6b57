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
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from boxlab import records

COLOURS = {
    "process": "#7f7f7f",
    "container": "#1f83c4",
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

    Hollow dots are the discarded round. Failures are counted at the right.

    Raises:
        RecordError: an arm has no successful start.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 0.62 * len(run.arms) + 1.0), layout="constrained")
        axes = figure.subplots()
        names = []
        for row, kind in enumerate(run.arms):
            colour = COLOURS[kind]
            samples = [s for s in run.samples if s.arm == kind and s.seconds is not None]
            rows = row + 0.16 * _spread(len(samples))
            x = np.array([s.seconds for s in samples])
            thrown = np.array([s.discarded for s in samples], bool)
            axes.scatter(x[~thrown], rows[~thrown], s=22, color=colour, alpha=0.75, linewidths=0, zorder=3)
            axes.scatter(x[thrown], rows[thrown], s=22, facecolors="none", edgecolors=colour, linewidths=1.1, zorder=3)
            median = run.median(kind)
            axes.plot([median.low, median.high], [row - 0.33] * 2, color=colour, linewidth=2.4, solid_capstyle="butt", zorder=2)
            axes.plot([median.value] * 2, [row - 0.42, row + 0.26], color=colour, linewidth=1.6, zorder=2)
            failed = len(run.failures(kind))
            note = records.seconds(median.value) + (f", {failed} failed" if failed else "")
            axes.annotate(note, (max(x.max(), median.value), row), xytext=(9, 0), textcoords="offset points", va="center")
            names.append(_name(run, kind))
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        _log_seconds(axes, [s.seconds for s in run.samples if s.seconds])
        axes.set_xlabel("from the call to the first prediction (logarithmic)")
    return _finish(figure, _startup_alt(run), run.caption(), f"startup-{run.created}")


def phases(run: records.Run, kinds: tuple[str, ...] = ("container", "microvm")) -> Plot:
    """Where the time of one typical start goes: a waterfall for each box, all on one axis.

    Drawn from the start nearest to the median, so that the phases of a row add up to a start that really happened.
    """
    kinds = tuple(kind for kind in kinds if kind in run.arms)
    with matplotlib.rc_context(_STYLE):
        steps = {kind: _steps(run, kind) for kind in kinds}
        rows = sum(len(s) for s in steps.values()) + 0.8 * (len(kinds) - 1)
        figure = Figure(figsize=(_WIDTH_IN, 0.27 * rows + 0.9), layout="constrained")
        axes = figure.subplots()
        longest = max(end for s in steps.values() for _, _, end in s)
        row, ticks, names, described = 0.0, [], [], []
        for kind in kinds:
            for index, (label, begin, end) in enumerate(steps[kind]):
                axes.barh(row, end - begin, left=begin, height=0.72, color=COLOURS[kind], alpha=PHASE_SHADES[index % 2], zorder=3)
                at_right = end < 0.82 * longest
                axes.annotate(
                    records.seconds(end - begin),
                    (end if at_right else begin, row),
                    xytext=(4 if at_right else -4, 0),
                    textcoords="offset points",
                    va="center",
                    ha="left" if at_right else "right",
                    fontsize=8.5,
                )
                ticks.append(row)
                names.append(f"{_name(run, kind)} · {label}" if index == 0 else label)
                row += 1
            described.append(f"{_name(run, kind)}: " + ", ".join(f"{label} {records.seconds(e - b)}" for label, b, e in steps[kind]))
            row += 0.8
        axes.set_yticks(ticks, names, fontsize=8.5)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", zorder=0)
        axes.set_xlim(0, longest * 1.02)
        axes.set_xlabel("seconds from the call")
    alt = "Waterfall of the phases of one typical start. " + ". ".join(described) + "."
    return _finish(figure, alt, "One start each, the one nearest to the median · " + run.caption(), f"phases-{run.created}")


def _steps(run: records.Run, kind: str) -> list[tuple[str, float, float]]:
    """The phases of a typical start: label, begin and end in seconds."""
    labels, marks = run.arm(kind)["phases"], run.typical(kind).marks
    steps, begin = [], 0.0
    for mark in (m for m in labels if m in marks):
        steps.append((labels[mark], begin, marks[mark]))
        begin = marks[mark]
    return steps


def _name(run: records.Run, kind: str) -> str:
    arm = run.arm(kind)
    return f"{arm['label']}, emulated" if arm["emulated"] else arm["label"]


def _spread(n: int) -> np.ndarray:
    """Heights for n dots of a row: the order of measurement, top to bottom, between -1 and 1."""
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)


def _log_seconds(axes, values: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.6, max(values) * 4)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * 1000:g} ms" if x < 1 else f"{x:g} s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="major", zorder=0)


def _startup_alt(run: records.Run) -> str:
    parts = []
    for kind in run.arms:
        median = run.median(kind)
        parts.append(
            f"{_name(run, kind)}: median {records.seconds(median.value)}, "
            f"95 % interval {records.seconds(median.low)} to {records.seconds(median.high)}"
            if math.isfinite(median.low)
            else f"{_name(run, kind)}: {records.seconds(median.value)}, measured once"
        )
    return "Dot plot of the time from the call to the first prediction, on a logarithmic axis. " + "; ".join(parts) + "."


def _finish(figure: Figure, alt: str, caption: str, salt: str) -> Plot:
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg \1aria-hidden="true"', svg, count=1)
    return Plot(re.sub(r"\n\s*", "\n", svg), alt, caption)
