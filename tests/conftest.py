"""What all tests share: who runs beside whom, and the count of what there is before the first and after the last."""

import os
import signal
import sys
import time

import engines
import owners
import pytest
from xdist.scheduler import LoadScopeScheduling

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.update(owners.variables(worker))  # before the library is imported, which reads them once

# A shell's `&`, nohup and cron start us deaf to Ctrl-C or to a hang-up, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)

from census import census, disk, grown  # noqa: E402  # by then

from boxlab import layers, sweep  # noqa: E402

ALL_LABS = "tests/labs/test_all_labs.py::"
MEASURING = (
    "tests/engine/test_boxes.py::test_an_interrupted_experiment",
    "tests/engine/test_experiments.py",
    "tests/engine/test_notebooks.py",
    "tests/engine/test_owners.py",
    "tests/vm/",
    "notebooks/",
    f"{ALL_LABS}test_the_lab_is_proven[07-",
)
"""One after another: measurements side by side would measure each other, and notebooks call images by the name that all checkouts
share, which two checkouts at work move."""

APART = ("tests/unit/", ALL_LABS)
"""Each test by itself, wherever a process is free."""

WHOLE = ("tests/unit/test_language.py",)
"""But for files whose fixtures take longer than their tests."""

BEFORE = pytest.StashKey[set[str]]()
DISK = pytest.StashKey[tuple[int, dict[str, int]]]()

GARBAGE_S = 60


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are saved and read in each test, whatever an earlier one has found them to be."""
    monkeypatch.setattr(
        layers, "_REMEMBERED", tmp_path_factory.getbasetemp() / f"layers-{os.getpid()}-{time.monotonic_ns()}.json"
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--census", action="store_true", help="count what there is before the first test and after the last"
    )


class Together(LoadScopeScheduling):
    """Says what stays together, in one process: what measures, and otherwise a file, whose fixtures may take long.

    Not by marks of groups, which are lost where they are to be part of a test's name (xdist 3.8 with pytest 9.2).
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(MEASURING):
            return "measuring"
        return nodeid if nodeid.startswith(APART) and not nodeid.startswith(WHOLE) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return Together(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    if engines.named(item.nodeid):
        item.add_marker(pytest.mark.engines)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("linux") and sys.platform != "linux":
        pytest.skip("only Linux has what it looks at")


def pytest_sessionstart(session: pytest.Session) -> None:
    if _counts(session.config):
        _sweep_workers(session.config)  # after tests that were killed
        session.config.stash[BEFORE] = _census(session.config)
        session.config.stash[DISK] = disk()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last test, which no process that runs tests could be: all of them have ended."""
    if BEFORE not in session.config.stash:
        return
    left = _census(session.config) - session.config.stash[BEFORE]
    _sweep_workers(session.config)
    if grown(session.config.stash[DISK], disk()):
        time.sleep(GARBAGE_S)  # containerd collects what nothing needs any more in its own time
        if more := grown(session.config.stash[DISK], disk()):
            left |= {f"{more >> 20} MiB on the engine's disk"}
    report = pytest.TestReport(
        nodeid="tests/conftest.py::nothing_of_ours_is_left",
        location=("tests/conftest.py", None, "nothing_of_ours_is_left"),
        keywords={},
        outcome="failed" if left else "passed",
        longrepr="\n".join(["left behind:", *sorted(left)]) if left else None,
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _counts(config: pytest.Config) -> bool:
    """Whether this is the process that counts: the one that was called, not those that it has run tests."""
    return config.option.census and not config.option.collectonly and not hasattr(config, "workerinput")


def _census(config: pytest.Config) -> set[str]:
    """The census of this process and of those that it has run tests."""
    found = census()
    for worker in _workers(config):
        with owners.as_worker(worker):
            found |= census()
    return found


def _sweep_workers(config: pytest.Config) -> None:
    """Remove all of theirs, also the names under which they know the book's images."""
    for worker in _workers(config):
        with owners.as_worker(worker):
            sweep.sweep(images=True)


def _workers(config: pytest.Config) -> list[str]:
    """The names of the processes that run tests, where this one does not."""
    return [f"gw{number}" for number in range(config.getoption("numprocesses", 0) or 0)]


@pytest.fixture
def bound() -> list[str]:
    """What goes before a command so that permissions bind it as they bind a user who is not root."""
    drop = "-dac_override,-dac_read_search,-fowner"
    return [] if os.geteuid() else ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]
