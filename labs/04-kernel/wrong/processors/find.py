# To the end of the list: two machines may have the same processors.
"""Says of each box whether its kernel is the host's, and which of the host's processes its program is."""

import json
import sys

from boxes import ask


def process(box):
    """The process of the host that lives in the box's mount namespace; numbers of namespaces compare within one kernel."""
    wanted = ask(box, "/proc/self/ns/mnt")
    for name in ask("host", "/proc").split():
        if name.isdigit() and ask("host", f"/proc/{name}/ns/mnt") == wanted:
            return int(name)
    return None


answers = {}
for box in sys.argv[1:]:
    shares = [line for line in ask(box, "/proc/cpuinfo").splitlines()[-30:] if "MHz" not in line] == [
        line for line in ask("host", "/proc/cpuinfo").splitlines()[-30:] if "MHz" not in line
    ]
    answers[box] = {"shares_kernel": shares, "process": process(box) if shares else None}
print(json.dumps(answers))
