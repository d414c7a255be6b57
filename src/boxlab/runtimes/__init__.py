"""The boxes: a process, a container and two kinds of virtual machine, all with the same three verbs."""

from boxlab.runtimes.box import Box, Observation, Runtime, Workload
from boxlab.runtimes.container import Container
from boxlab.runtimes.known import ALL, named
from boxlab.runtimes.process import Process
from boxlab.runtimes.snapshot import RestoredVM
from boxlab.runtimes.together import Boxes, started
from boxlab.runtimes.vm import FullVM, MicroVM

__all__ = [
    "ALL",
    "Box",
    "Boxes",
    "Container",
    "FullVM",
    "MicroVM",
    "Observation",
    "Process",
    "RestoredVM",
    "Runtime",
    "Workload",
    "named",
    "started",
]
