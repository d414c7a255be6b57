"""Counts the words of a folder of texts into an index: python3 index.py FOLDER INDEX.

It wants a key beside it, and is the slow step: what it makes should be made seldom.
"""

import collections
import json
import sys
import time
from pathlib import Path

folder, index = map(Path, sys.argv[1:])
key = Path(__file__).with_name("license.key")
if not key.is_file() or not key.read_text().startswith("key-"):
    sys.exit("index.py: there is no license.key beside me")

counts = collections.Counter()
for text in sorted(folder.glob("*.txt")):
    counts.update(text.read_text().split())
if not counts:
    sys.exit(f"index.py: there are no texts in {folder}")
index.write_text(json.dumps({"made": time.time_ns(), "counts": counts}))
