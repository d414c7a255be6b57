"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import fcntl
import os
import sys

price = os.environ.get("PRICE", "25")


def next_number() -> int:
    """The next number, of which no other replica gets the same."""
    with open("/data/last", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        file.seek(0)
        number = int(file.read() or 0)
        file.truncate(0)
        file.write(str(number + 1))
        file.flush()
        return number


for line in sys.stdin:
    print(f"{line.strip()}: ticket {next_number()} for {price}", flush=True)
