"""The plot of two records side by side."""

from boxlab import comparison, prose, records
from boxlab.plots.style import Plot, canvas, colour, finish, log_scale, rows, styled


def compare(a: records.Record, b: records.Record) -> Plot:
    """For every arm that both have, what is compared in A and below it in B, with intervals, on a logarithmic axis.

    Raises:
        RecordError: they cannot be compared.
    """
    comparison.check(a, b)
    lines = [
        (f"{name}: {record.name(kind, ', emulated')}", record, kind, comparison.estimate(record, kind), hollow)
        for kind in comparison.common(a, b)
        for name, record, hollow in (("A", a, False), ("B", b, True))
    ]
    unit = a.plan["metrics"][a.main]["unit"]
    with styled(9):
        figure, [axes] = canvas(0.36 * len(lines) + 0.9)
        log_scale(axes, [e.value for *_, e, _ in lines], unit)
        rows(axes, [label for label, *_ in lines])
        for row, (_, record, kind, estimate, hollow) in enumerate(lines):
            paint = colour(record, kind)
            axes.plot([estimate.low, estimate.high], [row, row], color=paint, linewidth=2)
            axes.scatter(
                [estimate.value], [row], s=36, facecolors="none" if hollow else paint, edgecolors=paint, zorder=3
            )
            said = record.say(record.main, estimate.value)
            axes.annotate(
                said, (max(estimate.value, estimate.high), row), xytext=(8, 0), textcoords="offset points", va="center"
            )
        axes.set_xlabel(a.plan["metrics"][a.main]["label"] + (", slope" if a.levels else "") + " (logarithmic)")
    alt = (
        "Two records side by side. "
        + "; ".join(f"{label} {record.say(record.main, e.value)}" for label, record, _, e, _ in lines)
        + "."
    )
    caption = f"A: {prose.caption(a)} — B: {prose.caption(b)}"
    return finish(figure, alt, caption, f"compare-{a.created}-{b.created}")
