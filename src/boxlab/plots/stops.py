"""Plot of stops: how long, and whether the program ended its work. Drawn from a record alone."""

from matplotlib.figure import Figure

from boxlab import records
from boxlab.language import _
from boxlab.plots.starts import draw_dots
from boxlab.plots.style import Page, Plot, finish, linear_scale, name
from boxlab.prose import caption


def stop(record: records.Record) -> Plot:
    """Every stop as a dot, with the median; what the engine killed, and what ended its work, is said beside it."""
    kinds = [kind for kind in record.arms if record.kept(kind)]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(record.arms), 0.46, 0.9)
        values = [s.values[record.main] for s in record.samples if record.main in s.values and not s.discarded]
        linear_scale(page, axes, 1.35 * max(values, default=1), "s")
        page.rows(axes, [name(record, kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            draw_dots(axes, row, record, kind, f", {end(record, kind)}" if kind in kinds else "", discarded=False)
        axes.set_xlabel(record.label(record.main))
        return figure

    said = [
        f"{name(record, kind)}: {record.say(record.main, record.median(kind).value)}, {end(record, kind)}"
        for kind in kinds
    ]
    alt = _("Dot plot, {metric}.", metric=record.label(record.main)) + " " + "; ".join(said) + "."
    return finish(draw, alt, caption(record), f"stop-{record.created}", 9)


def end(record: records.Record, kind: str) -> str:
    """How an arm's program ended, in a word or two."""
    means = {"saved": _("work saved"), "killed": _("killed")}
    often = {metric: set(record.kept(kind, metric).values()) for metric in means}
    if any(len(values) > 1 for values in often.values()):
        return _("not each time the same")
    always = [words for metric, words in means.items() if often[metric] == {1}]
    return always[0] if always else _("ended at once, nothing saved")
