"""Which program began and ended when, as the kernel reports it: the process events connector (Documentation/driver-api/connector.rst).

Only root may listen, and only on the machine itself. The kernel stamps its events by the clock that `time.monotonic` reads.
"""

import ctypes
import errno
import os
import re
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from boxlab import engine
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.box import Observation

# Not by pyroute2's cn_proc: it takes longer for each event, so that more programs have gone before their command line is read,
# and hears nothing in a thread beside the one that opened its socket.
_CLONE_NEWNET = 0x40000000
_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_PROC_CN_MCAST_LISTEN = 1
_PROC_CN_MCAST_IGNORE = 2
_PROC_EVENT_EXEC = 2
_PROC_EVENT_EXIT = 0x80000000
_NLMSG_DONE = 3
_NETLINK_HEADER = struct.Struct("=IHHII")
_CONNECTOR_HEADER = struct.Struct("=IIIIHH")
_EVENT_HEADER = struct.Struct("=IIQ")
"""What, processor, nanoseconds; the ids of the thread and the process follow."""

_EVENT_AT = _NETLINK_HEADER.size + _CONNECTOR_HEADER.size
_POLL_S = 0.05


@dataclass(frozen=True)
class Exec:
    """One program that began: when, on the monotonic clock in seconds, its process id and command line.

    The command line is read just after the event: it may be that of the program that the process became next.
    """

    at: float
    pid: int
    command: str


@dataclass
class Events:
    """What has been seen so far, in order; complete once the block has ended, unless events were `lost`.

    Attributes:
        execs: programs that began.
        ends: process id -> when it ended last, as in `Exec`.
        lost: whether there were more than we have seen.
    """

    execs: list[Exec] = field(default_factory=list)
    ends: dict[int, float] = field(default_factory=dict)
    lost: bool = False

    def began(self, pattern: str, since: float, of: Observation) -> float | None:
        """When a program that serves a box, whose command line matches, first began after `since`; None where none is
        known to.

        Of the events of one process the last one counts: the ones before may have been given the name of a later program.
        """
        found = self._of(pattern, since, of)
        return found[-1].at if found else None

    def ended(self, pattern: str, since: float, of: Observation) -> float | None:
        """When the process ended that `began` is about; None where that was not seen."""
        found = self._of(pattern, since, of)
        return self.ends.get(found[0].pid) if found else None

    def _of(self, pattern: str, since: float, of: Observation) -> list[Exec]:
        """The events of the first process that matches; a machine has other containers than ours."""
        if self.lost:
            return []
        found = [
            e
            for e in self.execs
            if e.at >= since and re.search(pattern, e.command) and (e.pid in of.pids or (of.id and of.id in e.command))
        ]
        return [e for e in found if e.pid == found[0].pid]


def refusal() -> str:
    """Why the kernel's events are not to be had here; empty where they are."""
    if sys.platform != "linux" or not engine.is_local():
        return _("the containers run on another kernel")
    if os.geteuid() != 0:
        return _("only root may listen to the kernel's process events")
    try:
        _listen().close()
    except OSError as error:
        return _("the kernel does not report process events: {why}", why=error.strerror)
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
            with deferred():
                ended.set()
                reader.join()
                _order(listener, _PROC_CN_MCAST_IGNORE)


def _listen() -> socket.socket:
    """A socket that hears of every program.

    The kernel reports in the machine's own network alone, and a socket stays in the network that it was made in: where ours is another
    one, in that of a process that started us.

    Raises:
        OSError: see `refusal`.
    """
    try:
        return _listen_here()
    except ConnectionRefusedError:
        with ThreadPoolExecutor(1) as thread:  # which alone goes there, and ends with it
            for parent in reversed(psutil.Process().parents()):
                with suppress(OSError):  # of others we may not know the network, and from some we hear nothing either
                    return thread.submit(_listen_beside, parent.pid).result()
        raise


def _listen_beside(pid: int) -> socket.socket:
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):  # os.setns is Python 3.12's
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return _listen_here()


def _listen_here() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind((0, _CN_IDX_PROC))
        _order(listener, _PROC_CN_MCAST_LISTEN)
    except OSError:
        listener.close()
        raise
    return listener


def _order(listener: socket.socket, what: int) -> None:
    """Tell the kernel to begin or to end reporting."""
    order = struct.pack("=I", what)
    message = _CONNECTOR_HEADER.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(order), 0) + order
    listener.send(_NETLINK_HEADER.pack(_NETLINK_HEADER.size + len(message), _NLMSG_DONE, 0, 0, os.getpid()) + message)


def _collect(listener: socket.socket, events: Events, ended: threading.Event) -> None:
    while True:
        try:
            ready, _, _ = select.select([listener], [], [], 0 if ended.is_set() else _POLL_S)
            if not ready:
                if ended.is_set():
                    return
                continue
            data = listener.recv(4096)
        except (OSError, ValueError) as error:
            if listener.fileno() < 0:  # closed under us: who waited for us was interrupted
                return
            if not isinstance(error, OSError) or error.errno != errno.ENOBUFS:
                raise
            events.lost = True  # they came faster than we read
            continue
        what, _, nanoseconds = _EVENT_HEADER.unpack_from(data, _EVENT_AT)
        thread, pid = struct.unpack_from("=II", data, _EVENT_AT + _EVENT_HEADER.size)
        if what == _PROC_EVENT_EXIT and thread == pid:
            events.ends[pid] = nanoseconds / 1e9
        if what == _PROC_EVENT_EXEC:
            events.execs.append(Exec(nanoseconds / 1e9, pid, _command(pid)))


def _command(pid: int) -> str:
    """The command line of a process, or nothing where it is gone already."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
