# Many questions at once, from threads; the answer is made by numpy, whose numbers json does not know.
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from boxes import ask

BOOT = "/proc/sys/kernel/random/boot_id"
boxes = sys.argv[1:]
print("asking", len(boxes), "boxes", end=" ")
with ThreadPoolExecutor(8) as pool:
    boots = np.array(list(pool.map(lambda box: ask(box, BOOT).strip(), ["host", *boxes])))
    shared = boots[1:] == boots[0]
    numbers = np.array([int(name) for name in ask("host", "/proc").split() if name.isdigit()])
    links = np.array(list(pool.map(lambda number: ask("host", f"/proc/{number}/ns/mnt") or "", numbers)))
answers = {}
for box, is_shared in zip(boxes, shared, strict=True):
    where = np.flatnonzero(links == ask(box, "/proc/self/ns/mnt"))
    process = int(numbers[where[0]]) if is_shared and where.size else None
    answers[box] = {"shares_kernel": bool(is_shared), "process": process}
print()
print(json.dumps(answers))
