"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import itertools
import os
import sys

price = os.environ.get("PRICE", "25")
numbers = itertools.count(1)

for line in sys.stdin:
    print(f"{line.strip()}: ticket {next(numbers)} for {price}", flush=True)
