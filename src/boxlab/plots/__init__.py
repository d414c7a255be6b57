"""Every plot of the book, each drawn from a record alone."""

from boxlab.plots.comparison import compare
from boxlab.plots.kills import kill
from boxlab.plots.panels import reach, storage
from boxlab.plots.resources import density, dockerfile, edit, isolation, memory, size
from boxlab.plots.starts import ladder, phases, startup
from boxlab.plots.stops import stop
from boxlab.plots.style import COLOURS, PARTS, Plot
from boxlab.plots.transfers import transfer

__all__ = [
    "COLOURS",
    "PARTS",
    "Plot",
    "compare",
    "density",
    "dockerfile",
    "edit",
    "isolation",
    "kill",
    "ladder",
    "memory",
    "phases",
    "reach",
    "size",
    "startup",
    "stop",
    "storage",
    "transfer",
]
