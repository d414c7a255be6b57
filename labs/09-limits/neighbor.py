"""The neighbor of lab 09: it does a day's work, then forks without end, and then takes memory without end.

    python3 -c PROGRAM MIB PROCESSES MOST_MIB MOST_PROCESSES

For the machine's sake *without end* ends: at MOST_PROCESSES processes and MOST_MIB MiB it stops, says so and exits with 0.
"""

import os
import signal
import sys

ROOM = 16  # MiB for the interpreter, its children and what the kernel keeps for them

mib, processes, most_mib, most_processes = map(int, sys.argv[1:])


def processes_up_to(most: int) -> tuple[int, str]:
    """Have so many processes for a moment, this one among them: how many there were, and why not more."""
    children, trouble = [], ""
    while len(children) + 1 < most and not trouble:
        try:
            child = os.fork()
        except OSError as error:
            trouble = error.strerror
        else:
            if not child:
                signal.pause()
            children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children) + 1, trouble


def say(*words: object) -> None:
    print(*words, flush=True)


count, trouble = processes_up_to(processes)
if trouble:
    sys.exit(f"work: process {count + 1} of {processes} could not be started: {trouble}")
say("work: all processes")
held = [bytearray(b"x") * (1 << 20) for _ in range(mib - ROOM)]
held.clear()
say("work: done")

say("forks:", *processes_up_to(most_processes))

while len(held) < most_mib:
    held.append(bytearray(b"x") * (1 << 20))
    if len(held) % 4 == 0:
        say("holds:", len(held))
say("took all that it asked for")
