"""Run the commands of a file as a notebook runs those of a cell, on those of our images that they name, and keep them where a
try's record is looked for.

shown.py FILE
"""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

from boxlab import images, paths, transcript

commands = Path(sys.argv[1]).read_text(encoding="utf-8")
for name in sorted(set(re.findall(rf"{images.PREFIX}([\w-]+)", commands))):
    images.ensure(name)
steps = transcript.run(commands)
print(transcript.in_words(steps))
kept = paths.ROOT / "notebooks" / "results" / "commands.local.json"
kept.write_text(json.dumps({"steps": [asdict(step) for step in steps]}, indent=1), encoding="utf-8")
