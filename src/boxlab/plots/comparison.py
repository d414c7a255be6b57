"""The plot of two records side by side."""

from matplotlib.figure import Figure

from boxlab import comparison, prose, records
from boxlab.language import _
from boxlab.plots.style import Page, Plot, colour, finish, interval, log_scale, name


def compare(a: records.Record, b: records.Record) -> Plot:
    """For every arm that both have, what is compared in A and below it in B, with intervals, on a logarithmic axis.

    Raises:
        RecordError: they cannot be compared.
    """
    comparison.check(a, b)
    lines = [
        (f"{side}: {name(record, kind)}", record, kind, comparison.estimate(record, kind), hollow)
        for kind in comparison.common(a, b)
        for side, record, hollow in (("A", a, False), ("B", b, True))
    ]
    unit = a.plan["metrics"][a.main]["unit"]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(lines), 0.36, 0.9)
        log_scale(page, axes, [line[3].value for line in lines], unit)
        page.rows(axes, [line[0] for line in lines])
        for row, (_label, record, kind, estimate, hollow) in enumerate(lines):
            paint = colour(record, kind)
            interval(axes, estimate, row, color=paint, linewidth=2)
            axes.scatter(
                [estimate.value], [row], s=36, facecolors="none" if hollow else paint, edgecolors=paint, zorder=3
            )
            said = record.say(record.main, estimate.value)
            end = estimate.value if estimate.is_range else max(estimate.value, estimate.high)
            axes.annotate(said, (end, row), xytext=(8, 0), textcoords="offset points", va="center")
        metric = _("{metric}, slope", metric=a.label(a.main)) if a.levels else a.label(a.main)
        axes.set_xlabel(_("{metric} (logarithmic)", metric=metric))
        return figure

    alt = (
        _("Two records side by side.")
        + " "
        + "; ".join(f"{label} {record.say(record.main, e.value)}" for label, record, _kind, e, _hollow in lines)
        + "."
    )
    caption = f"A: {prose.caption(a)} — B: {prose.caption(b)}"
    return finish(draw, alt, caption, f"compare-{a.created}-{b.created}", 9)
