"""Which program began when, as the kernel reports it: the process events connector (Documentation/driver-api/connector.rst).

Only root may listen, and only on the machine itself. The kernel stamps its events by the clock that `time.monotonic` reads.
"""

import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boxlab import engine

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_PROC_CN_MCAST_LISTEN = 1
_PROC_EVENT_EXEC = 2
_NLMSG_DONE = 3
_NETLINK_HEADER = struct.Struct("=IHHII")
_CONNECTOR_HEADER = struct.Struct("=IIIIHH")
_EVENT_HEADER = struct.Struct("=IIQ")
"""What, processor, nanoseconds; the process id follows."""

_EVENT_AT = _NETLINK_HEADER.size + _CONNECTOR_HEADER.size
_POLL_S = 0.05


@dataclass(frozen=True)
class Exec:
    """One program that began: when, on the monotonic clock in seconds, and its command line."""

    at: float
    command: str


@dataclass
class Events:
    """What has been seen so far, in order; complete once the block has ended."""

    execs: list[Exec] = field(default_factory=list)


def refusal() -> str:
    """Why the kernel's events are not to be had here; empty where they are."""
    if sys.platform != "linux" or not engine.is_local():
        return "the containers run on another kernel"
    if os.geteuid() != 0:
        return "only root may listen to the kernel's process events"
    try:
        _listen().close()
    except OSError as error:
        return f"the kernel does not report process events: {error.strerror}"
    return ""


@contextmanager
def watch() -> Iterator[Events]:
    """Collect every program's beginning on this machine while the block runs.

    Raises:
        OSError: see `refusal`.
    """
    events, ended = Events(), threading.Event()
    with _listen() as listener:
        reader = threading.Thread(target=_collect, args=(listener, events, ended), daemon=True)
        reader.start()
        try:
            yield events
        finally:
            ended.set()
            reader.join()


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
    try:
        listener.bind((0, _CN_IDX_PROC))
        order = struct.pack("=I", _PROC_CN_MCAST_LISTEN)
        message = _CONNECTOR_HEADER.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(order), 0) + order
        listener.send(
            _NETLINK_HEADER.pack(_NETLINK_HEADER.size + len(message), _NLMSG_DONE, 0, 0, os.getpid()) + message
        )
    except OSError:
        listener.close()
        raise
    return listener


def _collect(listener: socket.socket, events: Events, ended: threading.Event) -> None:
    while True:
        ready, _, _ = select.select([listener], [], [], 0 if ended.is_set() else _POLL_S)
        if not ready:
            if ended.is_set():
                return
            continue
        data = listener.recv(4096)
        what, _, nanoseconds = _EVENT_HEADER.unpack_from(data, _EVENT_AT)
        if what == _PROC_EVENT_EXEC:
            [pid] = struct.unpack_from("=I", data, _EVENT_AT + _EVENT_HEADER.size)
            events.execs.append(Exec(nanoseconds / 1e9, _command(pid)))


def _command(pid: int) -> str:
    """The command line of a process, or nothing where it is gone already."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
