"""Says of each box whether its kernel is the host's, and which of the host's processes its program is."""

import json
import sys

from boxes import ask

BOOT = "/proc/sys/kernel/random/boot_id"


def main(boxes):
    host_boot = ask("host", BOOT).strip()
    where = {}
    for pid in filter(str.isdecimal, ask("host", "/proc").splitlines()):
        mount = ask("host", f"/proc/{pid}/ns/mnt")
        if mount:
            where.setdefault(mount, int(pid))
    found = {}
    for box in boxes:
        same = ask(box, BOOT).strip() == host_boot
        found[box] = {"shares_kernel": same, "process": where.get(ask(box, "/proc/self/ns/mnt")) if same else None}
    print("host boots as", host_boot)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
