"""Plot of failed first requests, by what waits for the database. Drawn from a record alone."""

from matplotlib.figure import Figure

from boxlab import records
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import Page, Plot, finish, linear_scale, name
from boxlab.prose import caption


def waits(record: records.Record) -> Plot:
    """Every start as a dot at its time until the first good answer, with the median; how many requests failed is said beside it."""
    kinds = [kind for kind in record.arms if record.kept(kind)]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(record.arms), 0.46, 0.9)
        values = [s.values[record.main] for s in record.samples if record.main in s.values and not s.discarded]
        linear_scale(page, axes, 1.5 * max(values, default=1), "s")
        page.rows(axes, [name(record, kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            draw_dots(axes, row, record, kind, f", {failed(record, kind)}" if kind in kinds else "", discarded=False)
        axes.set_xlabel(record.label(record.main))
        return figure

    said = [
        f"{name(record, kind)}: {record.say(record.main, record.median(kind).value)}, {failed(record, kind)}"
        for kind in kinds
    ]
    alt = _("Dot plot, {metric}.", metric=record.label(record.main)) + " " + "; ".join(said) + "."
    return finish(draw, alt, caption(record), f"waits-{record.created}", 9)


def failed(record: records.Record, kind: str) -> str:
    """How many of an arm's first requests failed, in the median."""
    return _("{count:g} failed", count=record.median(kind, "unanswered").value)
