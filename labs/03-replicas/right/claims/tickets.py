"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import os
import sys
from pathlib import Path

price = os.environ.get("PRICE", "25")
number = 0

for line in sys.stdin:
    while True:  # until there is a number that no other replica has taken
        number += 1
        try:
            Path("/data", f"ticket-{number}").touch(exist_ok=False)
            break
        except FileExistsError:
            continue
    print(f"{line.strip()}: ticket {number} for {price}", flush=True)
