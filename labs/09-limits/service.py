"""The service of lab 09: a question a line in, the answer a line out.

    python3 -c PROGRAM MIB PROCESSES

"easy N" is answered at once. For "busy N" it needs what it was said to need: helpers, and memory.
"""

import os
import signal
import sys

ROOM = 16  # MiB for the interpreter, its helpers and what the kernel keeps for them

mib, processes = map(int, sys.argv[1:])

for line in sys.stdin:  # ends when whoever started us is gone
    how, number = line.split()
    helpers, trouble = [], ""
    if how == "busy":
        try:
            for _ in range(processes - 1):
                helper = os.fork()
                if not helper:
                    signal.pause()
                helpers.append(helper)
            held = bytearray(b"x") * ((mib - ROOM) << 20)
            del held
        except OSError as error:
            trouble = f"helper {len(helpers) + 1} of {processes - 1} could not be started: {error.strerror}"
        for helper in helpers:
            os.kill(helper, signal.SIGKILL)
            os.waitpid(helper, 0)
    print(trouble or int(number) ** 2, flush=True)
