"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import os
import sys

price = os.environ.get("PRICE", "25")
sold = os.open("/data/sold", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

for line in sys.stdin:
    os.write(sold, b".")  # the kernel appends for one writer at a time, and says where
    number = os.lseek(sold, 0, os.SEEK_CUR)
    print(f"{line.strip()}: ticket {number} for {price}", flush=True)
