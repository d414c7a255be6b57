"""The experiments, each a function under its name in `boxlab.catalogue`: it turns a plan into a record, and can be interrupted
at any moment."""

from boxlab import catalogue
from boxlab.experiments.memory import engine_figure

for _experiment in catalogue.EXPERIMENTS:
    globals()[_experiment.identifier] = _experiment.function()

__all__ = ["engine_figure"]  # besides those of the catalogue
