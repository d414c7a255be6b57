"""Plot of scaling: from nothing to several replicas that answer, and back. Drawn from a record alone."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from boxlab import records
from boxlab.language import _
from boxlab.plots.style import Page, Plot, colour, finish, name, short
from boxlab.prose import caption

MARKERS = ("o", "s", "^")


def scale(record: records.Record) -> Plot:
    """Every scaling as a dot over the number of replicas, with a line through the medians; up and down have panels of their own.

    Virtual machines come up in a panel beside the others, as emulated ones take many times as long.
    """
    kinds = [kind for kind in record.arms if record.counted(kind)]
    machines = [kind for kind in kinds if "accelerator" in record.arm(kind)["details"]]
    others = [kind for kind in kinds if kind not in machines]
    up = _("until all have answered")
    panels = [
        (up, "up", others),
        (_("VMs, until all have answered"), "up", machines),
        (_("until all are gone"), "down", kinds),
    ]
    shown = [panel for panel in panels if panel[2]]
    marker = dict(zip(kinds, itertools.cycle(MARKERS)))

    def draw(page: Page) -> Figure:
        across = 1 if page.narrow else len(shown)
        height_in = 2.5 * len(shown) / across + (0.2 * len(kinds) if page.narrow else 0.3)
        figure = Figure(figsize=(page.width_in, height_in), layout="constrained")
        axes = figure.subplots(len(shown) // across, across, squeeze=False).flat
        lines = {}
        for axis, (title, metric, of) in zip(axes, shown, strict=True):
            for kind in of:
                lines[kind] = _draw(axis, record, kind, metric, marker[kind])
            axis.set_title(title, fontsize="medium", loc="left")
            axis.set_xlabel(_("replicas"))
            axis.set_xlim(0, max(record.levels) + 0.5)
            axis.xaxis.set_major_locator(FixedLocator([0, *record.levels]))
            axis.set_ylim(bottom=0)
            axis.yaxis.set_major_locator(MaxNLocator(5))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y, "s")))
            axis.grid(zorder=0)
        names = [name(record, kind) for kind in lines]
        columns = 1 if page.narrow else max(1, len(kinds))
        figure.legend(lines.values(), names, loc="outside lower left", ncols=columns, frameon=False)
        return figure

    alt = _("Seconds over the number of replicas, until all have answered and until all are gone.")
    said = "; ".join(_words(record, kind) for kind in kinds)
    return finish(draw, f"{alt} {said}.", caption(record), f"scale-{record.created}", 9)


def _draw(axis: Axes, record: records.Record, kind: str, metric: str, marker: str) -> Line2D:
    """One box's dots, and the line through its medians."""
    paint = colour(record, kind)
    x, y = record.points(kind, metric)
    axis.scatter(x, y, color=paint, marker=marker, s=18, alpha=0.75, linewidths=0, zorder=3)
    steps = np.unique(x)
    medians = [record.median(kind, metric, step).value for step in steps]
    [line] = axis.plot(steps, medians, color=paint, marker=marker, markersize=4, linewidth=1.4)
    return line


def _words(record: records.Record, kind: str) -> str:
    """What is to be said of a box's lines: the fewest and the most replicas."""
    levels = sorted({sample.level for sample in record.counted(kind) if sample.level})
    ends = [
        _(
            "{count} in {up}, gone in {down}",
            count=level,
            up=record.say("up", record.median(kind, "up", level).value),
            down=record.say("down", record.median(kind, "down", level).value),
        )
        for level in (levels[0], levels[-1])
    ]
    return f"{name(record, kind)}: {', '.join(ends)}"
