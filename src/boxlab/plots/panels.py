"""Plots of what is measured in several ways: a panel for each. Drawn from a record alone."""

from matplotlib.figure import Figure

from boxlab import records
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import Page, Plot, finish, linear_scale, name
from boxlab.prose import caption


def storage(record: records.Record) -> Plot:
    """Every write as a dot, with the median: a row for each place."""
    return _panels(record, _("A panel for each kind of write, and in it a row for each place."))


def reach(record: records.Record) -> Plot:
    """What each way to the server took, as dots with the median: a row for each way."""
    return _panels(record, _("A panel for each thing to do, and in it a row for each way to the server."))


def _panels(record: records.Record, alt: str) -> Plot:
    """A panel for each metric of a record of times, and in each a row for each arm."""
    metrics = list(record.plan["metrics"])

    def draw(page: Page) -> Figure:
        figure, axes = page.canvas(len(record.arms), 0.4, 1.0, panels=len(metrics))
        for spare in axes[len(metrics) :]:
            spare.remove()
        for axis, metric in zip(axes, metrics, strict=False):
            values = [s.values[metric] for s in record.samples if metric in s.values and not s.discarded]
            linear_scale(page, axis, max(values, default=1) * 1.15, "s")
            page.rows(axis, [name(record, kind) for kind in record.arms])
            for row, kind in enumerate(record.arms):
                draw_dots(axis, row, record, kind, metric=metric, discarded=False)
            axis.set_xlabel(record.label(metric))
        return figure

    said = [
        f"{name(record, kind)}: "
        + ", ".join(
            f"{record.label(metric)} {record.say(metric, record.median(kind, metric).value)}" for metric in metrics
        )
        for kind in record.arms
        if record.kept(kind)
    ]
    return finish(draw, f"{alt} {'; '.join(said)}.", caption(record), f"{record.experiment}-{record.created}", 9)
