"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import fcntl
import os
import sys
from pathlib import Path

last = Path("/data/last")
price = os.environ.get("PRICE", "25")


def next_number() -> int:
    number = int(last.read_text() or 0) + 1 if last.exists() else 1
    with open("/data/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = last.with_name("new")
        new.write_text(str(number))
        new.rename(last)
    return number


for line in sys.stdin:
    print(f"{line.strip()}: ticket {next_number()} for {price}", flush=True)
