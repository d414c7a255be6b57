import csv
import os
import tomllib
from collections import Counter
from datetime import datetime

with open("settings.toml") as file:
    tax = int(os.environ.get("TAX") or tomllib.loads(file.read())["tax"])
totals = Counter()
with open("/data/sales.csv") as file:
    for stamp, city, cents in csv.reader(file):
        totals[f"{datetime.fromtimestamp(int(stamp)).date()} {city}"] += int(cents)
for key in sorted(totals):
    print(key, totals[key] * (100 + tax))
