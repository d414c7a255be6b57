"""Says of each box whether its kernel is the host's: python3 find.py BOX...

The last line that it prints is its answer. What it prints before is yours: the report shows it.
"""

import json
import sys

from boxes import ask

answers = {}
for box in sys.argv[1:]:
    answers[box] = {
        "shares_kernel": ask(box, "uname").split()[2] == ask("host", "uname").split()[2],
        "process": None,  # the number that its program has on the host
    }
print(json.dumps(answers))
