#!/usr/bin/env python3
import contextlib
import fcntl
import json
import os
import sys

STATE = "/data/state.json"


@contextlib.contextmanager
def locked():
    with open("/data/lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def sell(name: str) -> int:
    with locked():
        sold = json.load(open(STATE)) if os.path.exists(STATE) else []
        sold.append(name)
        with open(STATE + ".new", "w") as file:
            json.dump(sold, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(STATE + ".new", STATE)
        return len(sold)


def main() -> None:
    while line := sys.stdin.readline():
        name = line.strip()
        sys.stdout.write(f"{name}: ticket {sell(name)} for {os.environ['PRICE']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
