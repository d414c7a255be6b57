"""A notebook of Part III as a reader may treat it: cells in another order than written, and a kernel that is killed."""

import os
import subprocess
import sys

import nbclient
import nbformat
import pytest

from boxlab import marks, paths, sweep

CELL_S = 300
"""What no cell takes; in this order, some wait for what does not come."""

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def everything():
    return {f"{item.kind} {item.name}" for item in sweep.leftovers(images=True)}


@pytest.mark.parametrize("name", ["10-engine", "12-lifecycle", "13-data", "14-registry", "15-compose"])
def test_cells_in_another_order_and_a_killed_kernel_leave_nothing_that_clean_does_not_find(name):
    before = everything()
    notebook = nbformat.read(paths.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    setup, *others = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.id != "leftovers"]
    assert setup.id == "setup"
    others = [cell for cell in others if "experiments." not in cell.source]  # they clean up themselves
    notebook.cells = [setup, *reversed(others), nbformat.v4.new_code_cell(KILL)]
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_S,
        interrupt_on_timeout=True,
        allow_errors=True,
        resources={"metadata": {"path": paths.ROOT / "notebooks"}},
    )
    environment = {name: value for name, value in os.environ.items() if name != marks.MARK}
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        client.execute(env=environment)
    assert everything() > before  # there was something to find
    subprocess.run([sys.executable, "-m", "boxlab", "clean"], check=True)
    assert everything() <= before
