"""A shell in the machine that a lab's checks use, on the learner's own terminal."""

import contextlib
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator

from boxlab.errors import NotReady, UsageError
from boxlab.labs import checks, machine, workspace
from boxlab.labs.lab import Lab
from boxlab.language import _

LEAVES = b"\x1d"
"""Ctrl-] leaves a machine that does not listen any more; all other keys are the machine's."""


def require(lab: Lab) -> tuple[str, int]:
    """The program and the memory of the lab's machine, in MiB.

    Raises:
        UsageError: the lab has none, or nobody is there to type.
    """
    module = checks.load(lab.checks)[1]
    if not hasattr(module, "MACHINE"):
        raise UsageError(
            _("{lab} has no machine to try things in", lab=lab.id), _("labs that have one say so on their page")
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(_("a shell needs a terminal"), _("run it in one, without a pipe"))
    return module.MACHINE, module.MEMORY_MIB


def run(lab: Lab, say: Callable[[str], None]) -> None:
    """Open the machine with the learner's files in it, until the shell ends; nothing of it is left.

    Args:
        say: told what is waited for.

    Raises:
        UsageError: see `require`; or the lab was not started.
        BoxlabError: no machine boots here, or this one ends by itself.
    """
    workspace.require_started(lab)
    program, memory_mib = require(lab)
    files = {path.name: path.read_text(encoding="utf-8") for path in lab.starter.iterdir() if path.is_file()}
    for name in lab.files:
        if (path := workspace.folder(lab) / name).exists():
            files[name] = path.read_text(encoding="utf-8", errors="surrogateescape")
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    question = {"files": files, "rows": rows, "columns": columns, "term": os.environ.get("TERM", "dumb")}
    with machine.machine(f"lab-{lab.id}", program, memory_mib) as opened:
        say(
            _(
                "the machine of {lab}, with your files as they are now; Ctrl-D ends it, and nothing in it is kept",
                lab=lab.id,
            )
        )
        with _raw(), _typed(opened.box.spawned.send) as left:
            for chunk in opened.show({"shell": question}):
                _write(chunk)
                if left.is_set():
                    break


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key is passed on as it is; afterwards the terminal is as it was."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _typed(send: Callable[[bytes], None]) -> Iterator[threading.Event]:
    """Pass on what is typed while the block runs; the event is set when that was `LEAVES`, or the terminal has gone."""
    reads, writes = os.pipe()
    left = threading.Event()

    def pass_on() -> None:
        while reads not in select.select([sys.stdin, reads], [], [])[0]:
            keys = os.read(sys.stdin.fileno(), 1 << 10)
            if not keys or LEAVES in keys:
                left.set()
                return
            with contextlib.suppress(NotReady):  # it has ended: whoever shows it says so
                send(keys)

    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield left
    finally:
        os.close(writes)
        thread.join()
        os.close(reads)
