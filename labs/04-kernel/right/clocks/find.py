# The time since the start, in hundredths: read in a box between two looks at the host's, it lies between those.
import json
import sys

from boxes import ask


def uptime(box):
    return float(ask(box, "/proc/uptime").split()[0])


def on_host(box):
    first = uptime("host")
    there = uptime(box)
    return first <= there <= uptime("host")


namespaces = {}
for entry in ask("host", "/proc").splitlines():
    if entry.isdigit():
        link = ask("host", f"/proc/{entry}/ns/mnt")
        if link:
            namespaces.setdefault(link, int(entry))
answers = {}
for box in sys.argv[1:]:
    if on_host(box) and on_host(box):
        answers[box] = {"shares_kernel": True, "process": namespaces.get(ask(box, "/proc/self/ns/mnt"))}
    else:
        answers[box] = {"shares_kernel": False, "process": None}
print(json.dumps(answers, indent=None))
