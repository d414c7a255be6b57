"""The experiments: each turns a plan into a record, and can be interrupted at any moment."""

from boxlab.experiments.density import density
from boxlab.experiments.dockerfile import dockerfile
from boxlab.experiments.isolation import isolation
from boxlab.experiments.limits import limits
from boxlab.experiments.memory import engine_figure, guest_tax, memory
from boxlab.experiments.onion import onion
from boxlab.experiments.profiles import Profile, profile
from boxlab.experiments.size import size
from boxlab.experiments.startup import startup

__all__ = [
    "Profile",
    "density",
    "dockerfile",
    "engine_figure",
    "guest_tax",
    "isolation",
    "limits",
    "memory",
    "onion",
    "profile",
    "size",
    "startup",
]
