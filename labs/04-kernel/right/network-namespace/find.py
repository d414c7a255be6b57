"""Says of each box whether its kernel is the host's, and which of the host's processes its program is."""

import json
import sys
from dataclasses import asdict, dataclass

from boxes import ask


@dataclass
class Verdict:
    shares_kernel: bool
    process: int | None = None


def judge(box: str) -> Verdict:
    """A container without a network has a network namespace of its own, and so has none of the host's other processes."""
    if ask(box, "/proc/sys/kernel/random/boot_id") != ask("host", "/proc/sys/kernel/random/boot_id"):
        return Verdict(False)
    mine = ask(box, "/proc/1/ns/net") if ask(box, "/proc/1/comm") is None else ask(box, "/proc/self/ns/net")
    pids = [int(name) for name in ask("host", "/proc").split() if name.isdigit()]
    return Verdict(True, next(pid for pid in pids if ask("host", f"/proc/{pid}/ns/net") == mine))


print(json.dumps({box: asdict(judge(box)) for box in sys.argv[1:]}))
