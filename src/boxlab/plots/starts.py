"""Plots of starts: how long, where the time goes, and what each layer adds.

Drawn from a record alone; what ran under software emulation says so in the plot itself.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boxlab import labels, records
from boxlab.formatting import seconds
from boxlab.language import _
from boxlab.plots.style import BAR, Page, Plot, colour, finish, interval, linear_scale, log_scale, name, spread
from boxlab.prose import caption

PHASE_SHADES = (1.0, 0.55)


def startup(record: records.Record) -> Plot:
    """Every start of every box as a dot on a logarithmic axis, with the median and its interval.

    Hollow dots are the discarded round. Failures are counted at the right; a box that never became ready has only them.
    """
    label = record.label(record.main)

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(record.arms), 0.62, 1.0)
        values = [s.values[record.main] for s in record.samples if record.main in s.values]
        log_scale(page, axes, values, "s")
        page.rows(axes, [name(record, kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            draw_dots(axes, row, record, kind)
        axes.set_xlabel(_("{metric} (logarithmic)", metric=label))
        return figure

    return finish(draw, _starts_alt(record, label, record.arms), caption(record), f"startup-{record.created}")


def ladder(record: records.Record) -> Plot:
    """Every layer of the onion as a row: all starts as dots, and the median.

    A namespace by itself has no row where all together have one: they would say the same seven times.
    """
    kinds = [kind for kind in record.arms if not (kind.startswith("ns-") and "namespaces" in record.arms)]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(kinds), 0.36, 0.9)
        values = [s.values[record.main] for s in record.samples if record.main in s.values and not s.discarded]
        linear_scale(page, axes, max(values, default=1), "s")
        page.rows(axes, [name(record, kind) for kind in kinds])
        for row, kind in enumerate(kinds):
            draw_dots(axes, row, record, kind, discarded=False)
        axes.set_xlabel(record.label(record.main))
        return figure

    alt = _starts_alt(record, _("time {interval}, layer by layer", interval=record.label(record.main)), kinds)
    return finish(draw, alt, caption(record), f"ladder-{record.created}", 8.5)


def draw_dots(
    axes: Axes,
    row: int,
    record: records.Record,
    kind: str,
    remark: str = "",
    metric: str | None = None,
    discarded: bool = True,
) -> None:
    """One arm's dots, the interval above them, the median through both, and its value with a remark at their right."""
    metric = metric or record.main
    failed = len(record.failures(kind))
    if not record.kept(kind, metric):
        axes.annotate(_("never ready: {count} failed", count=failed), (axes.get_xlim()[0], row), va="center")
        return
    paint = colour(record, kind)
    of_it = [s for s in record.samples if s.arm == kind and metric in s.values and not s.error]
    samples = [s for s in of_it if discarded or not s.discarded]
    x, thrown = np.array([s.values[metric] for s in samples]), np.array([s.discarded for s in samples], bool)
    y = row + 0.16 * spread(len(samples))
    axes.scatter(x[~thrown], y[~thrown], s=22, color=paint, alpha=0.75, linewidths=0, zorder=3)
    axes.scatter(x[thrown], y[thrown], s=22, facecolors="none", edgecolors=paint, linewidths=1.1, zorder=3)
    median = record.median(kind, metric)
    line: dict[str, Any] = {"color": paint, "solid_capstyle": "butt", "zorder": 2}
    interval(axes, median, row - 0.33, linewidth=2.4, **line)
    axes.plot([median.value] * 2, [row - 0.42, row + 0.26], linewidth=1.6, **line)
    value = record.say(metric, median.value)
    note = (_("{value}, {count} failed", value=value, count=failed) if failed else value) + remark
    axes.annotate(note, (x.max(), row), xytext=(9, 0), textcoords="offset points", va="center")


