"""Listening to the kernel's process events ends with its socket, however that ends."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from boxlab.runtimes import kernel_events


def test_a_listener_that_an_interrupt_has_closed_ends_the_collecting():
    near, far = socket.socketpair()
    near.close()
    kernel_events._collect(near, kernel_events.Events(), threading.Event())
    far.close()


HEAR = """
import subprocess
from boxlab.runtimes import kernel_events
with kernel_events.watch() as events:
    subprocess.run(["sleep", "0.01234"], check=True)
print(any("0.01234" in each.command for each in events.execs))
"""


@pytest.mark.linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen")
def test_the_kernel_reports_to_a_process_in_a_network_of_its_own_as_well():
    try:
        kernel_events._listen().close()
    except OSError as error:
        pytest.skip(f"the kernel does not report process events: {error}")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("no other network can be made here")
    apart = ["unshare", "--net", sys.executable, "-c", HEAR]
    assert subprocess.run(apart, capture_output=True, text=True, check=True).stdout == "True\n"
