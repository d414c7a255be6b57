"""A notebook of Part III as a reader may treat it: cells in another order than written, and a kernel that is killed."""

import os
import subprocess
import sys

import nbclient
import nbformat
import pytest
from census import KEPT

from boxlab import marks, paths, sweep, waiting

IMPATIENT = """
import signal

signal.signal(signal.SIGALRM, signal.default_int_handler)
get_ipython().events.register("pre_run_cell", lambda info: signal.alarm(5))
"""
"""Each cell below is interrupted, as by a reader: in another order, some wait for what does not come."""

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def everything():
    found = {f"{item.kind} {item.name}" for item in sweep.leftovers(images=True)}
    return {item for item in found if not item.startswith(KEPT)}


@pytest.mark.parametrize("name", ["12-lifecycle", "15-compose"])  # which leave all kinds of things
def test_cells_in_another_order_and_a_killed_kernel_leave_nothing_that_clean_does_not_find(name):
    before = everything()
    notebook = nbformat.read(paths.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    setup, *others = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.id != "leftovers"]
    assert setup.id == "setup"
    others = [cell for cell in others if "experiments." not in cell.source]  # they clean up themselves
    impatient, kill = map(nbformat.v4.new_code_cell, (IMPATIENT, KILL))
    notebook.cells = [setup, impatient, *reversed(others), kill]
    folder = {"metadata": {"path": paths.ROOT / "notebooks"}}
    client = nbclient.NotebookClient(notebook, timeout=waiting.HANG_S, allow_errors=True, resources=folder)
    environment = {name: value for name, value in os.environ.items() if name != marks.MARK}
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        client.execute(env=environment)
    assert not [output for output in setup.outputs if output.output_type == "error"]
    assert everything() > before  # there was something to find
    subprocess.run([sys.executable, "-m", "boxlab", "clean"], check=True)
    assert everything() <= before
