"""What the tests themselves promise: they look at standard error, fail on what is dropped, and assert nothing of time."""

import ast
import sys
import warnings

import bench
import command
import engines
import pytest
from promises import PARTS, Line

from boxlab import paths

CLOCKS = {"monotonic", "perf_counter", "process_time", "time", "monotonic_ns", "perf_counter_ns", "time_ns"}
TIMED = {"wait", "wait_for", "read", "communicate", "join", "wait_procs", "run", "urlopen", "stop"}
"""Calls whose number would be a deadline that fails a test."""

NOT_TESTS = {"waiting.py", "command.py", "bench.py", "promises.py"}


@pytest.mark.parametrize(
    "category",
    [ResourceWarning, pytest.PytestUnraisableExceptionWarning, pytest.PytestUnhandledThreadExceptionWarning],
)
def test_what_is_left_to_the_garbage_collector_or_to_a_thread_fails_a_test(category):
    with pytest.raises(category):
        warnings.warn("dropped", category, stacklevel=1)


@pytest.mark.parametrize("script", ["1 / 0", "class A:\n def __del__(self): 1 / 0\nA()"])
def test_a_command_that_shows_a_traceback_fails_a_test(script):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        command.run(sys.executable, "-c", script)
    with (
        pytest.raises(AssertionError, match="ZeroDivisionError"),
        command.started(sys.executable, "-c", script) as process,
    ):
        command.finish(process)


def test_a_command_that_runs_beside_a_test_ends_with_it():
    with command.started("sleep", "1000") as process:
        pass
    assert process.returncode == -9


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_what_tests_start_hears_a_signal_though_a_shell_or_nohup_had_it_ignored(name):
    script = f"""
import signal, subprocess, sys
signal.signal(signal.{name}, signal.SIG_IGN)
sys.path.insert(0, "tests")
import conftest
heard = f"import signal; print(signal.getsignal(signal.{name}) != signal.SIG_IGN)"
print(subprocess.run([sys.executable, "-c", heard], capture_output=True, text=True).stdout)
"""
    assert command.run(sys.executable, "-c", script, cwd=paths.ROOT).stdout.strip() == "True"


def test_no_test_asserts_how_long_something_took():
    """That is for `make bench`. What only ends a hang is `waiting.HANG_S`, or stands in the text of a learner's program."""
    found = []
    for path in sorted((paths.ROOT / "tests").rglob("*.py")):
        if path.name not in NOT_TESTS:
            found += [f"{path.relative_to(paths.ROOT)}:{line}" for line in timed(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "def test(): assert time.monotonic() - began < 5",
        "def test():\n    took = time.perf_counter() - began\n    assert took < 5",
        "def test(): assert 0 < ran.seconds < 5",
        "def test(): assert box.stop() < 5",
        "deadline = time.monotonic() + 20",
        "process.wait(5)",
        "process.communicate(timeout=20)",
        "subprocess.run(command, timeout=900)",
    ],
)
def test_an_assertion_on_time_is_found(text):
    assert timed(text)


@pytest.mark.parametrize(
    "text",
    [
        "began = time.monotonic()",
        "process.wait(HANG_S)",
        "process.communicate(timeout=HANG_S)",
        "def test():\n    seconds = 3\n    assert seconds(3) == '3 s'",
        "assert run.median('container', 'seconds').value > 0",
    ],
)
def test_a_deadline_that_ends_a_hang_is_none(text):
    assert not timed(text)


@pytest.mark.parametrize("name", engines.NAMED)
def test_the_list_for_each_kind_of_engine_names_tests_that_there_are(name):
    file, _, test = name.partition("::")
    defined = {node.name for node in ast.walk(ast.parse((paths.ROOT / file).read_text())) if hasattr(node, "name")}
    assert not test or test.partition("[")[0] in defined


@pytest.fixture
def said(monkeypatch):
    """What a benchmark of pretended parts on a machine half as fast as promised has said; each part adds its own."""
    monkeypatch.setattr(bench, "calibrate", lambda say: 2.0)
    lines = []

    def broken():
        yield Line("a first one", "1 s")
        raise RuntimeError("words\nin two lines")

    def interrupted():
        yield Line("slow", "3 s", "", 3.0, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setitem(PARTS, "broken", broken)
    monkeypatch.setitem(PARTS, "sound", lambda: iter([Line("fast", "2 s", "", 2.0, 1.0)]))
    monkeypatch.setitem(PARTS, "interrupted", interrupted)
    failed = bench.measure(["broken", "sound", "interrupted", "sound"], lines.append)
    assert failed == 2
    return [" ".join(line.split()) for line in lines]


def test_a_benchmark_says_each_line_at_once_and_goes_on_after_a_part_that_fails(said):
    assert said[:3] == [
        "a first one 1 s",
        "broken failed RuntimeError: words in two lines",
        "fast 2 s under 1 s, here 2.00 s: kept",
    ]


def test_an_interrupted_benchmark_keeps_what_it_has_measured(said):
    assert said[3:] == ["slow 3 s under 1 s, here 2.00 s: NOT KEPT", "interrupted; the lines above stand"]


def test_a_part_of_the_benchmark_that_there_is_not_is_wrong_usage():
    done = command.run(sys.executable, bench.__file__, "nonsense")
    assert done.returncode == 2 and "some of: commands unit labs" in done.stderr


def timed(text: str) -> list[int]:
    """Lines that would fail where a machine is slow."""
    tree = ast.parse(text)
    measured = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _reads_a_clock(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return sorted(node.lineno for node in ast.walk(tree) if _is_timed(node, measured))


def _is_timed(node: ast.AST, measured: set[str]) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _reads_a_clock(node) and any(_is_number(side) for side in (node.left, node.right))
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [word.value for word in node.keywords if word.arg == "timeout"]
        return name in TIMED and any(map(_is_number, given + node.args[:1]))
    if isinstance(node, ast.Assert):
        return any(isinstance(part, ast.Compare) and _compares_time(part, measured) for part in ast.walk(node.test))
    return False


def _compares_time(comparison: ast.Compare, measured: set[str]) -> bool:
    """Whether a duration is held against a number."""
    if not all(isinstance(by, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for by in comparison.ops):
        return False
    sides = [comparison.left, *comparison.comparators]
    if not any(map(_is_number, sides)):
        return False
    return any(
        _reads_a_clock(side)
        or any(isinstance(part, ast.Name) and part.id in measured for part in ast.walk(side))
        or (isinstance(side, ast.Attribute) and side.attr == "seconds")
        or (isinstance(side, ast.Call) and getattr(side.func, "attr", "") == "stop")
        for side in sides
    )


def _reads_a_clock(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in CLOCKS
        for part in ast.walk(node)
    )


def _is_number(node: ast.AST) -> bool:
    """A number other than nothing, which everything takes longer than."""
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value != 0
