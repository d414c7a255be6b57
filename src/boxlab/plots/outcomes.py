"""Plots of how long something took, with what came of it beside: stops, and ways to wait. Drawn from a record alone."""

from collections.abc import Callable

from matplotlib.figure import Figure

from boxlab import records
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import Page, Plot, finish, linear_scale, name
from boxlab.prose import caption


def stop(record: records.Record) -> Plot:
    """Every stop as a dot, with the median; what the engine killed, and what ended its work, is said beside it."""
    return _told(record, end, 1.35)


def waits(record: records.Record) -> Plot:
    """Every start as a dot at its time until the first good answer, with the median; how many requests failed is said beside it."""
    return _told(record, failed, 1.5)


def _told(record: records.Record, outcome: Callable[[records.Record, str], str], room: float) -> Plot:
    """A row of dots for each arm, and in words what came of it.

    Args:
        outcome: those words, for an arm.
        room: how much longer than the longest time the axis is, so that they have their place.
    """
    kinds = [kind for kind in record.arms if record.kept(kind)]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(record.arms), 0.46, 0.9)
        values = [s.values[record.main] for s in record.samples if record.main in s.values and not s.discarded]
        linear_scale(page, axes, room * max(values, default=1), "s")
        page.rows(axes, [name(record, kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            draw_dots(axes, row, record, kind, f", {outcome(record, kind)}" if kind in kinds else "", discarded=False)
        axes.set_xlabel(record.label(record.main))
        return figure

    said = [
        f"{name(record, kind)}: {record.say(record.main, record.median(kind).value)}, {outcome(record, kind)}"
        for kind in kinds
    ]
    alt = _("Dot plot, {metric}.", metric=record.label(record.main)) + " " + "; ".join(said) + "."
    return finish(draw, alt, caption(record), f"{record.experiment}-{record.created}", 9)


def end(record: records.Record, kind: str) -> str:
    """How an arm's program ended, in a word or two."""
    means = {"saved": _("work saved"), "killed": _("killed")}
    often = {metric: set(record.kept(kind, metric).values()) for metric in means}
    if any(len(values) > 1 for values in often.values()):
        return _("not each time the same")
    always = [words for metric, words in means.items() if often[metric] == {1}]
    return always[0] if always else _("ended at once, nothing saved")


def failed(record: records.Record, kind: str) -> str:
    """How many of an arm's first requests failed, in the median."""
    return _("{count:g} failed", count=record.median(kind, "unanswered").value)
