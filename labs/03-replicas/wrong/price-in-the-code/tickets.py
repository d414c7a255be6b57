"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import fcntl
import sys
from pathlib import Path

LAST = Path("/data/last")
price = 25


def next_number() -> int:
    """The next number, of which no other replica gets the same."""
    with open("/data/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        number = int(LAST.read_text()) + 1 if LAST.exists() else 1
        new = LAST.with_name("new")
        new.write_text(str(number))
        new.replace(LAST)  # at once: whoever is killed leaves the old number or the new one, and no empty file
        return number


for line in sys.stdin:
    print(f"{line.strip()}: ticket {next_number()} for {price}", flush=True)
