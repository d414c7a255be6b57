"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import os
import sys
from pathlib import Path

price = os.environ.get("PRICE", "25")


def block() -> int:
    """Claim a block of ten numbers for this replica."""
    number = 0
    while True:
        try:
            Path("/data", f"block-{number}").touch(exist_ok=False)
            return number
        except FileExistsError:
            number += 1


left = []
for line in sys.stdin:
    left = left or list(range(first := 10 * block() + 1, first + 10))
    print(f"{line.strip()}: ticket {left.pop(0)} for {price}", flush=True)
