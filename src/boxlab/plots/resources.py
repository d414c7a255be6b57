"""Plots of what boxes take: memory, room on disk, and the price of what they do.

Drawn from a record alone; what ran under software emulation says so in the plot itself.
"""

import itertools
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from boxlab import formatting, records, stats
from boxlab.errors import RecordError
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import (
    BAR,
    PARTS,
    Page,
    Plot,
    byte_ticks,
    colour,
    finish,
    linear_scale,
    log_scale,
    name,
)
from boxlab.prose import caption, shape

MEMORY_PARTS = ("application", "shim", "guest", "kernel_file", "translation", "vmm")
DISK_PARTS = ("shared", "own", "base_files", "own_files", "packed", "kernel", "disk", "writable")
"""The first two are of older records."""
MARKERS = ("o", "s", "^")
SEEN = 0.004
"""Of the longest bar: a part that is shorter than that cannot be seen, and has no place in the legend. The alt text has it."""


def memory(record: records.Record) -> Plot:
    """What each box takes at rest, divided by what it is for: one bar an arm, medians."""
    return _stacked(record, MEMORY_PARTS, "pss", _("host memory at rest (proportional set)"))


def size(record: records.Record) -> Plot:
    """What each box takes on disk, divided by what it is: one bar an arm."""
    old = "base_files" not in record.plan["metrics"]
    label = _("on disk: layers as archives, files by allocated blocks") if old else _("on disk, by allocated blocks")
    return _stacked(record, DISK_PARTS, "total", label)


