"""Run one workload as a process, a container and a virtual machine, and measure them side by side.

The way of data is one straight line: experiment -> runtime -> record -> plot and glued numbers.
"""

__version__ = "0.1.0"
"""The version stands here; CHANGELOG.md and CITATION.cff, which people read, repeat it."""
