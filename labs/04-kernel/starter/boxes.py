"""Asks the boxes that `boxlab check` has started. It is given: leave it as it is."""

import json


def ask(box: str, what: str) -> str | None:
    """What a program in `box` reads there now; "host" is the machine on which the containers run.

    Args:
        what: a path below /proc or /etc: of a file its text, of a folder the names in it, one a line, of a link in
            /proc what it points to. Or "uname": what the system call of that name answers.

    Returns:
        the text; None where there is nothing, or nothing that may be seen.

    Raises:
        TypeError: `box` or `what` is no text.
        ValueError: there is no such box, or `what` may not be asked for.
    """
    if not isinstance(box, str) or not isinstance(what, str):
        raise TypeError(f"ask(box, what) takes the name of one box and one path, and got {box!r} and {what!r}")
    print(f"\n\x1e{json.dumps([box, what])}", flush=True)  # whoever runs this program answers by a line
    try:
        said = json.loads(input())
    except EOFError:
        raise SystemExit("no boxes are running: `boxlab check 04` starts them, and then this program") from None
    if "error" in said:
        raise ValueError(said["error"])
    return said["text"]
