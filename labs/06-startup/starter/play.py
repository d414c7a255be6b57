"""Plays boxes whose times are known, on a clock of its own, so that a start of a minute takes no time at all.

    python3 play.py       has bench.py measure five such boxes, and shows what it says beside what was played

What bench.py sees of it is played.py: there the clock is, and the boxes.
"""

import math
import random
import sys

READY = "workload: ready"

OTHER_LINES = (
    "",
    "workload: started",
    "workload: not ready yet",
    "workload: reads its model",
    f"soon comes {READY}",
)
"""What a box may print before it is ready."""

STOP_S = 0.05
"""What stopping a box takes."""

ASKED_S, MOST_ASKED = 0.01, 5000
"""What it takes to ask a box that has ended once more, and how often it may be: longer than any deadline here."""


class Stage:
    """The boxes of one play, the clock, and what became of each start.

    Attributes:
        starts: of each, in order: box, called, took (seconds until it was ready; None: never), stopped (None: never),
            running (others, at the call), interrupted.
        trouble: what was waited for that never comes, or why the benchmark broke off.
        rows: what it returned.
        over: whether it has returned, or broken off.
    """

    def __init__(self, play: dict, draw: random.Random):
        self._play, self._draw = play, draw
        self.now = draw.uniform(1000, 2000)
        self.starts: list[dict] = []
        self.trouble, self.rows = "", None
        self._ahead: list[list] = []  # of each start, what it has still to say: when, and the line
        self._asked: list[int] = []  # of each start, how often it was asked after its end
        self._strikes, self.over = math.inf, False

    def answer(self, question: list) -> dict:
        """What played.py asks: the play's beginning, to start a box or to stop it, what comes next, and to take the rows.

        An answer says what has happened, and nothing of what will.

        Raises:
            ValueError: it is no such question.
        """
        match question:
            case ["begin"]:
                found = {
                    "boxes": list(self._play["boxes"]),
                    "rounds": self._play["rounds"],
                    "deadline": self._play["deadline"],
                }
            case _ if self.over:
                found = {"stuck": "the benchmark has ended"}
            case ["start", str(name)] if name in self._play["boxes"]:
                found = {"start": self._begin(name)}
            case ["stop", int(number)] if 0 <= number < len(self.starts):
                found = {"left": self._stop(number) - self.now}
            case ["wait", until, [*numbers]] if _is_time(until) and all(n in range(len(self.starts)) for n in numbers):
                found = self._wait(math.inf if until is None else until, numbers)
            case ["done", rows, str(trouble)]:
                self.over, self.rows, self.trouble = True, rows, self.trouble or trouble
                found = {}
            case _:
                raise ValueError("no such question")
        jump = self._draw.uniform(-5000, 5000) if self._play["jumps"] else 0
        return {"now": self.now, "wall": 1.7e9 + self.now + jump} | found

    @property
    def left(self) -> list[dict]:
        """The starts that were not stopped."""
        return [start for start in self.starts if start["stopped"] is None or start["stopped"] > self.now]

    def _begin(self, name: str) -> int:
        number, running = len(self.starts), len(self.left)
        scripts = self._play["boxes"][name]
        script = scripts[sum(start["box"] == name for start in self.starts) % len(scripts)]
        slower = 1 + self._play["drift"] * number
        ahead = [[script["returns"], None], *script["lines"]]  # None: the call returns
        ahead += [] if script["ends"] is None else [[script["ends"], ""]]
        took = next((at * slower for at, text in ahead if (text or "").startswith(READY)), None)
        ahead = [[self.now + at * slower, f"{text}\n" if text is not None else None] for at, text in ahead]
        if script["ends"] is not None:
            ahead[-1][1] = ""
        if self._play["interrupt"] == number:
            self._strikes = (ahead[0][0] + ahead[1][0]) / 2  # the call has returned, and nothing was said yet
        start = {
            "box": name,
            "called": self.now,
            "took": took,
            "stopped": None,
            "running": running,
            "interrupted": False,
        }
        self.starts.append(start)
        self._ahead.append(ahead)
        self._asked.append(0)
        return number

    def _stop(self, number: int) -> float:
        start = self.starts[number]
        if start["stopped"] is None:
            start["stopped"] = self.now + STOP_S
            self._ahead[number] = [[start["stopped"], ""]]
        return start["stopped"]

    def _wait(self, until: float, numbers: list[int]) -> dict:
        """Let the clock go on until the first of these boxes says something, at most to `until`."""
        comes = min([until, self._strikes, *(self._ahead[number][0][0] for number in numbers if self._ahead[number])])
        if comes == math.inf:
            self.trouble = (
                self.trouble
                or "it waits for what never comes, such as a line of a box that hangs, and without a timeout"
            )
            return {"stuck": self.trouble}
        self.now = max(self.now, comes)
        said = [[n, self._next(n)] for n in numbers if self._ahead[n] and self._ahead[n][0][0] <= self.now]
        if any(asked > MOST_ASKED for asked in self._asked):
            self.trouble = 'the box has ended, and line() says "" each time: a loop that does not stop at "" never ends'
            return {"stuck": self.trouble}
        struck = self._strikes <= self.now
        if struck:
            self.starts[self._play["interrupt"]]["interrupted"], self._strikes = True, math.inf
        return {"said": said, "struck": struck}

    def _next(self, number: int) -> str | None:
        if self._ahead[number][0][1] != "":
            return self._ahead[number].pop(0)[1]
        self.now += (
            ASKED_S if self._asked[number] else 0
        )  # who asks an ended box again and again does not stop the time
        self._asked[number] += 1
        return ""


