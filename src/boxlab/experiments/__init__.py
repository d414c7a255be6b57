"""The experiments: each turns a plan into a record, and can be interrupted at any moment."""

from boxlab.experiments.profiles import Profile, profile
from boxlab.experiments.startup import startup

__all__ = ["Profile", "profile", "startup"]
