"""What the checks of lab 05 let container.py run: python3 -c THIS. It says that it is there, and does what it is told then.

Its input is a socket: each write is a message, and the kernel adds who has sent it.
"""

import json
import mmap
import os
import signal
import sys

MIB = 1 << 20


def say(**facts: object) -> None:
    os.write(0, json.dumps(facts).encode())


def hog(processes: int, mib: int) -> None:
    """Let each of several processes take so much memory and keep it; say how many of them live once no other wants more, and how
    many were killed.

    What one got before it was killed for another does not count: each is asked in the end.
    """
    done, has = os.pipe()
    wait, ask = os.pipe()
    count, lives = os.pipe()
    children = []
    for _ in range(processes):
        if child := os.fork():
            children.append(child)
        else:
            for end in (done, ask, count):
                os.close(end)
            held = [b"x" * MIB for _ in range(mib)]  # as long as this name is bound
            os.close(has)
            os.read(wait, 1)
            os.write(lives, b"1")
            os._exit(0)
    for end in (has, wait, lives):
        os.close(end)
    os.read(done, 1)  # it ends when each has it, or has been killed
    os.close(ask)
    have = 0
    while os.read(count, 1):
        have += 1
    killed = [child for child in children if os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL]
    say(have=have, killed=len(killed))


def bomb(most: int) -> None:
    """Start processes that wait, up to `most`, and say how many there were."""
    started, refused = 0, False
    while started < most and not refused:
        try:
            if not os.fork():
                while True:
                    signal.pause()
            started += 1
        except OSError:
            refused = True
    say(started=started, refused=refused)


def daemon() -> None:
    """Leave a process behind that lives on."""
    if not os.fork():
        os.setsid()
        while True:
            signal.pause()


def end(text: str, status: int) -> None:
    print(text, flush=True)
    sys.exit(status)


def fault() -> None:
    """Read what is not there (SIGBUS): the first of a pid namespace is deaf to most signals that it sends to itself."""
    file = os.memfd_create("short")
    os.truncate(file, mmap.PAGESIZE)
    view = mmap.mmap(file, mmap.PAGESIZE)
    os.truncate(file, 0)
    view[0]


say(here=True)
[(play, arguments)] = json.loads(os.read(0, 1 << 12)).items()
{"end": end, "late": fault, "hog": hog, "bomb": bomb, "daemon": daemon}[play](*arguments)
