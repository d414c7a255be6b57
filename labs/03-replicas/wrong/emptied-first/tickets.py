"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import fcntl
import os
import sys
from pathlib import Path

LAST = Path("/data/last")
price = os.environ.get("PRICE", "25")


def next_number() -> int:
    """The next number, of which no other replica gets the same."""
    with open("/data/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        number = int(LAST.read_text() or 0) + 1 if LAST.exists() else 1
        LAST.write_text(str(number))
        return number


for line in sys.stdin:
    print(f"{line.strip()}: ticket {next_number()} for {price}", flush=True)