def phases(record: records.Record, kinds: tuple[str, ...] = ("container", "microvm")) -> Plot:
    """Where the time of one typical start goes: a waterfall for each box, all on one axis.

    Drawn from the start nearest to the median, so that the phases of a row add up to a start that really happened.
    Boxes that did not run or never became ready are left out; where none is left, the plot says so in words.
    """
    steps = {kind: _steps(record, kind) for kind in kinds if kind in record.arms and record.kept(kind)}
    if not steps:
        reasons = [
            f"{kind}: {record.plan['left_out'][kind]['reason']}" for kind in kinds if kind in record.plan["left_out"]
        ]
        return Plot("", _("Nothing to draw."), "; ".join([_("Not measured here"), *reasons]))
    longest = max(end for phases in steps.values() for _, _, end in phases)
    names: list[str] = []
    for kind, phases in steps.items():
        names += ["", f"{name(record, kind)} · {phases[0][0]}", *(label for label, _begin, _end in phases[1:])]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(names) - 1, 0.27, 0.9)
        page.rows(axes, names[1:])
        row = 0
        for kind, phases in steps.items():
            for index, (_label, begin, end) in enumerate(phases):
                _draw_step(axes, row + index, begin, end, longest, colour(record, kind), PHASE_SHADES[index % 2])
            row += len(phases) + 1
        axes.grid(axis="x", zorder=0)
        whole = any(
            _at_right(begin, end, longest)
            for one in steps.values()
            for _label, begin, end in one
            if end > LATE * longest
        )
        axes.set_xlim(0, longest * (1.3 if whole else 1.02))
        axes.set_xlabel(_("seconds from the call"))
        return figure

    which = _("One start each, the one nearest to the median") + " · "
    salt = f"phases-{'-'.join(steps)}-{record.created}"
    return finish(draw, _phases_alt(record, steps), which + caption(record), salt, 8.5)


LATE = 0.82
"""From which part of the plot's width on there is no room for a number at a bar's right."""


def _draw_step(axes: Axes, y: float, begin: float, end: float, longest: float, paint: str, shade: float) -> None:
    """One phase as a bar, with its length beside it: on the right, or on the left where the plot ends."""
    axes.barh(y, end - begin, left=begin, height=BAR, color=paint, alpha=shade, zorder=3)
    at_right = _at_right(begin, end, longest)
    axes.annotate(
        seconds(end - begin),
        (end if at_right else begin, y),
        xytext=(4 if at_right else -4, 0),
        textcoords="offset points",
        va="center",
        ha="left" if at_right else "right",
    )


def _at_right(begin: float, end: float, longest: float) -> bool:
    """Whether the length stands at a bar's right: there is room, or none at its left."""
    return end < LATE * longest or begin < (1 - LATE) * longest


def _steps(record: records.Record, kind: str) -> list[tuple[str, float, float]]:
    """The phases of a typical start: label, begin and end in seconds."""
    phases, marks = record.arm(kind)["phases"], record.typical(kind).marks
    steps, begin, together = [], 0.0, []
    for mark, phase in phases.items():
        together.append(labels.phase(phase))
        if mark in marks:  # one whose end was not seen is part of the next
            steps.append((_joined(together), begin, marks[mark]))
            begin, together = marks[mark], []
    return steps


def _joined(names: list[str]) -> str:
    """One name for phases whose ends were not seen; of many the first and the last, without what they do."""
    if len(names) < 3:
        return " + ".join(names)
    return " … ".join(name.partition(":")[0] for name in (names[0], names[-1]))


def _starts_alt(record: records.Record, label: str, kinds: Iterable[str]) -> str:
    def words(kind: str) -> str:
        if not record.kept(kind):
            return _("{arm}: never ready", arm=name(record, kind))
        median = record.median(kind)
        said = {"arm": name(record, kind), "median": seconds(median.value)}
        if math.isnan(median.low):
            return _("{arm}: median {median}, measured once", **said)
        said |= {"low": seconds(median.low), "high": seconds(median.high)}
        if median.is_range:
            return _("{arm}: median {median}, range {low} to {high}", **said)
        return _("{arm}: median {median}, 95 % interval {low} to {high}", **said)

    return _("Dot plot, {metric}.", metric=label) + " " + "; ".join(map(words, kinds)) + "."


def _phases_alt(record: records.Record, steps: dict[str, list[tuple[str, float, float]]]) -> str:
    rows = [
        f"{name(record, kind)}: " + ", ".join(f"{label} {seconds(end - begin)}" for label, begin, end in phases)
        for kind, phases in steps.items()
    ]
    return _("Waterfall of the phases of one typical start.") + " " + ". ".join(rows) + "."
