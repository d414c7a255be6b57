"""Rates words: a word a line in, a number a line out."""

import json
import sys
from pathlib import Path

import weighting

words = json.loads((Path(__file__).parent / "data" / "words.json").read_text())

for line in sys.stdin:
    print(words.get(line.strip(), 0) * weighting.FACTOR, flush=True)
