# The numbers that a process has in each pid namespace, of which the first is the host's where the box sees its processes.

import json
import sys

from boxes import ask


def namespaced(status):
    """The numbers that a process has, from the outermost pid namespace that is seen to its own."""
    return next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))


def process(box):
    """A box that sees the host's processes knows its number; of another, the host tells by its pid namespace."""
    own = ask(box, "/proc/self/ns/pid")
    if own == ask("host", "/proc/self/ns/pid"):
        return int(namespaced(ask(box, "/proc/self/status"))[0])
    for name in ask("host", "/proc").split():
        if name.isdigit() and ask("host", f"/proc/{name}/ns/pid") == own:
            return int(name)
    return None


BOOT_ID = "/proc/sys/kernel/random/boot_id"

answers = {}
for box in sys.argv[1:]:
    shares = ask(box, BOOT_ID) == ask("host", BOOT_ID)
    answers[box] = {"shares_kernel": shares, "process": process(box) if shares else None}
print(json.dumps(answers))
