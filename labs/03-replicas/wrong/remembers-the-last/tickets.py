"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import os
import sys

LAST = "/data/last"
price = os.environ.get("PRICE", "25")
number = int(open(LAST).read()) if os.path.exists(LAST) else 0

for line in sys.stdin:
    number += 1
    with open(f"{LAST}-{os.uname().nodename}", "w") as file:
        file.write(str(number))
    os.replace(file.name, LAST)
    print(f"{line.strip()}: ticket {number} for {price}", flush=True)