def _stacked(record: records.Record, parts: tuple[str, ...], total: str, label: str) -> Plot:
    wholes = {kind: record.median(kind, total).value for kind in record.arms if record.kept(kind, total)}
    longest = max(wholes.values(), default=1)
    stacks = {
        kind: {
            part: value for part in parts if record.kept(kind, part) and (value := record.median(kind, part).value) > 0
        }
        for kind in wholes
    }
    shown = [part for part in parts if any(stack.get(part, 0) >= longest * SEEN for stack in stacks.values())]

    def draw(page: Page) -> Figure:
        columns = 1 if page.narrow else 3
        figure, [axes] = page.canvas(len(record.arms), 0.5, 0.9 + 0.2 * -(-len(shown) // columns))
        linear_scale(page, axes, longest, "B")
        page.rows(axes, [name(record, kind) for kind in record.arms])
        bars = {}
        for row, kind in enumerate(record.arms):
            if kind not in wholes:
                axes.annotate(_("{count} failed", count=len(record.failures(kind))), (0, row), va="center")
                continue
            begin = 0.0
            for part, value in stacks[kind].items():
                [bars[part]] = axes.barh(row, value, left=begin, height=BAR, color=PARTS[part], zorder=3)
                begin += value
            whole = record.say(total, wholes[kind])
            axes.annotate(whole, (begin, row), xytext=(5, 0), textcoords="offset points", va="center")
        names = [record.label(part).removesuffix(" (PSS)") for part in shown]
        figure.legend([bars[part] for part in shown], names, loc="outside lower left", ncols=columns, frameon=False)
        axes.set_xlabel(label)
        return figure

    described = [
        f"{name(record, kind)}: {record.say(total, wholes[kind])} "
        f"({', '.join(f'{record.label(part)} {formatting.size(value)}' for part, value in stack.items())})"
        for kind, stack in stacks.items()
    ]
    alt = _("Stacked bars, {metric}.", metric=label) + " " + "; ".join(described) + "."
    return finish(draw, alt, caption(record), f"{record.experiment}-{record.created}", 9)


def density(record: records.Record) -> Plot:
    """Memory over the number of instances with the fitted line of each box, and below it what a straight line leaves over.

    Boxes on the host's kernel and virtual machines have a column each, as one takes many times the other's memory.
    """
    on_host = [kind for kind in record.arms if "accelerator" not in record.arm(kind)["details"]]
    columns = [kinds for kinds in (on_host, [kind for kind in record.arms if kind not in on_host]) if kinds]

    def draw(page: Page) -> Figure:
        across = 1 if page.narrow else len(columns)
        down = 2 * len(columns) // across
        figure = Figure(figsize=(page.width_in, 2.45 * down), layout="constrained")
        ratios = (3, 2) * (down // 2)
        panels = figure.subplots(
            down, across, squeeze=False, sharex=False if page.narrow else "col", height_ratios=ratios
        )
        names = {}
        for (top, rest), kinds in zip(panels.T.reshape(-1, 2), columns, strict=True):
            for kind, marker in zip(kinds, itertools.cycle(MARKERS)):
                dots, label = _draw_density(top, rest, record, kind, marker)
                if label:
                    names[dots] = label
            top.set_xlim(left=-0.35)
            rest.set_xlim(top.get_xlim())
            top.set_ylim(bottom=0)
            byte_ticks(top)
            _percents(rest)
            rest.set_xlabel(_("instances"))
            rest.xaxis.set_major_locator(MaxNLocator(integer=True))
            for part in (top, rest):
                part.grid(zorder=0)
        for top, rest in panels.T.reshape(-1, 2)[: None if page.narrow else 1]:
            top.set_title(_("all instances together (PSS)"), fontsize="medium", loc="left")
            rest.set_title(_("left over by a straight line"), fontsize="medium", loc="left")
        labels = [fill(label, 44) for label in names.values()] if page.narrow else names.values()
        figure.legend(names.keys(), labels, loc="outside lower left", ncols=1, frameon=False)
        return figure

    described = [_density_words(record, kind) for kinds in columns for kind in kinds]
    alt = _("Memory over the number of instances, with fitted lines.") + " " + "; ".join(described) + "."
    return finish(draw, alt, caption(record), f"density-{record.created}", 9)


def _density_words(record: records.Record, kind: str) -> str:
    """What is to be said of a box's dots and line."""
    try:
        line = record.line(kind)
    except RecordError as error:
        return f"{name(record, kind)}: {error}"
    words = _(
        "{arm}: {per} each (95 % interval {low} to {high}), and {once} once",
        arm=name(record, kind),
        per=formatting.size(line.slope.value),
        low=formatting.size(line.slope.low),
        high=formatting.size(line.slope.high),
        once=formatting.size(line.intercept.value),
    )
    return f"{words}, {shape(line, formatting.size)}"


def _draw_density(top: Axes, rest: Axes, record: records.Record, kind: str, marker: str) -> tuple[PathCollection, str]:
    """One box's dots with its line in both panels; returns the dots and their label, if there is a line."""
    paint = colour(record, kind)
    look: dict[str, Any] = {"color": paint, "marker": marker, "s": 18, "zorder": 3, "alpha": 0.8, "linewidths": 0}
    dots = top.scatter(*record.points(kind, least=1), **look)
    try:
        line = record.line(kind)
    except RecordError:
        return dots, ""
    levels, values = record.points(kind, least=1)
    straight = stats.line(levels, values)
    x, share = np.linspace(1, levels.max(), 50), 100 / straight.slope.value
    top.plot(x, line.at(x), color=paint, linewidth=1.4)
    once = line.intercept.value
    top.plot([0, 1], [once, once + line.slope.value], color=paint, linewidth=1.2, linestyle=":")
    top.scatter([0], [once], s=34, facecolors="none", edgecolors=paint, linewidths=1.2, marker=marker, zorder=3)
    rest.scatter(levels, straight.residuals * share, **look)
    rest.plot(x, (line.at(x) - straight.at(x)) * share, color=paint, linewidth=1.2)
    return dots, _(
        "{arm}: {per} each, and {once} once",
        arm=name(record, kind),
        per=formatting.size(line.slope.value),
        once=formatting.size(once),
    )


def _percents(axes: Axes) -> None:
    """A y axis of shares round zero that does not blow up what is tiny."""
    most = max(2.0, *(abs(end) for end in axes.get_ylim()))
    axes.set_ylim(-1.05 * most, 1.05 * most)
    axes.axhline(0, color="#808080", linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} %"))


def dockerfile(record: records.Record) -> Plot:
    """Every rung: what its image adds to the base, and what an edit of one line costs."""
    size = next(metric for metric in ("unpacked", "engine_size") if metric in record.plan["metrics"])
    values = [record.median(kind, size).value for kind in record.arms]
    rebuilds = [s.values["rebuild"] for s in record.samples if "rebuild" in s.values]

    def draw(page: Page) -> Figure:
        figure, [sizes, times] = page.canvas(len(record.arms), 0.42, 1.0, panels=2)
        for axes, longest, unit in ((sizes, max(values), "B"), (times, max(rebuilds, default=1), "s")):
            linear_scale(page, axes, longest, unit)
            page.rows(axes, [record.name(kind) for kind in record.arms])
        for row, (kind, value) in enumerate(zip(record.arms, values, strict=True)):
            sizes.barh(row, value, height=BAR, color=PARTS["own"], zorder=3)
            sizes.annotate(formatting.size(value), (value, row), xytext=(4, 0), textcoords="offset points", va="center")
            draw_dots(times, row, record, kind)
        sizes.set_xlabel(_("image, above the base, compiler included"))
        times.set_xlabel(record.label(record.main))
        return figure

    described = "; ".join(
        f"{record.name(kind)}: {formatting.size(record.median(kind, size).value)}"
        + (f", {formatting.seconds(record.median(kind).value)}" if record.kept(kind) else "")
        for kind in record.arms
    )
    what = _(
        "Two panels, a row for each Dockerfile: size of its image above the base, and time to build after an edit."
    )
    alt = f"{what} {described}."
    return finish(draw, alt, caption(record), f"dockerfile-{record.created}", 9)


def edit(record: records.Record) -> Plot:
    """Every edited line with each builder: how long the build takes, and how many bytes are new."""
    times = [s.values["seconds"] for s in record.samples if "seconds" in s.values and not s.discarded]
    sent = {kind: record.median(kind, "sent").value for kind in record.arms if record.kept(kind, "sent")}

    def draw(page: Page) -> Figure:
        figure, [seconds, sizes] = page.canvas(len(record.arms), 0.42, 1.0, panels=2)
        for axes, longest, unit in ((seconds, max(times, default=1), "s"), (sizes, max(sent.values(), default=1), "B")):
            linear_scale(page, axes, longest, unit)
            page.rows(axes, [record.name(kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            draw_dots(seconds, row, record, kind, discarded=False)
            if kind in sent:
                sizes.barh(row, sent[kind], height=BAR, color=PARTS["own"], zorder=3)
                sizes.annotate(
                    record.say("sent", sent[kind]),
                    (sent[kind], row),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                )
        seconds.set_xlabel(record.label(record.main))
        sizes.set_xlabel(record.label("sent"))
        return figure

    said = [
        f"{record.name(kind)}: {record.say(record.main, record.median(kind).value)}, {record.say('sent', sent[kind])}"
        for kind in sent
    ]
    what = _("Two panels, a row for each edited line and builder: time to build again, and size of the new layers.")
    return finish(draw, f"{what} {'; '.join(said)}.", caption(record), f"edit-{record.created}", 9)


def learning(record: records.Record) -> Plot:
    """Every rung of an image for machine learning: bytes stored and sent, seconds to run."""
    metrics = record.plan["metrics"]

    def draw(page: Page) -> Figure:
        figure, axes = page.canvas(len(record.arms), 0.42, 0.75, panels=len(metrics))
        figure.set_layout_engine("constrained", hspace=0.06)
        for axis, (metric, facts) in zip(axes, metrics.items(), strict=True):
            values = {kind: record.median(kind, metric).value for kind in record.arms if record.kept(kind, metric)}
            linear_scale(page, axis, max(values.values(), default=1), facts["unit"])
            axis.set_title(record.label(metric), fontsize="medium", loc="left")
            page.rows(axis, [record.name(kind) for kind in record.arms])
            for row, kind in enumerate(record.arms):
                if kind in values:
                    axis.barh(row, values[kind], height=BAR, color=PARTS["own"], zorder=3)
                    value = record.say(metric, values[kind])
                    axis.annotate(value, (values[kind], row), xytext=(4, 0), textcoords="offset points", va="center")
        return figure

    described = []
    for kind in (kind for kind in record.arms if record.kept(kind)):
        said = [f"{record.label(metric)} {record.say(metric, record.median(kind, metric).value)}" for metric in metrics]
        described.append(f"{record.name(kind)}: {', '.join(said)}")
    alt = _("Three panels, a row for each Dockerfile.") + " " + "; ".join(described) + "."
    return finish(draw, alt, caption(record), f"learning-{record.created}", 9)


def isolation(record: records.Record) -> Plot:
    """Every kind of wall: start, memory at rest, and the price of two system calls; two panels beside each other."""
    panels = {"seconds": _("start"), "pss": _("memory at rest"), "getppid": "getppid", "stat": "stat"}

    def draw(page: Page) -> Figure:
        figure, axes = page.canvas(len(record.arms), 0.46, 0.75, panels=len(panels))
        figure.set_layout_engine("constrained", wspace=0.06, hspace=0.06)  # or the ticks of two panels touch
        for axis, (metric, title) in zip(axes, panels.items(), strict=True):
            unit = record.plan["metrics"][metric]["unit"]
            values = [s.values[metric] for s in record.samples if s.values.get(metric, 0) > 0]
            log_scale(page, axis, values, unit)
            axis.set_title(title, fontsize="medium", loc="left")
            page.rows(axis, [name(record, kind) for kind in record.arms])
            for row, kind in enumerate(record.arms):
                draw_dots(axis, row, record, kind, metric=metric, discarded=False)
        return figure

    described = []
    for kind in (kind for kind in record.arms if record.kept(kind)):
        said = [f"{title} {record.say(metric, record.median(kind, metric).value)}" for metric, title in panels.items()]
        described.append(f"{name(record, kind)}: {', '.join(said)}")
    alt = _("Four panels on logarithmic axes, a row for each runtime.") + " " + "; ".join(described) + "."
    return finish(draw, alt, caption(record), f"isolation-{record.created}", 9)
