"""The sales of each day and city, tax included. It works on my machine."""

import csv
import os
from collections import Counter
from datetime import datetime

tax = int(os.environ["TAX"])
log = open("sales.log", "a")
totals = Counter()
with open("/data/sales.csv", newline="") as file:
    for stamp, city, cents in csv.reader(file):
        day = datetime.fromtimestamp(int(stamp)).date()
        totals[f"{day} {city}"] += int(cents)
        log.write(f"{stamp} {city}\n")
for key in sorted(totals):
    print(key, totals[key] * (100 + tax))
