"""The experiments that there are. Here alone is one named: the command, the check of records and the package go by this list.

It imports no experiment before one is asked for, as that takes long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: in the command and in records.
        about: what it measures, in one sentence.
        module: the one in `boxlab.experiments` that has its function; by default that of the same name.
        takes_arms: whether its first argument may name runtimes.
    """

    name: str
    about: str
    module: str = ""
    takes_arms: bool = False

    @property
    def identifier(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")

    def function(self) -> Callable[..., Any]:
        """What runs it, and returns its record."""
        module = import_module(f"boxlab.experiments.{self.module or self.identifier}")
        return cast(Callable[..., Any], getattr(module, self.identifier))


EXPERIMENTS = [
    Experiment("startup", "How long each box takes from the call to its first output.", takes_arms=True),
    Experiment("memory", "How much memory each box takes at rest, by every way of counting.", takes_arms=True),
    Experiment("guest-tax", "How much of a virtual machine's memory its own kernel keeps.", "memory"),
    Experiment("density", "How much memory each further instance takes.", takes_arms=True),
    Experiment("size", "How much disk each box takes."),
    Experiment("dockerfile", "What a better Dockerfile saves, rung by rung."),
    Experiment("limits", "What happens at a limit."),
    Experiment("onion", "What each layer around a process adds to its start."),
    Experiment("isolation", "What a stronger wall costs."),
]
