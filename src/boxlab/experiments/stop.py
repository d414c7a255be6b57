"""How long does `docker stop` take, and does the program end its work? One program, started in several ways."""

import contextlib
import time
from dataclasses import dataclass
from typing import Unpack

from boxlab import engine, images, records
from boxlab.errors import NotReady
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

PROGRAM = """
import signal, sys, time
if "handler" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    print("ready", flush=True)
    time.sleep(3600)
finally:
    print("saved", flush=True)
"""
"""Waits to be stopped, and has something to do then; with the word `handler`, it listens for SIGTERM."""

GRACE_S = 3
"""How long the engine waits between the stop signal and SIGKILL; 10 by default, which would make the wait longer and tell no more."""

READY_S = 60
"""How long the program may take to start."""

ARMS = {
    "shell": _("shell form, handler"),
    "exec": _("exec form, no handler"),
    "handler": _("exec form, handler"),
    "init": _("exec form, no handler, --init"),
    "shell-init": _("shell form, handler, --init"),
    "interrupt": _("exec form, no handler, SIGINT"),
}

METRICS = {
    "seconds": {"unit": "s", "label": _("from docker stop to the end")},
    "saved": {"unit": "1", "label": _("the program ended its work")},
    "killed": {"unit": "1", "label": _("killed by SIGKILL")},
    "status": {"unit": "1", "label": _("exit status")},
}

MEASURES = (
    "t0: the engine is asked to stop a container whose program has said that it is ready. t1: it answers that the container has "
    f"ended. The grace before SIGKILL is {GRACE_S} s. Whether the program ended its work is read from what it printed last."
)


@dataclass(frozen=True)
class Way:
    """One way to start the program.

    Attributes:
        shell: whether it is given to `sh -c`, as the shell form of CMD is.
        handler: whether it listens for SIGTERM.
        init: whether `--init` puts a small program before it.
        signal: what the engine stops it with.
    """

    shell: bool = False
    handler: bool = False
    init: bool = False
    signal: str = "SIGTERM"

    def command(self) -> list[str]:
        word = " handler" if self.handler else ""
        return (
            ["sh", "-c", f'python3 -c "$0"{word}', PROGRAM] if self.shell else ["python3", "-c", PROGRAM, *word.split()]
        )


WAYS = {
    "shell": Way(shell=True, handler=True),
    "exec": Way(),
    "handler": Way(handler=True),
    "init": Way(init=True),
    "shell-init": Way(shell=True, handler=True, init=True),
    "interrupt": Way(signal="SIGINT"),
}


def stop(**options: Unpack[blocks.Options]) -> records.Record:
    """Start the program in each way and stop it, as `docker stop` does. Arguments as for `startup`.

    Raises:
        EngineError: the engine does not answer.
    """
    image = images.ensure("base").tag

    def measure(record: records.Record, sample: records.Sample) -> None:
        sample.values |= _stopped(image, WAYS[sample.arm])

    return blocks.run(
        "stop",
        [
            {"kind": kind, "emulated": False, "phases": {}, "details": vars(way) | {"grace_s": GRACE_S}}
            for kind, way in WAYS.items()
        ],
        measure,
        metrics=METRICS,
        measures=MEASURES,
        usual=lambda profile: profile.steady,
        warm_up=0,  # what is timed begins when all has started
        **options,
    )


def _stopped(image: str, way: Way) -> dict[str, float]:
    """Start a container in one way, stop it, and say what came of it.

    Raises:
        NotReady: the program did not start, or the engine did not note its end.
    """
    box = EngineContainer(image, way.command(), network_mode="none", init=way.init, stop_signal=way.signal)
    try:
        console = Console(box, {"ready": "^ready", "saved": "^saved"}, time.monotonic())
        console.wait_for("ready", READY_S)
        with engine.plain_errors():
            began = time.monotonic()
            engine.connect().api.stop(box.id, timeout=GRACE_S)
            took = time.monotonic() - began
            noted = engine.events(box.id, "kill", "die", last="die")
        with contextlib.suppress(NotReady):  # it has ended and said nothing more
            console.wait_for("saved", READY_S)
        if not noted or noted[-1]["Action"] != "die":
            raise NotReady(_("the engine has not noted its end"))
        facts = [event["Actor"]["Attributes"] for event in noted]
        return {
            "seconds": took,
            "saved": float("saved" in console.found),
            "killed": float(any(fact.get("signal") == "9" for fact in facts)),
            "status": float(facts[-1]["exitCode"]),
        }
    finally:
        box.stop(grace_s=0)
