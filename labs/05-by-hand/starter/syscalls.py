"""System calls for which Python has no function; each raises OSError where the kernel refuses. It is given: leave it as it is.

What is behind each is in its manual page, such as man 2 mount.
"""

import ctypes
import os

NEW_MOUNTS, NEW_NAME, NEW_PIDS = 0x20000, 0x4000000, 0x20000000
"""Kinds of namespace, for `unshare`; several are joined by |."""

BIND, PRIVATE, RECURSIVE = 1 << 12, 1 << 18, 1 << 14
"""Flags for `mount`."""

DETACH = 2
"""A flag for `umount`: also what is in use."""

_libc = ctypes.CDLL(None, use_errno=True)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]  # the C library has no function for this one


def unshare(kinds: int) -> None:
    """Leave namespaces of these kinds for new ones (man 2 unshare)."""
    _check("unshare", _libc.unshare(kinds))


def mount(what: str | None, where: str, kind: str | None, flags: int) -> None:
    """Mount a file system of that kind on the folder `where` (man 2 mount).

    With `what` and `kind` "proc" that is a new /proc. With both None, it changes how `where` is mounted, by the flags.
    """
    given = [text and text.encode() for text in (what, where, kind)]
    _check(f"mount on {where}", _libc.mount(*given, ctypes.c_ulong(flags), None))


def umount(where: str, flags: int = 0) -> None:
    """Take away what is mounted on the folder `where` (man 2 umount)."""
    _check(f"umount {where}", _libc.umount2(where.encode(), flags))


def pivot_root(new: str, old: str) -> None:
    """Make the mount `new` the root, and mount what was the root on `old`, a folder in `new` (man 2 pivot_root)."""
    _check("pivot_root", _libc.syscall(ctypes.c_long(_PIVOT_ROOT), new.encode(), old.encode()))


def _check(what: str, failed: int) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
