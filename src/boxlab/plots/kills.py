"""Plot of kills: what is alive when a process around a container was killed. Drawn from a record alone."""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from boxlab import records
from boxlab.language import _
from boxlab.plots.style import Page, Plot, finish, name
from boxlab.prose import caption

DOT = 90
"""Area of a dot, in square points."""


def kill(record: records.Record) -> Plot:
    """A row for each that was killed, a column for each that may be alive: a full dot if it is, an empty one if it isn't, and its
    share where that wasn't the same each time."""
    alive = [metric for metric in record.plan["metrics"] if metric != record.main]

    def draw(page: Page) -> Figure:
        figure, [axes] = page.canvas(len(record.arms), 0.4, 0.7)
        page.rows(axes, [name(record, kind) for kind in record.arms])
        for row, kind in enumerate(record.arms):
            for column, metric in enumerate(alive):
                share = part(record, kind, metric)
                if share is None:
                    axes.text(column, row, "–", ha="center", va="center")
                    continue
                face, edge = ("#1f83c4" if share == 1 else "none"), ("#1f83c4" if share else "#808080")
                axes.scatter([column], [row], s=DOT, linewidths=1.6, zorder=3, facecolors=face, edgecolors=edge)
                if 0 < share < 1:
                    axes.text(column + 0.15, row, f"{share:.0%}", va="center")
        axes.set_xlim(-0.5, len(alive) - 0.5)
        axes.xaxis.set_major_locator(FixedLocator(range(len(alive))))
        axes.set_xticklabels([record.label(metric) for metric in alive])
        axes.tick_params(axis="x", length=0, top=False, labeltop=not page.narrow, labelbottom=page.narrow)
        axes.spines["bottom"].set_visible(False)
        axes.grid(axis="y", zorder=0)
        return figure

    said = []
    for kind in record.arms:
        lives = [record.label(metric) for metric in alive if part(record, kind, metric) == 1]
        said.append(f"{name(record, kind)}: {', '.join(lives) or _('nothing')}")
    rounds = record.plan["rounds"]
    alt = _("What is alive after each of {rounds} kills: {list}.", rounds=rounds, list="; ".join(said))
    return finish(draw, alt, caption(record), f"kill-{record.created}", 9)


def part(record: records.Record, kind: str, metric: str) -> float | None:
    """In which part of an arm's samples something was alive; None where there is no sample."""
    values = list(record.kept(kind, metric).values())
    return sum(values) / len(values) if values else None
