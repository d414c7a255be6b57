"""The experiments that there are. Here alone is one named: the command, the check of records and the package go by this list.

It imports no experiment before one is asked for, as that takes long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from boxlab import labels
from boxlab.language import _


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: in the command and in records.
        about: what it measures, in one sentence.
        takes_arms: whether its first argument may name runtimes.
    """

    name: str
    about: str
    takes_arms: bool = False

    @property
    def identifier(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")

    @property
    def _room(self) -> ModuleType:
        return import_module(f"boxlab.experiments.{self.identifier}")

    def function(self) -> Callable[..., Any]:
        """What runs it, and returns its record."""
        return cast(Callable[..., Any], getattr(self._room, self.identifier))

    def metric(self, name: str) -> str:
        """What it calls one of its metrics: the module's `METRICS` say so; the name itself where it measures none such."""
        return cast(str, self._room.METRICS.get(name, {}).get("label", name))

    def arm(self, kind: str) -> str:
        """What it calls one of its arms: by the module's `ARMS`, else as all experiments do; the kind itself if none has a word."""
        return cast(str, getattr(self._room, "ARMS", {}).get(kind) or labels.BOXES.get(kind, kind))

    def note(self, text: str) -> str:
        """What a note of a sample means: the module's `WORDS` say so; the note itself where it is what a machine said."""
        return _(getattr(self._room, "WORDS", {}).get(text, text))


def named(name: str) -> Experiment:
    """The experiment of that name in records.

    Raises:
        KeyError: there is none.
    """
    return {experiment.name: experiment for experiment in EXPERIMENTS}[name]


EXPERIMENTS = [
    Experiment("elsewhere", _("What answers otherwise on another computer, and what of that an image mends.")),
    Experiment("startup", _("How long each box takes from the call to its first output."), takes_arms=True),
    Experiment("memory", _("How much memory each box takes at rest, by every way of counting."), takes_arms=True),
    Experiment("guest-tax", _("How much of a virtual machine's memory its own kernel keeps.")),
    Experiment("density", _("How much memory each further instance takes."), takes_arms=True),
    Experiment("size", _("How much disk each box takes."), takes_arms=True),
    Experiment("dockerfile", _("What a better Dockerfile saves, rung by rung.")),
    Experiment("edit", _("What an edit of one line of a Dockerfile costs.")),
    Experiment("learning", _("What an image for machine learning takes, rung by rung.")),
    Experiment("limits", _("What happens at a limit.")),
    Experiment("onion", _("What each layer around a process adds to its start.")),
    Experiment("isolation", _("What a stronger wall costs.")),
    Experiment("kill", _("What stays alive when a process around a container is killed.")),
    Experiment(
        "scale", _("How long it takes to go from nothing to several replicas that answer, and back."), takes_arms=True
    ),
    Experiment("stop", _("How long a container takes to stop, by what its first process is.")),
    Experiment("storage", _("What a write costs, by the place that it goes to.")),
    Experiment("reach", _("What each way to a server in a container costs.")),
    Experiment("transfer", _("What a push and a pull carry after an edit of one line, by the order of the layers.")),
    Experiment("waits", _("How many first requests of a service fail, by how it waits for its database.")),
]
