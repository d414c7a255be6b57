"""The clock that bench.py reads and the boxes that it starts, as play.py has them: a wait of a minute is over at once.

The clock stands still while the program computes. It goes on when all threads wait, to the moment at which the first of them
need wait no more; and who does nothing but read it lets it go on as well. By it go `time.time`, `monotonic`, `perf_counter`,
their `_ns`, `clock_gettime` of all clocks but those of the processor's time, `time.sleep`, the waits and timeouts of `threading`,
`queue`, `concurrent.futures`, `multiprocessing.pool.ThreadPool` and `asyncio`, `signal.alarm` and `signal.setitimer`. Any other clock,
such as `datetime.now`, shows real time, in which nothing here takes long.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

SHORTEST_S = 0.005
"""What the shortest wait takes, so that who looks again and again comes to an end."""

READS = 20
"""As often the clock may be read while nothing happens; then it goes on by the shortest wait."""

OF_DAY = {getattr(time, name, None) for name in ("CLOCK_REALTIME", "CLOCK_TAI")}
OF_PROCESSOR = {
    getattr(time, name, None) for name in ("CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID", "CLOCK_PROF")
}

REAL = {
    "gettime": getattr(time, "clock_gettime", None),
    "lock": threading.Lock,
    "start": threading.Thread.start,
    "join": threading.Thread.join,
}


class Stuck(BaseException):
    """It was waited for something that never comes."""


class Clock:
    """Seconds since a moment that means nothing, and the threads that wait for them to pass.

    Args:
        ask: asks play.py, which knows what happens next.
    """

    def __init__(self, ask: Callable[[list], dict]):
        self._ask = ask
        self._now = self._day = 0.0
        self._held = threading.RLock()
        self._sleeping: list = []  # a lock for each thread that sleeps until something changes
        self._running = {threading.get_ident()}
        self._starting = 0
        self._waiting: dict[int, tuple] = {}  # of each thread for what, until when, and for which start
        self._said: dict[int, list] = defaultdict(list)  # by which starts, and not yet read
        self._reads = 0
        self._strike: Callable | None = None  # what interrupts the main thread
        self._alarm, self._every = math.inf, 0.0

    def now(self) -> float:
        self._read()
        return self._now

    def day(self) -> float:
        """The time of day, which somebody may set."""
        self._read()
        return self._day

    def _read(self) -> None:
        self._reads += 1
        if self._reads > READS:
            self.sleep(0)

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.wait(lambda: False, seconds)

    def wait(self, done: Callable[[], bool], seconds: float = math.inf, start: int | None = None) -> bool:
        """Wait until it is done, at most so long; returns whether it is.

        Args:
            start: of which box a line is waited for.
        """
        me = threading.get_ident()
        with self._held:
            until = self._now + max(seconds, SHORTEST_S)
            try:
                while not done() and self._now < until:
                    self._waiting[me] = done, until, start
                    if self._strike and me == threading.main_thread().ident:
                        strike, self._strike = self._strike, None
                        strike()
                    elif self._all_wait():
                        self._go_on()
                    else:
                        self._sleep()
            finally:
                self._waiting.pop(me, None)
            return done()

    def _all_wait(self) -> bool:
        if self._starting or self._strike or not self._running <= self._waiting.keys():
            return False
        over = any(done() or until <= self._now for done, until, _ in self._waiting.values())
        if over:
            self.changed()
        return not over

    def _go_on(self) -> None:
        """Ask what happens next."""
        until = min(self._alarm, *(until for _, until, _ in self._waiting.values()))
        starts = {start for _, _, start in self._waiting.values() if start is not None}
        answer = self.ask("wait", None if until == math.inf else until, sorted(starts))
        for start, line in answer.get("said", []):
            self._said[start].append(line)
        if "stuck" in answer:
            self._strike = partial(_fail, answer["stuck"])
        elif answer["struck"]:
            self._strike = partial(signal.raise_signal, signal.SIGINT)
        elif self._now >= self._alarm:
            self._alarm = self._now + self._every if self._every else math.inf
            self._strike = partial(signal.raise_signal, signal.SIGALRM)
        if self._strike and threading.main_thread().ident not in self._running:  # it has ended, and left others
            self._strike()
        self.changed()

    def ask(self, *question) -> dict:
        with self._held:
            answer = self._ask(list(question))
            self._now, self._day, self._reads = answer["now"], answer["wall"], 0
            return answer

    def _sleep(self) -> None:
        """Sleep until something has changed, as a condition of `threading` would if its locks were not ours by now."""
        awake = REAL["lock"]()
        awake.acquire()
        self._sleeping.append(awake)
        held = self._held._release_save()
        try:
            awake.acquire()
        finally:
            self._held._acquire_restore(held)

    def changed(self) -> None:
        """Let all look again whether what they wait for is there."""
        with self._held:
            while self._sleeping:
                self._sleeping.pop().release()

    def end(self) -> None:
        """The calling thread waits for nothing any more."""
        with self._held:
            self._running.discard(threading.get_ident())
            self.changed()

    def line(self, start: int, seconds: float = math.inf) -> str | None:
        """The next thing that a box says; None if it says nothing in time."""
        with self._held:
            return self._said[start].pop(0) if self.wait(lambda: bool(self._said[start]), seconds, start) else None

    def start(self, thread: threading.Thread) -> None:
        """Start a thread, in place of `Thread.start`."""
        run, thread.has_run = thread.run, False

        def counted() -> None:
            with self._held:
                self._starting -= 1
                self._running.add(threading.get_ident())
            try:
                run()
            finally:
                thread.has_run = True
                self.end()

        with self._held:
            self._starting += 1
        thread.run = counted
        try:
            REAL["start"](thread)
        except RuntimeError:
            with self._held:
                self._starting -= 1
            raise

    def join(self, thread: threading.Thread, timeout: float | None = None) -> None:
        """Wait for a thread's end, in place of `Thread.join`."""
        if not hasattr(thread, "has_run") or self.wait(
            lambda: thread.has_run, math.inf if timeout is None else timeout
        ):
            REAL["join"](thread)

    def set_alarm(self, seconds: float, every: float = 0.0) -> float:
        """Let a signal come, in place of `signal.setitimer`; returns in how many seconds another would have come."""
        before = 0.0 if self._alarm == math.inf else self._alarm - self._now
        self._alarm, self._every = self._now + seconds if seconds else math.inf, every
        return before


