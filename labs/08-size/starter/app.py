"""Says how often a word occurs in the speeches: a word a line in, a number a line out."""

import json
import sys
from pathlib import Path

counts = json.loads(Path(__file__).with_name("index.json").read_text())["counts"]

for line in sys.stdin:
    print(counts.get(line.strip(), 0), flush=True)
