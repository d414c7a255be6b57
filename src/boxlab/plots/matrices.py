"""Plots of what is so and what is not: alive after a kill, the same on another computer. Drawn from a record alone."""

from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from boxlab import records
from boxlab.language import _
from boxlab.plots.style import Page, Plot, finish, name
from boxlab.prose import caption

DOT = 90
"""Area of a dot, in square points."""


def kill(record: records.Record) -> Plot:
    """A row for each that was killed, a column for each that may be alive."""
    alive = [metric for metric in record.plan["metrics"] if metric != record.main]
    said = _said(record, alive)
    alt = _("What is alive after each of {rounds} kills: {list}.", rounds=record.plan["rounds"], list=said)
    return finish(partial(_matrix, record, alive), alt, caption(record, timed=False), f"kill-{record.created}", 9)


def elsewhere(record: records.Record) -> Plot:
    """A row for each difference between two computers, a column for each way to run the program there."""
    ways = [metric for metric in record.plan["metrics"] if metric != record.main]
    alt = _(
        "Where a program gives the same answer on both computers, in each of {rounds} rounds: {list}.",
        rounds=record.plan["rounds"],
        list=_said(record, ways),
    )
    return finish(partial(_matrix, record, ways), alt, caption(record, timed=False), f"elsewhere-{record.created}", 9)


def _matrix(record: records.Record, metrics: list[str], page: Page) -> Figure:
    """A full dot where something was so, an empty one where it wasn't, and its share where that wasn't the same each time."""
    figure, [axes] = page.canvas(len(record.arms), 0.4, 0.7)
    page.rows(axes, [name(record, kind) for kind in record.arms])
    for row, kind in enumerate(record.arms):
        for column, metric in enumerate(metrics):
            share = part(record, kind, metric)
            if share is None:
                axes.text(column, row, "–", ha="center", va="center")
                continue
            face, edge = ("#1f83c4" if share == 1 else "none"), ("#1f83c4" if share else "#808080")
            axes.scatter([column], [row], s=DOT, linewidths=1.6, zorder=3, facecolors=face, edgecolors=edge)
            if 0 < share < 1:
                axes.text(column + 0.15, row, f"{share:.0%}", va="center")
    axes.set_xlim(-0.5, len(metrics) - 0.5)
    axes.xaxis.set_major_locator(FixedLocator(range(len(metrics))))
    axes.set_xticklabels([record.label(metric) for metric in metrics])
    axes.tick_params(axis="x", length=0, top=False, labeltop=not page.narrow, labelbottom=page.narrow)
    axes.spines["bottom"].set_visible(False)
    axes.grid(axis="y", zorder=0)
    return figure


def _said(record: records.Record, metrics: list[str]) -> str:
    """Of each arm, what was so each time."""
    said = []
    for kind in record.arms:
        so = [record.label(metric) for metric in metrics if part(record, kind, metric) == 1]
        said.append(f"{name(record, kind)}: {', '.join(so) or _('nothing')}")
    return "; ".join(said)


def part(record: records.Record, kind: str, metric: str) -> float | None:
    """In which part of an arm's samples something was so; None where there is no sample."""
    values = list(record.kept(kind, metric).values())
    return sum(values) / len(values) if values else None
