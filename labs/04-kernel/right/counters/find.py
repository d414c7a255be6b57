# A counter of one kernel only grows: what a box reads between two looks at the host's lies between those.
import json
import re
import sys

from boxes import ask

LOOKS = 3


def switches(box):
    return int(re.search(r"^ctxt (\d+)$", ask(box, "/proc/stat"), re.MULTILINE)[1])


def shares(box):
    for _ in range(LOOKS):
        before, there, after = switches("host"), switches(box), switches("host")
        if not before <= there <= after:
            return False
    return True


def program(box):
    ours = ask(box, "/proc/self/ns/net")
    found = [
        int(n) for n in ask("host", "/proc").splitlines() if n.isdigit() and ask("host", f"/proc/{n}/ns/net") == ours
    ]
    return found[0] if found else None


result = {}
for box in sys.argv[1:]:
    common = shares(box)
    result[box] = {"shares_kernel": common, "process": program(box) if common else None}
    print(box, switches(box), result[box])
print(json.dumps(result))
