# The folders of /proc/sys/kernel/random, and the start of a process: number and time of start are the host's for it.
import json
import sys

import boxes


class Kernel:
    def __init__(self, box):
        self.box = box

    def read(self, path):
        return (boxes.ask(self.box, path) or "").strip()

    @property
    def boot(self):
        return self.read("/proc/sys/kernel/random/boot_id")

    def start(self, process):
        """When a process began, in ticks since the kernel did; its name may have spaces and parentheses."""
        text = self.read(f"/proc/{process}/stat")
        return text.rpartition(")")[2].split()[19] if text else None

    def space(self, process):
        return self.read(f"/proc/{process}/ns/mnt")


host = Kernel("host")
result = {}
for name in sys.argv[1:]:
    box = Kernel(name)
    same, number = box.boot == host.boot, None
    if same:
        began, space = box.start("self"), box.space("self")
        candidates = [n for n in host.read("/proc").split() if n.isdigit() and host.start(n) == began]
        number = next((int(n) for n in candidates if host.space(n) == space), None)
    result[name] = dict(shares_kernel=same, process=number)
sys.stdout.write(json.dumps(result) + "\n\n")
