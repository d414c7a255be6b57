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


@pytest.mark.linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen")
def test_the_kernel_reports_to_a_process_in_a_network_of_its_own_as_well():
    if reason := kernel_events.refusal():
        pytest.skip(reason)
    ask = "from boxlab.runtimes import kernel_events; print(repr(kernel_events.refusal()))"
    apart = ["unshare", "--net", sys.executable, "-c", ask]
    assert subprocess.run(apart, capture_output=True, text=True, check=True).stdout == "''\n"
