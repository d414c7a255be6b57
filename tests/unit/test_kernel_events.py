"""Listening to the kernel's process events ends with its socket, however that ends."""

import socket
import threading

from boxlab.runtimes import kernel_events


def test_a_listener_that_an_interrupt_has_closed_ends_the_collecting():
    near, far = socket.socketpair()
    near.close()
    kernel_events._collect(near, kernel_events.Events(), threading.Event())
    far.close()
