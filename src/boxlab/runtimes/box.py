"""What every box has in common: one workload, one way to start until ready, observe and stop."""

import json
import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from boxlab.interrupts import deferred
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer, HostProcess

WORKLOAD_MARKS = {
    "app": r"workload: started",
    "ready": r"workload: ready (.*)",
    "identity": r"workload: identity (\{.*\})",
}
"""What the workload prints, in every box alike: see images/workload/app.py."""

INSIDE = {"app": "interpreter", "ready": "output"}
"""The last phases of a start, which no box can do without: mark that ends it -> what happened in it, as a key of `labels.PHASES`."""

ANSWER = r"workload: answer (.*)"

ANSWER_S = 60.0
"""How long a workload may take to answer, where nothing is known of its machine."""


@dataclass(frozen=True)
class Workload:
    """What is run, and how much of the machine it may use; the same in every box.

    Attributes:
        image: name of the image, a folder below images/.
        cpus: how many processors it may use at once.
        memory_mib: how much memory it may use, in MiB; a VM is given this much, the others are stopped there.
    """

    image: str = "workload"
    cpus: float = 1
    memory_mib: int = 256


@dataclass(frozen=True)
class Observation:
    """A running box from both sides.

    Attributes:
        inside: what the workload sees (its process id, kernel, boot id, hash of its files).
        pids: the host's processes that serve it.
        id: by which programs that serve it call it, where it is a container; else empty.
    """

    inside: dict[str, Any]
    pids: list[int]
    id: str = ""


@dataclass
class Box:
    """A box that is ready.

    Attributes:
        kind: which runtime started it.
        marks: seconds from the call of `start` to each phase, in order; "ready" is the first useful output.
        answer: that first output.
        answer_s: how long it may take to answer, in seconds.
    """

    kind: str
    console: Console
    spawned: HostProcess | EngineContainer
    marks: dict[str, float]
    answer: str
    answer_s: float = ANSWER_S
    _stopped: bool = field(default=False, init=False)

    def observe(self) -> Observation:
        """Look at it from inside and from the host.

        Raises:
            NotReady: the workload does not say where it is.
        """
        waited = time.monotonic() - self.console.t0
        inside = json.loads(self.console.wait_for("identity", waited + self.answer_s))
        return Observation(inside, self.spawned.pids(), self.spawned.id)

    def ask(self, line: str) -> str:
        """Write a line to the workload's input, and return its answer.

        Raises:
            NotReady: none came within `answer_s` seconds, or the workload ended.
        """
        self.spawned.send(line.encode() + b"\n")
        return self.console.next(ANSWER, self.answer_s)

    def stop(self) -> float:
        """End it and remove all of it; returns how long its end took, in seconds. A second call does nothing.

        What we look for and remove afterwards, because a tool may have left it, is not part of that.
        """
        began = ended = time.monotonic()
        with deferred():
            if not self._stopped:
                self.spawned.stop()
                ended = self.spawned.times.get("ended", time.monotonic())
                self._stopped = True
        return ended - began

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Runtime(ABC):
    """One way to run a workload."""

    kind: str
    label: str
    """How plots and tables call it."""

    phases: dict[str, str]
    """Mark that ends a phase -> what happened in it, as a key of `labels.PHASES`, in order; the last one is "ready"."""

    deadline_s: float = 60.0
    """A start that takes longer is a failure."""

    silence_s: float = math.inf
    """So is one that prints nothing for so long."""

    answer_s: float = ANSWER_S

    serial = False
    """Whether its output comes by a machine's serial port."""

    @abstractmethod
    def prepare(self, workload: Workload) -> None:
        """Make ready everything that exists before a start: images, files, disks. Never timed.

        Raises:
            Unavailable: this machine cannot run such a box.
        """

    @abstractmethod
    def _spawn(self, workload: Workload) -> HostProcess | EngineContainer:
        """Bring it to life."""

    def marks(self) -> dict[str, str]:
        """Patterns of the lines that end a phase, beside the workload's own or in their place."""
        return {}

    def details(self) -> dict[str, Any]:
        """What a record should say of this runtime beyond its name."""
        return {}

    def start(self, workload: Workload) -> Box:
        """Start the workload and wait for its first useful output.

        t0 is the call of this method, t1 the arrival of the line at this process, both on the host's monotonic clock.

        Raises:
            NotReady: it hung, ended or flooded its console; nothing of it is left.
            EngineError: the engine refused.
        """
        t0 = time.monotonic()
        spawned = None
        try:
            with deferred():  # or Ctrl-C might strike when it exists and we do not know of it yet
                spawned = self._spawn(workload)
            spawned_at = time.monotonic() - t0
            console = Console(spawned, WORKLOAD_MARKS | self.marks(), t0, self.serial)
            answer = console.wait_for("ready", self.deadline_s, self.silence_s)
            calls = {name: at - t0 for name, at in spawned.times.items()} or {"spawned": spawned_at}
            return Box(self.kind, console, spawned, calls | console.marks, answer, self.answer_s)
        except BaseException:  # Ctrl-C as well: nothing may stay
            if spawned:
                spawned.stop(grace_s=0)
            raise
