"""Says of each box whether its kernel is the host's, and which of the host's processes its program is."""

import json
import sys

from boxes import ask

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def switches(box):
    """How often the kernel has switched from one process to another since it booted: it never stands still."""
    for line in ask(box, "/proc/stat").splitlines():
        name, *numbers = line.split()
        if name == "ctxt":
            return int(numbers[0])
    raise SystemExit(f"{box} counts no switches")


def is_shared(box):
    """Whether the box's count lies between two of the host's."""
    before = switches("host")
    inside = switches(box)
    return before <= inside <= switches("host")


def process(box):
    """The process of the host that lives in the box's mount namespace; numbers of namespaces compare within one kernel."""
    wanted = ask(box, "/proc/self/ns/mnt")
    for name in ask("host", "/proc").split():
        if name.isdigit() and ask("host", f"/proc/{name}/ns/mnt") == wanted:
            return int(name)
    return None


answers = {}
for box in sys.argv[1:]:
    shares = is_shared(box)
    answers[box] = {"shares_kernel": shares, "process": process(box) if shares else None}
print(json.dumps(answers))
