"""Several processes share the tests out. Each is an owner of its own, so that what one starts the others neither count nor sweep."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def variables(worker: str) -> dict[str, str]:
    """What makes a process and all that it starts another owner than the checkout's."""
    owner = hashlib.sha256(f"{ROOT}\0{os.getuid()}\0{worker}".encode()).hexdigest()[:12]
    return {"BOXLAB_OWNER": owner, "BOXLAB_SCRATCH": str(ROOT / ".cache" / f"scratch-{worker}")}


@contextmanager
def as_worker(worker: str) -> Iterator[None]:
    """Look at the machine as one of them does."""
    import pytest

    from boxlab import paths

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (theirs := variables(worker)).items():
            patch.setenv(name, value)
        patch.setattr(paths, "SCRATCH", Path(theirs["BOXLAB_SCRATCH"]))
        yield
