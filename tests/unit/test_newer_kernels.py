"""What newer kernels than ours have in their files, as recorded on one."""

import json
import subprocess
import sys

import nbformat
import pytest

from boxlab import paths

STATUS = paths.ROOT / "tests" / "recorded" / "proc-self-status-7.2"
"""Of a privileged container: its last fields are empty."""


@pytest.mark.linux
def test_an_empty_field_of_a_process_s_status_is_one_that_notebook_05_can_read():
    cells = nbformat.read(paths.ROOT / "notebooks" / "05-by-hand.ipynb", as_version=4).cells
    [source] = [cell.source for cell in cells if cell.id == "runc"]
    program = source.partition('LOOK = """')[2].partition('"""')[0].encode().decode("unicode_escape")
    found = subprocess.run(
        [sys.executable, "-c", program.replace("/proc/self/status", str(STATUS))], capture_output=True, check=True
    )
    assert json.loads(found.stdout)["system calls filtered"] == "no"
