"""A virtual machine of the book's own that a check asks: its first program is the lab's, on the workload's files."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace

from boxlab import images
from boxlab.errors import NotReady, Unavailable
from boxlab.labs.checks import Mismatch
from boxlab.language import _
from boxlab.runtimes import Box, MicroVM, RestoredVM, Workload

ANSWERING = """
import json as _json, sys as _sys

def _serve():
    print("workload: started\\nworkload: ready to be asked\\nworkload: identity {}", flush=True)
    asked = ""
    for line in _sys.stdin:  # ends when whoever started us is gone
        line = line.rstrip("\\r\\n")  # a piece may end with spaces
        if line == "identity":
            print("workload: identity {}", flush=True)
        elif line.startswith("+"):  # a console takes lines of 4096 bytes
            asked += line[1:]
            print("workload: answer +", flush=True)
        elif line == "=":
            question, asked = _json.loads(asked), ""
            print("workload: answer", _json.dumps(answer(question)), flush=True)
        else:
            print("workload: answer null", flush=True)

_serve()
"""
"""What makes of a program's function `answer`, from JSON to JSON, a workload that our runtimes start and ask."""

PIECE = 1000
"""Characters of a question that are sent at once."""

SHOWS = b"\x1e"
"""Between two of these a machine shows what a terminal is to show."""

LOOK_S = 0.1
"""How often it is looked whether whoever looks at that has had enough."""


def answering(program: str) -> list[str]:
    """The command that runs a program whose function `answer` is asked: in a container and in a machine alike."""
    return ["python3", "-c", program + ANSWERING]


class Machine:
    """A box that runs such a program: a virtual machine, or a container.

    Attributes:
        box: for `observe()` and `spawned`.
    """

    def __init__(self, box: Box):
        self.box = box

    def ask(self, question: object, next: str = "") -> object:
        """What `answer` returns, both as JSON.

        Raises:
            Mismatch: it does not answer any more, which what runs in it may have brought about.
        """
        try:
            self._send(question)
            return json.loads(self.box.ask("="))
        except NotReady as error:
            raise Mismatch(
                _("the machine answers"),
                str(error),
                _("what runs in it must leave it whole"),
                next or _("check again"),
            ) from error

    def show(self, question: object) -> Iterator[bytes]:
        """What the machine prints between two bytes `SHOWS`, which `answer` prints, as it comes; nothing while nothing does.

        Raises:
            NotReady: it ends before that, or does not begin.
        """
        self._send(question)
        self.box.spawned.send(b"=\n")
        begun, deadline = False, time.monotonic() + self.box.answer_s
        while True:
            chunk = self.box.spawned.read(LOOK_S)
            if chunk == b"":
                raise NotReady(_("the machine has ended: {reason}", reason=self.box.spawned.exit_reason()))
            chunk = chunk or b""
            if not begun:
                begun = SHOWS in chunk
                chunk = chunk.partition(SHOWS)[2]
                if not begun and time.monotonic() > deadline:
                    raise NotReady(_("the machine does not answer"), _("try again when this one is less busy"))
            yield chunk.partition(SHOWS)[0]
            if SHOWS in chunk:
                return

    def _send(self, question: object) -> None:
        text = json.dumps(question)
        for start in range(0, len(text), PIECE):
            self.box.ask("+" + text[start : start + PIECE])


class _Program:
    """Boots the workload's files with another program in place of the workload."""

    def __init__(self, name: str, program: str):
        self._name, self._command = name, answering(program)

    def image(self, workload: Workload) -> images.Built:
        return replace(images.ensure("workload"), name=self._name, command=self._command)


class _Restored(_Program, RestoredVM):
    pass


class _Booted(_Program, MicroVM):
    pass


@contextlib.contextmanager
def machine(name: str, program: str, memory_mib: int) -> Iterator[Machine]:
    """A microVM that runs a program: resumed from a snapshot, which takes a moment, or where that cannot be done, booted.

    Args:
        name: of its disk and its snapshot.
        program: Python source with a function `answer`.

    Raises:
        Unavailable: no machine boots here.
        NotReady: this one does not.
    """
    workload = Workload(name, memory_mib=memory_mib)
    try:
        runtime: MicroVM = _Restored(name, program)
        runtime.prepare(workload)
    except Unavailable:
        runtime = _Booted(name, program)
        runtime.prepare(workload)
    with runtime.start(workload) as box:
        yield Machine(box)
