"""Asks the boxes that `boxlab check` has started. It is given: leave it as it is."""

import json
import socket


def ask(box: str, what: str) -> str | None:
    """What a program in `box` reads there; "host" is the machine on which the containers run.

    Args:
        what: a path below /proc, /sys or /etc: of a file its text, of a folder the names in it, one a line, of a link in
            /proc what it points to. Or "uname": what the system call of that name answers.

    Returns:
        the text; None where there is nothing, or nothing that may be seen.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect("boxes.socket")
        except OSError:
            raise SystemExit("no boxes are running: `boxlab check 04` starts them, and then this program") from None
        connection.sendall(json.dumps([box, what]).encode() + b"\n")
        with connection.makefile() as answer:
            said = json.loads(answer.readline())
    if "error" in said:
        raise ValueError(said["error"])
    return said["text"]
