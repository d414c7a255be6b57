"""What is drawn of each experiment's record, on the book's pages and in its notebooks."""

from functools import partial

from boxlab import plots

BY_EXPERIMENT = {
    "startup": [plots.startup, *(partial(plots.phases, kinds=(kind,)) for kind in ("container", "microvm", "full-vm"))],
    "onion": [plots.ladder, partial(plots.phases, kinds=("runc", "engine-none", "engine-bridge"))],
    "memory": [plots.memory],
    "size": [plots.size],
    "density": [plots.density],
    "dockerfile": [plots.dockerfile],
    "edit": [plots.edit],
    "elsewhere": [plots.elsewhere],
    "isolation": [plots.isolation],
    "kill": [plots.kill],
    "learning": [plots.learning],
    "scale": [plots.scale],
    "stop": [plots.stop],
    "storage": [plots.storage],
    "reach": [plots.reach],
    "transfer": [plots.transfer],
    "waits": [plots.waits],
}