def _is_time(value) -> bool:
    return value is None or (isinstance(value, (int, float)) and math.isfinite(value))


def script(draw: random.Random, seconds: float, called: float = 0.3) -> dict:
    """A start that is ready after so many seconds; the call itself takes the share `called` of them."""
    others = draw.sample(OTHER_LINES, draw.randint(0, len(OTHER_LINES)))
    lines = [[seconds * at, text] for at, text in zip(sorted(draw.uniform(called + 0.1, 0.9) for _ in others), others)]
    ready = [seconds, f"{READY} {draw.uniform(5, 30):.1f}"]
    return {"returns": seconds * called, "lines": [*lines, ready], "ends": seconds + 2}


def hangs() -> dict:
    """A start that comes to nothing, silently."""
    return {"returns": 0.3, "lines": [[0.6, "workload: started"]], "ends": None}


def play_of(boxes: dict[str, list[dict]], rounds: int, **options) -> dict:
    """A play in which each box has a script for each of its starts.

    Args:
        options: deadline (seconds), drift (by which share each start is slower than the one before), jumps (somebody sets the
            time of day), interrupt (the start in which somebody presses Ctrl-C).
    """
    defaults = {"deadline": 30.0, "drift": 0.0, "jumps": False, "interrupt": None}
    return {"boxes": boxes, "rounds": rounds} | defaults | options


def rehearse() -> None:
    draw = random.Random()
    times = {"process": 0.05, "container": 0.3, "microvm": 1.2}
    rounds = 5
    boxes = {name: [script(draw, draw.gauss(t, t / 20)) for _ in range(rounds + 1)] for name, t in times.items()}
    boxes["microvm"][3] = hangs()
    boxes["seldom"] = [hangs()] * rounds + [script(draw, 0.8)]  # one start that counts
    boxes["never"] = [hangs() | {"ends": 0.8}] * (rounds + 1)  # none: it ends each time
    stage = Stage(play_of(boxes, rounds), draw)

    import played

    played.perform(stage.answer)
    print(f"{'box':10} {'round':>5} {'you say':>10} {'played':>10}")
    for row, start in zip(stage.rows or [], stage.starts):
        truth = "never" if start["took"] is None else f"{start['took']:.3f}"
        said = row["error"] if row["seconds"] is None else f"{row['seconds']:.3f}"
        print(f"{row['box']:10} {row['round']:5} {said!s:>10} {truth:>10}")
    if stage.trouble:
        sys.exit(stage.trouble)

    import bench

    for name, facts in bench.summary(stage.rows).items():
        print(name, facts)


if __name__ == "__main__":
    rehearse()
