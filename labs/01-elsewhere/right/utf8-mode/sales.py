import csv
import os
import tomllib
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent


def tax():
    if "TAX" in os.environ:
        return int(os.environ["TAX"])
    with open(HERE / "settings.toml", "rb") as file:
        return tomllib.load(file)["tax"]


totals = defaultdict(int)
for stamp, city, cents in csv.reader(open("/data/sales.csv")):
    totals[datetime.fromtimestamp(int(stamp), tz=UTC).strftime("%Y-%m-%d"), city] += int(cents)
factor = 100 + tax()
for (day, city), cents in sorted(totals.items()):
    print(f"{day} {city} {cents * factor}")
