"""Plays boxes whose times are known, on a clock of its own, so that a start of a minute takes no time at all.

    python3 play.py       has bench.py measure five such boxes, and shows what it says beside what was played

The functions monotonic, perf_counter and time of the module `time`, each with its _ns, and sleep go by the played
clock. Any other clock shows real time, in which nothing here takes long.
"""

import json
import random
import sys
import time

READY = "workload: ready"

MOST_ASKED = 100_000
"""How often an ended box may be asked for a line: more than anybody does who minds a deadline."""

STOP_S = 0.05
"""What stopping a box takes."""


class Stuck(BaseException):
    """It was waited for something that never comes."""


class Clock:
    """Seconds since the play began; its wall clock is set anew ten times a second if it `jumps`."""

    def __init__(self, jumps: bool):
        self.now, self._jumps = random.uniform(1000, 2000), jumps

    def wall(self) -> float:
        return 1.7e9 + self.now + (600 * (int(self.now * 10) % 7) if self._jumps else 0)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def install(self) -> None:
        clocks = {"monotonic": lambda: self.now, "perf_counter": lambda: self.now, "time": self.wall}
        for name, clock in clocks.items():
            setattr(time, name, clock)
            setattr(time, f"{name}_ns", lambda clock=clock: int(clock() * 1e9))
        time.sleep = self.pass_by


class Box:
    """A box that was started."""

    def __init__(self, stage: "Stage", script: dict, start: dict, slower: float):
        self._stage, self._start = stage, start
        called = start["called"]
        self._events = [(called + at * slower, text + "\n") for at, text in script["lines"]]
        if script["ends"] is not None:
            self._events.append((called + script["ends"] * slower, ""))
        start["ready"] = next((at for at, text in self._events if text.startswith(READY)), None)
        stage.clock.pass_by(script["returns"] * slower)

    def line(self, timeout: float | None = None) -> str | None:
        """The next line, as soon as it is there; None if none comes in time; "" once the box has ended."""
        clock = self._stage.clock
        self._stage.interrupt(self._start)
        if not self._events and timeout is None:
            raise Stuck("line() without a timeout waits for a box that will never say anything more")
        if not self._events or (timeout is not None and self._events[0][0] > clock.now + max(timeout, 0)):
            clock.pass_by(max(timeout, 0.001))
            return None
        at, text = self._events[0]
        clock.now = max(clock.now, at)
        if text:
            del self._events[0]
        else:
            self._start["asked"] += 1
            if self._start["asked"] > MOST_ASKED:
                raise Stuck('the box has ended, and line() says "" each time: who goes on asking asks for ever')
            clock.pass_by(0.001)  # who asks an ended box again and again does not stop the time
        return text

    def stop(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._start["stopped"] = self._start["stopped"] or self._stage.clock.now
        self._stage.clock.pass_by(STOP_S)


class Stage:
    """The boxes of one play, and what became of each start.

    Attributes:
        starts: of each, in order: box, called, ready (None: never), stopped (None: never), running (others, at the
            call), interrupted, asked (how often after its end).
    """

    def __init__(self, play: dict, clock: Clock):
        self._play, self.clock = play, clock
        self.starts: list[dict] = []
        self.boxes = {name: lambda name=name: self._begin(name) for name in play["boxes"]}

    def _begin(self, name: str) -> Box:
        running = sum(start["stopped"] is None for start in self.starts)
        start = {
            "box": name,
            "called": self.clock.now,
            "ready": None,
            "stopped": None,
            "running": running,
            "interrupted": False,
            "asked": 0,
        }
        slower = 1 + self._play["drift"] * len(self.starts)
        scripts = self._play["boxes"][name]
        script = scripts[sum(s["box"] == name for s in self.starts) % len(scripts)]
        self.starts.append(start)
        return Box(self, script, start, slower)

    def interrupt(self, start: dict) -> None:
        """Ctrl-C, where the play has one at this start."""
        if self._play["interrupt"] == self.starts.index(start):
            start["interrupted"] = True
            raise KeyboardInterrupt


def script(seconds: float, called: float = 0.3) -> dict:
    """A start that is ready after so many seconds; the call itself takes the share `called` of them."""
    lines = [
        [seconds * 0.3, ""],
        [seconds * 0.6, "workload: started"],
        [seconds * 0.8, f"soon comes {READY}"],
        [seconds, f"{READY} {random.uniform(5, 30):.1f}"],
    ]
    return {"returns": seconds * called, "lines": lines, "ends": seconds + 2}


def hangs() -> dict:
    """A start that comes to nothing, silently."""
    return script(1.0) | {"lines": [[0.4, "workload: started"]], "ends": None}


def play_of(boxes: dict[str, list[dict]], rounds: int, **options) -> dict:
    """A play in which each box has a script for each of its starts."""
    defaults = {"deadline": 30.0, "drift": 0.0, "jumps": False, "interrupt": None}
    return {"boxes": boxes, "rounds": rounds} | defaults | options


def perform(play: dict) -> dict:
    """Let bench.py measure: its `rows`, the `starts` that were played, and `trouble` if it did not come to its end."""
    clock = Clock(play["jumps"])
    clock.install()
    import bench

    stage, rows, trouble = Stage(play, clock), None, ""
    try:
        rows = bench.measure(stage.boxes, rounds=play["rounds"], deadline=play["deadline"])
    except (Stuck, KeyboardInterrupt) as error:
        trouble = str(error) or "Ctrl-C"
    return {"rows": rows, "starts": stage.starts, "trouble": trouble}


def rehearse() -> None:
    times = {"process": 0.05, "container": 0.3, "microvm": 1.2}
    rounds = 5
    boxes = {name: [script(random.gauss(t, t / 20)) for _ in range(rounds + 1)] for name, t in times.items()}
    boxes["microvm"][3] = hangs()
    boxes["seldom"] = [hangs()] * rounds + [script(0.8)]  # one start that counts
    boxes["never"] = [hangs() | {"ends": 0.8}] * (rounds + 1)  # none: it ends each time
    played = perform(play_of(boxes, rounds))
    print(f"{'box':10} {'round':>5} {'you say':>10} {'played':>10}")
    for row, start in zip(played["rows"] or [], played["starts"]):
        truth = f"{start['ready'] - start['called']:.3f}" if start["ready"] else "never"
        said = row["error"] if row["seconds"] is None else f"{row['seconds']:.3f}"
        print(f"{row['box']:10} {row['round']:5} {said!s:>10} {truth:>10}")
    if played["trouble"]:
        sys.exit(played["trouble"])
    import bench

    for name, facts in bench.summary(played["rows"]).items():
        print(name, facts)


def answer() -> None:
    """Do what the input asks for, as JSON, and print the answer behind the mark that it gives."""
    sys.tracebacklimit = 2  # the last two lines are those of bench.py
    request = json.loads(sys.stdin.read())
    if "rows" in request:
        import bench

        found = bench.summary(request["rows"])
    else:
        found = perform(request["play"])
    print(f"\n{request['mark']}{json.dumps(found, default=float)}")


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["--answer"] else rehearse()
