"""Plots of what boxes take: memory, room on disk, and the price of what they do.

Drawn from a record alone; what ran under software emulation says so in the plot itself.
"""

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from boxlab import formatting, records
from boxlab.errors import RecordError
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import (
    PARTS,
    Plot,
    byte_ticks,
    canvas,
    colour,
    finish,
    linear_scale,
    log_scale,
    name,
    rows,
    styled,
)
from boxlab.prose import caption

MEMORY_PARTS = ("application", "shim", "guest", "kernel_file", "translation", "vmm")
DISK_PARTS = ("shared", "own", "packed", "kernel", "disk", "writable")


def memory(record: records.Record) -> Plot:
    """What each box takes at rest, divided by what it is for: one bar an arm, medians."""
    return _stacked(record, MEMORY_PARTS, "pss", _("host memory at rest (proportional set)"))


def size(record: records.Record) -> Plot:
    """What each box takes on disk, divided by what it is: one bar an arm."""
    return _stacked(record, DISK_PARTS, "total", _("on disk: layers as archives, files by allocated blocks"))


def _stacked(record: records.Record, parts: tuple[str, ...], total: str, label: str) -> Plot:
    described = []
    with styled(9):
        figure, [axes] = canvas(0.5 * len(record.arms) + 1.5)
        longest = max((record.median(kind, total).value for kind in record.arms if record.kept(kind, total)), default=1)
        linear_scale(axes, longest, "B")
        rows(axes, [name(record, kind) for kind in record.arms])
        drawn = {}
        for row, kind in enumerate(record.arms):
            if not record.kept(kind, total):
                axes.annotate(_("{count} failed", count=len(record.failures(kind))), (0, row), va="center")
                continue
            begin, words = 0.0, []
            for part in parts:
                if record.kept(kind, part) and (value := record.median(kind, part).value) > 0:
                    [drawn[part]] = axes.barh(row, value, left=begin, height=0.62, color=PARTS[part], zorder=3)
                    begin += value
                    words.append(f"{record.label(part)} {formatting.size(value)}")
            whole = record.say(total, record.median(kind, total).value)
            axes.annotate(whole, (begin, row), xytext=(5, 0), textcoords="offset points", va="center")
            described.append(f"{name(record, kind)}: {whole} ({', '.join(words)})")
        names = [record.label(part).removesuffix(" (PSS)") for part in drawn]
        figure.legend(list(drawn.values()), names, loc="outside lower center", ncols=3, frameon=False)
        axes.set_xlabel(label)
    alt = _("Stacked bars, {metric}.", metric=label) + " " + "; ".join(described) + "."
    return finish(figure, alt, caption(record), f"{record.experiment}-{record.created}")


def density(record: records.Record) -> Plot:
    """Memory over the number of instances with the fitted line of each box, and what the lines leave over."""
    described, names = [], {}
    with styled(9):
        figure, [axes, rest] = canvas(3.6, 2, width_ratios=(3, 2))
        for kind in record.arms:
            levels, values = record.points(kind)
            if not len(levels):
                continue
            paint = colour(record, kind)
            dots = axes.scatter(levels, values, s=20, color=paint, zorder=3)
            try:
                line = record.line(kind)
            except RecordError as error:
                described.append(f"{name(record, kind)}: {error}")
                continue
            ends = [1, levels.max()]
            axes.plot(ends, [line.intercept.value + line.slope.value * x for x in ends], color=paint, linewidth=1.4)
            per = _("{size} each", size=formatting.size(line.slope.value))
            names[dots] = f"{name(record, kind)}: {per}"
            fitted = record.points(kind, least=1)[0]
            rest.scatter(fitted, line.residuals, s=16, color=paint, zorder=3)
            described.append(
                _(
                    "{arm}: {per} (95 % interval {low} to {high}), and {once} once",
                    arm=name(record, kind),
                    per=per,
                    low=formatting.size(line.slope.low),
                    high=formatting.size(line.slope.high),
                    once=formatting.size(line.intercept.value),
                )
            )
        for part, title in ((axes, _("proportional set of all instances")), (rest, _("left over by the line"))):
            part.set_title(title, fontsize=9, loc="left")
            part.set_xlabel(_("instances"))
            part.xaxis.set_major_locator(MaxNLocator(integer=True))
            part.grid(zorder=0)
        axes.set_ylim(bottom=0)
        rest.axhline(0, color="#808080", linewidth=0.8)
        figure.legend(names.keys(), names.values(), loc="outside lower center", ncols=2, frameon=False)
        byte_ticks(axes)
        byte_ticks(rest)
    alt = _("Memory over the number of instances, with fitted lines.") + " " + "; ".join(described) + "."
    return finish(figure, alt, caption(record), f"density-{record.created}")


