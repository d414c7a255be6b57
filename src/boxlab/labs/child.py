"""The process that runs a lab's checks: `python -m boxlab.labs.child`, started by runner.py and by nobody else.

Its job is the first line of its input, not an argument, which every program on the machine can read. It writes one JSON object a line to the file descriptor that the job names: {"checks": […]} once it has read them, then for
each {"begin": name} and {"result": …}. It ends, cleaning up, at SIGTERM and when its input closes because its parent died.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boxlab.errors import BoxlabError, LabError, of_system
from boxlab.labs.checks import MISTAKE, Check, Mismatch, Outcome, Result, load
from boxlab.labs.work import Planter, Work
from boxlab.language import _


def main() -> None:
    _hide()
    job = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to us as well; our parent decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)  # what is planted must be readable in an image as well
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(job["fd"], "w", buffering=1)

    def say(**message: Any) -> None:
        if message.keys() & {"done", "trouble"}:  # the last word: whoever has it may have us end, which we do
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        out.write(json.dumps(message) + "\n")

    try:
        {"checks": _checks, "plant": _plant, "clear": _clear}[job["do"]](job, say)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)  # nobody listens any more
    except Exception as error:
        reason, fix = _infrastructure(error)
        say(trouble=[reason, fix])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is done, and Python takes its time to end


def _hide() -> None:
    """Keep memory and descriptors from other processes of this user, such as a program in a sandbox without an engine."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE, linux/prctl.h


def _end_with_parent() -> None:
    os.read(0, 1)
    main_thread = threading.main_thread().ident
    assert main_thread  # it runs
    signal.pthread_kill(main_thread, signal.SIGTERM)


def _checks(job: dict[str, Any], say: Callable[..., None]) -> None:
    """Run the checks that have no outcome yet."""
    checks, module = load(Path(job["checks"]))
    if sum(check.points for check in checks) != job["points"]:
        raise LabError(
            _(
                "{file} promises {promised} points, the checks give {given}",
                file="lab.toml",
                promised=job["points"],
                given=sum(c.points for c in checks),
            )
        )
    say(checks=[{name: getattr(c, name) for name in ("name", "says", "points", "timeout", "needs")} for c in checks])
    outcomes = {name: Outcome(outcome) for name, outcome in job["outcomes"].items()}
    says = {check.name: check.says for check in checks}
    plant = Planter(getattr(module, "plant", None), job["seed"])
    folder = Path(job["folder"])
    if not outcomes:
        plant(folder)
    for need in job["needs"]:
        NEEDS[need]()
    on_engine = "engine" in job["needs"]
    work = Work(job["id"], Path(job["starter"]), folder, plant, on_engine, job["draws"])
    asked = with_needs(checks, job["only"]) if job["only"] else says.keys()
    for check in checks:
        if check.name in outcomes:
            continue
        say(begin=check.name)
        began = time.monotonic()
        if check.name == job["without"] or check.name not in asked:
            result = Result(check.name, check.says, check.points, Outcome.PASS, check.points)
        else:
            work.begin(check.name)
            result = judge(check, work, outcomes, says, on_engine)
        result.seconds = round(time.monotonic() - began, 3)
        outcomes[check.name] = result.outcome
        say(result=asdict(result))
    say(done=True, held=work.held)


def with_needs(checks: list[Check], name: str) -> set[str]:
    """A check and all that it needs, by name."""
    needs = {check.name: check.needs for check in checks}
    return {name}.union(*(with_needs(checks, needed) for needed in needs[name]))


def judge(check: Check, work: Work, outcomes: dict[str, Outcome], says: dict[str, str], on_engine: bool) -> Result:
    """Run one check, and tell a wrong answer from trouble with the machine.

    Args:
        outcomes: of the checks before it, by name.
        says: what each check asserts, by name.
    """
    result = Result(check.name, check.says, check.points, Outcome.PASS, check.points)
    if lacking := [name for name in check.needs if outcomes[name] != Outcome.PASS]:
        result.outcome, result.points = Outcome.SKIPPED, 0
        result.reason = _("this comes first: {checks}", checks=" ".join(says[name] for name in lacking))
        return result
    try:
        try:
            check(work)
        except Mismatch:
            if on_engine:  # what an engine that is gone broke is not the learner's mistake
                from boxlab import engine

                engine.ping()
            raise
    except Mismatch as wrong:
        result.outcome, result.points = Outcome.FAIL, 0
        for name in ("expected", "actual", "why", "next", "where", "caret"):
            setattr(result, name, getattr(wrong, name))
    except Exception as error:
        result.outcome, result.points = Outcome.INFRASTRUCTURE, 0
        result.reason, result.fix = _infrastructure(error)
    return result


def _infrastructure(error: Exception) -> tuple[str, str]:
    """What is wrong with the machine, or with us, and its fix."""
    if isinstance(error, BoxlabError):
        return error.args[0], error.fix
    if isinstance(error, OSError) and error.strerror:
        known = of_system(error)
        return known.args[0], known.fix
    if type(error).__module__.partition(".")[0] in ("docker", "requests", "urllib3"):
        from boxlab import engine

        explained = engine.explain(error)
        return explained.args[0], explained.fix
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{MISTAKE}: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})",
        _("please report it"),
    )


def _plant(job: dict[str, Any], say: Callable[..., None]) -> None:
    """Lay what a lab plants into a learner's new folder."""
    module = load(Path(job["checks"]))[1]
    Planter(getattr(module, "plant", None), job["seed"])(Path(job["folder"]))
    say(done=True)


def _clear(job: dict[str, Any], say: Callable[..., None]) -> None:
    """Remove what a run has left that could not clean up after itself, but for the folder that its job keeps."""
    from boxlab import leftover, sweep

    run, on_engine = job["run"], "engine" in job["needs"]
    leftover.remove(lambda: sweep.processes(run))
    leftover.remove(lambda: [item for item in sweep.of_run(run, on_engine) if item.name != job["keep"]])
    say(done=True)


def _engine() -> None:
    """An engine that answers, and the image that all others build on."""
    from boxlab import images

    images.ensure("base")


def _root() -> None:
    if os.geteuid():
        raise BoxlabError(
            _("this lab is for root: it makes what only root may make"), _("`sudo -E` before the command")
        )


def _vm() -> None:
    """A virtual machine that boots: by what, is remembered."""
    from boxlab.runtimes import accelerator

    accelerator.choose()


NEEDS = {"engine": _engine, "root": _root, "vm": _vm}

if __name__ == "__main__":
    main()
