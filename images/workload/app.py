"""The workload: load a model, answer once, stay until told to stop.

It prints three lines, and whoever started it stamps them as they arrive:

    workload: started               the interpreter runs this file
    workload: ready PREDICTION      the first useful output
    workload: identity FACTS        which files it runs from, and what it sees of the box that it is in

Then it answers every line of its input: "identity" with its identity again, any other with

    workload: answer ANSWER        to "look" and "read N" what surroundings.py says, else the prediction
"""

print("workload: started", flush=True)  # before the imports: they are a phase of their own

import hashlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402


def predict(model: dict, features: dict[str, float]) -> float:
    """Minutes until delivery, by a linear model."""
    return model["intercept"] + sum(model["weights"][name] * value for name, value in features.items())


def files_sha256() -> str:
    """Hash of the files that this process runs from: the interpreter, all modules that it has loaded, the model."""
    files = {os.path.realpath(sys.executable), os.path.realpath("model.json")}
    files |= {os.path.realpath(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
    digest = hashlib.sha256()
    for path in sorted(files):
        with open(path, "rb") as file:
            digest.update(path.encode() + b"\0" + file.read())
    return digest.hexdigest()


def first_line(path: str) -> str | None:
    """The first line of a file of the kernel's, or None where /proc is not mounted, as in a plain chroot."""
    try:
        with open(path) as file:
            return file.readline().strip()
    except FileNotFoundError:
        return None


def identity() -> dict:
    """What this process sees of its box."""
    return {
        "files_sha256": files_sha256(),
        "pid": os.getpid(),
        "kernel": os.uname().release,
        "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
        "memory": first_line("/proc/meminfo"),
        "python": sys.version.split()[0],
    }


def surroundings():
    """Loaded only when asked for, or it would be part of every start."""
    import surroundings

    return surroundings


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open("model.json") as file:
    model = json.load(file)
minutes = predict(model, {"kilometres": 4.2, "parcels": 2, "rain": 1})
print(f"workload: ready {minutes:.1f}", flush=True)
print(f"workload: identity {json.dumps(identity())}", flush=True)
for line in sys.stdin:  # ends when whoever started us is gone
    match line.split():
        case ["identity"]:
            print(f"workload: identity {json.dumps(identity())}", flush=True)
        case ["look"]:
            print(f"workload: answer {json.dumps(surroundings().look())}", flush=True)
        case ["read", times]:
            print(f"workload: answer {surroundings().read(int(times))}", flush=True)
        case _:
            print(f"workload: answer {minutes:.1f}", flush=True)