def dockerfile(record: records.Record) -> Plot:
    """Every rung: what its image adds to the base, and what an edit of one line costs."""
    size = next(metric for metric in ("unpacked", "engine_size") if metric in record.plan["metrics"])
    with styled(9):
        figure, [sizes, times] = canvas(0.42 * len(record.arms) + 1.0, 2, sharey=True)
        values = [record.median(kind, size).value for kind in record.arms]
        linear_scale(sizes, max(values), "B", room=1.4)
        rows(sizes, [record.name(kind) for kind in record.arms])
        for row, value in enumerate(values):
            sizes.barh(row, value, height=0.6, color=PARTS["own"], zorder=3)
            sizes.annotate(formatting.size(value), (value, row), xytext=(4, 0), textcoords="offset points", va="center")
        rebuilds = [s.values["rebuild"] for s in record.samples if "rebuild" in s.values]
        linear_scale(times, max(rebuilds), "s", room=1.4)
        for row, kind in enumerate(record.arms):
            draw_dots(times, row, record, kind)
        times.tick_params(axis="y", length=0)
        sizes.set_xlabel(_("image, above its base"))
        times.set_xlabel(record.label(record.main))
    described = "; ".join(
        f"{record.name(kind)}: {formatting.size(record.median(kind, size).value)}, {formatting.seconds(record.median(kind).value)}"
        for kind in record.arms
    )
    what = _(
        "Two panels, a row for each Dockerfile: size of its image above the base, and time to build after an edit."
    )
    alt = f"{what} {described}."
    return finish(figure, alt, caption(record), f"dockerfile-{record.created}")


def isolation(record: records.Record) -> Plot:
    """Every kind of wall: start, memory at rest, and the price of two system calls."""
    panels = {"seconds": _("start"), "pss": _("memory at rest"), "getppid": "getppid", "stat": "stat"}
    described = []
    with styled(8.5):
        figure, axes = canvas(0.5 * len(record.arms) + 1.0, len(panels), sharey=True)
        for axis, (metric, title) in zip(axes, panels.items(), strict=True):
            unit = record.plan["metrics"][metric]["unit"]
            values = [s.values[metric] for s in record.samples if s.values.get(metric, 0) > 0]
            log_scale(axis, values, unit, room=30)
            axis.set_title(title, fontsize=8.5, loc="left")
            _few_ticks(axis, unit)
            axis.tick_params(axis="y", length=0)
            for row, kind in enumerate(record.arms):
                draw_dots(axis, row, record, kind, metric=metric, discarded=False)
        rows(axes[0], [name(record, kind) for kind in record.arms])
    for kind in (kind for kind in record.arms if record.kept(kind)):
        said = [f"{title} {record.say(metric, record.median(kind, metric).value)}" for metric, title in panels.items()]
        described.append(f"{name(record, kind)}: {', '.join(said)}")
    alt = _("Four panels on logarithmic axes, a row for each runtime.") + " " + "; ".join(described) + "."
    return finish(figure, alt, caption(record), f"isolation-{record.created}")


def _few_ticks(axes: Axes, unit: str) -> None:
    """Every second power: a narrow panel has no room for more."""
    axes.xaxis.set_major_locator(LogLocator(16 if unit == "B" else 100, subs=(1.0,)))