def _fail(why: str) -> None:
    raise Stuck(why)


class Box:
    """A box that was started."""

    def __init__(self, clock: Clock, name: str):
        self._clock = clock
        self._number = clock.ask("start", name)["start"]
        clock.line(self._number)  # that the call returns

    def line(self, timeout: float | None = None) -> str | None:
        """The next line, as soon as it is there; None if none comes in time; "" once the box has ended."""
        return self._clock.line(self._number, math.inf if timeout is None else timeout)

    def stop(self) -> None:
        """End it, and wait until nothing of it is left."""
        left = self._clock.ask("stop", self._number)["left"]
        if left > 0:
            self._clock.sleep(left)


def install(clock: Clock) -> None:
    """Let the modules of the standard library go by this clock."""
    for name, read in {"monotonic": clock.now, "perf_counter": clock.now, "time": clock.day}.items():
        setattr(time, name, read)
        setattr(time, f"{name}_ns", lambda read=read: round(read() * 1e9))
    time.sleep = clock.sleep

    def gettime(which: int) -> float:
        return REAL["gettime"](which) if which in OF_PROCESSOR else clock.day() if which in OF_DAY else clock.now()

    time.clock_gettime, time.clock_gettime_ns = gettime, lambda which: round(gettime(which) * 1e9)
    install_waits(clock)


def install_waits(clock: Clock) -> None:
    """Let what waits wait for this clock: all waits of `threading`, and of what is built on it, are for its locks."""

    class Lock:
        def __init__(self):
            self._held = False

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            with clock._held:
                if self._held and not (
                    blocking and clock.wait(lambda: not self._held, math.inf if timeout < 0 else timeout)
                ):
                    return False
                self._held = True
                return True

        def release(self) -> None:
            if not self._held:
                raise RuntimeError("release unlocked lock")
            self._held = False
            clock.changed()

        def locked(self) -> bool:
            return self._held

        def __enter__(self) -> bool:
            return self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

        _at_fork_reinit = __init__

    threading.Lock = threading._allocate_lock = Lock
    threading._CRLock = None  # the one in Python, which is made of the other
    threading._time = clock.now
    threading.Thread.start = lambda thread: clock.start(thread)
    threading.Thread.join = lambda thread, timeout=None: clock.join(thread, timeout)

    import queue
    import selectors

    queue.SimpleQueue, queue.time = queue._PySimpleQueue, clock.now

    def waits(look: Callable) -> Callable:
        def select(self, timeout: float | None = None) -> list:
            if timeout is None or timeout > 0:
                clock.wait(lambda: bool(look(self, 0)), math.inf if timeout is None else timeout)
            return look(self, 0)

        return select

    # The one of `asyncio`, and the one of `multiprocessing`, with whose pools of threads one may wait.
    for kind in {selectors.DefaultSelector, getattr(selectors, "PollSelector", selectors.SelectSelector)}:
        kind.select = waits(kind.select)

    def setitimer(which: int, seconds: float, interval: float = 0.0, real: Callable = signal.setitimer) -> tuple:
        return (
            (clock.set_alarm(seconds, interval), 0.0) if which == signal.ITIMER_REAL else real(which, seconds, interval)
        )

    signal.setitimer, signal.alarm = setitimer, lambda seconds: math.ceil(clock.set_alarm(seconds))


def perform(ask: Callable[[list], dict]) -> None:
    """Let bench.py measure, and hand in its rows, or why it broke off."""
    clock = Clock(ask)
    play = clock.ask("begin")
    install(clock)
    rows, trouble = None, ""
    try:
        import bench

        boxes = {name: partial(Box, clock, name) for name in play["boxes"]}
        rows = bench.measure(boxes, rounds=play["rounds"], deadline=play["deadline"])
    except (Stuck, KeyboardInterrupt) as error:
        trouble = str(error) or "Ctrl-C"
    except SystemExit as error:
        trouble = f"it exits, with status {error.code}"
    clock.ask("done", rows, trouble)
    clock.end()


def plain(value):
    """What JSON has for a number of numpy's, and an error that names any other."""
    return value.item() if hasattr(value, "item") else json.JSONEncoder().default(value)


def ask_by_pipe(question: list) -> dict:
    """Ask whoever has started this program: a line each way."""
    os.write(1, b"\n\x1e" + json.dumps(question, default=plain).encode() + b"\n")
    return json.loads(sys.stdin.buffer.readline())


if __name__ == "__main__":
    sys.tracebacklimit = 2  # the last two lines are those of bench.py
    perform(ask_by_pipe)
