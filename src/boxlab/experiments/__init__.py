"""The experiments: each turns a plan into a record, and can be interrupted at any moment."""

from boxlab.experiments.density import density
from boxlab.experiments.memory import guest_tax, memory
from boxlab.experiments.profiles import Profile, profile
from boxlab.experiments.startup import startup

__all__ = ["Profile", "density", "guest_tax", "memory", "profile", "startup"]
