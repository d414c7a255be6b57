"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import fcntl
import os
import sys
from pathlib import Path

LAST = Path("/data/last")
price = os.environ.get("PRICE", "25")


def sell(name: str) -> None:
    """Sell the next number, of which no other replica gets the same."""
    with open("/data/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        number = int(LAST.read_text()) + 1 if LAST.exists() else 1
        print(f"{name}: ticket {number} for {price}", flush=True)
        new = LAST.with_name("new")
        new.write_text(str(number))
        new.replace(LAST)  # at once: whoever is killed leaves the old number or the new one, and no empty file


for line in sys.stdin:
    sell(line.strip())
