import os
import sys
import time
import tomllib

root = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(root, "settings.toml"), "rb") as file:
    tax = int(os.getenv("TAX", tomllib.load(file)["tax"]))
totals = {}
with open("/data/sales.csv", "rb") as file:
    for line in file:
        stamp, city, cents = line.strip().split(b",")
        key = time.strftime("%Y-%m-%d ", time.gmtime(int(stamp))).encode() + city
        totals[key] = totals.get(key, 0) + int(cents)
for key, cents in sorted(totals.items()):
    sys.stdout.buffer.write(b"%s %d\n" % (key, cents * (100 + tax)))
