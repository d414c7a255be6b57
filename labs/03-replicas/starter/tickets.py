"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import sys

PRICE = 25
last = 0

for line in sys.stdin:
    last += 1
    print(f"{line.strip()}: ticket {last} for {PRICE}", flush=True)
