"""Every plot of the book, each drawn from a record alone."""

from boxlab.plots.comparison import compare
from boxlab.plots.matrices import elsewhere, kill
from boxlab.plots.outcomes import stop, waits
from boxlab.plots.panels import reach, storage
from boxlab.plots.resources import density, dockerfile, edit, isolation, learning, memory, size
from boxlab.plots.scales import scale
from boxlab.plots.starts import ladder, phases, startup
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
    "elsewhere",
    "isolation",
    "kill",
    "ladder",
    "learning",
    "memory",
    "phases",
    "reach",
    "scale",
    "size",
    "startup",
    "stop",
    "storage",
    "transfer",
    "waits",
]
