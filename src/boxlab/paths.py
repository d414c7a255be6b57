"""Where things lie. Everything that we write is below the project's own folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
RESULTS = ROOT / "notebooks" / "results"
LABS = ROOT / "labs"

WORK = ROOT / "work"
"""The learner's copies of the labs, and how far the learner has come."""

CACHE = ROOT / ".cache"
"""What can be made again: root filesystems, disks, kernels, verdicts."""

# matplotlib would write into the reader's home, or warn that it cannot. It looks when it is imported, in kernels too.
os.environ.setdefault("MPLCONFIGDIR", str(CACHE / "matplotlib"))

NAMES = CACHE / "names"
"""What notebooks have declared; see `boxlab.names`."""

_GIVEN = Path(os.environ.get("BOXLAB_SCRATCH", "")).name  # by a test's worker, whose own it is
SCRATCH = CACHE / (_GIVEN if _GIVEN.startswith("scratch") else "scratch")
"""What lives only as long as a box does; empty when nothing runs."""


OPEN = Path("/var/tmp")
"""Where any user may go, with room on a disk; what is ours there begins with `marks.prefix()`."""


def scratch() -> Path:
    """The scratch folder, made if need be."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return SCRATCH
