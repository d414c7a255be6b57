"""Asks the boxes that `boxlab check` has started. It is given: leave it as it is."""

import json
import sys
import threading

_turn = threading.Lock()


def ask(box: str, what: str) -> str | None:
    """What a program in `box` reads there; "host" is the machine on which the containers run.

    Args:
        what: a path below /proc, /sys or /etc: of a file its text, of a folder the names in it, one a line, of a link in
            /proc what it points to; but none through root, cwd, exe, environ, mem, map_files, fd or task. Or "uname":
            what the system call of that name answers.

    Returns:
        the text, as it is at that moment; None where there is nothing, or nothing that may be seen.
    """
    with _turn:  # the check reads the question from what is printed, and writes the answer to the input
        if not sys.__stdin__.isatty():
            # At once, as print() would not: what another thread prints comes before it or after it.
            sys.__stdout__.write(f"\n\x1e{json.dumps([box, what], default=repr)}\n")
            sys.__stdout__.flush()
            answer = sys.__stdin__.readline()
        else:
            answer = ""
    if not answer:
        raise SystemExit("no boxes are running: `boxlab check 04` starts them, and then this program")
    said = json.loads(answer)
    if "error" in said:
        raise ValueError(said["error"])
    return said["text"]
