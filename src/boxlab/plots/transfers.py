"""Plot of transfers: what a push and a pull carry. Drawn from a record alone."""

from matplotlib.figure import Figure

from boxlab import records
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import Page, Plot, finish, linear_scale, name
from boxlab.prose import caption


def transfer(record: records.Record) -> Plot:
    """Every push and every pull as a dot, with the median: two panels, a row for each order of the layers."""
    panels = {"push": _("sent by the push"), "pull": _("received by the pull")}

    def draw(page: Page) -> Figure:
        figure, axes = page.canvas(len(record.arms), 0.46, 1.0, panels=len(panels))
        for axis, (metric, title) in zip(axes, panels.items(), strict=True):
            values = [s.values[metric] for s in record.samples if metric in s.values and not s.discarded]
            linear_scale(page, axis, max(values, default=1), "B")
            page.rows(axis, [name(record, kind) for kind in record.arms])
            for row, kind in enumerate(record.arms):
                draw_dots(axis, row, record, kind, metric=metric, discarded=False)
            axis.set_xlabel(title)
        return figure

    said = "; ".join(
        f"{name(record, kind)}: "
        + ", ".join(
            f"{title} {record.say(metric, record.median(kind, metric).value)}" for metric, title in panels.items()
        )
        for kind in record.arms
    )
    alt = _("Two panels, a row for each order of the layers: bytes that go to the registry, and that come from it.")
    return finish(draw, f"{alt} {said}.", caption(record), f"transfer-{record.created}", 9)
