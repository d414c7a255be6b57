"""The sales of each day and city, tax included. A day is one of UTC, and files are UTF-8, wherever it runs."""

import csv
import os
import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

settings = tomllib.loads(Path(__file__).with_name("settings.toml").read_text(encoding="utf-8"))
tax = int(os.environ.get("TAX", settings["tax"]))
totals = Counter()
with open("/data/sales.csv", newline="", encoding="utf-8") as file:
    for stamp, city, cents in csv.reader(file):
        day = datetime.fromtimestamp(int(stamp), UTC).date()
        totals[f"{day} {city}"] += int(cents)
for key in sorted(totals):
    print(key, totals[key] * (100 + tax))
