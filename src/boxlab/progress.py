"""Progress bars. A notebook that a build runs has no terminal of its own: its bars go where the build says."""

import os
import sys

from tqdm import tqdm

TERMINAL = "BOXLAB_TERMINAL"
"""Environment variable: the terminal that bars are drawn on instead of the error output; set and empty, none is drawn."""


def bar(description: str, **options) -> tqdm:
    """A progress bar with time left, for a `with` block; `options` are tqdm's. Without a terminal or a notebook, silent."""
    path = os.environ.get(TERMINAL)
    if path:
        return tqdm(desc=description, file=open(path, "w"), leave=False, **options)
    in_notebook = "ipykernel" in sys.modules
    return tqdm(desc=description, disable=path == "" or (False if in_notebook else None), **options)
