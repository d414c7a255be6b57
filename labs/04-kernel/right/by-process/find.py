# Whoever runs on the host's kernel is one of its processes: it lives in a namespace that no process elsewhere lives in.
import json
import sys

from boxes import ask

answers = {}
for box in sys.argv[1:]:
    process = None
    for number in filter(str.isdigit, ask("host", "/proc").split("\n")):
        kinds = ("mnt", "ipc", "net")
        if all(ask("host", f"/proc/{number}/ns/{kind}") == ask(box, f"/proc/self/ns/{kind}") for kind in kinds):
            process = int(number)
            break
    answers[box] = {"shares_kernel": process is not None, "process": process}
json.dump(answers, sys.stdout)
