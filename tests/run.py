"""Run the tests; what fails beside others is run once more, alone, and named: what fails alone fails.

    python tests/run.py ARGUMENTS OF PYTEST

Processes that share an engine disturb each other's tests now and then. Such a test is to be mended, and its name is in the
log for that; whether the library works, it says when nothing disturbs it. Many failures are no disturbance: they stand.
"""

import os
import sys

import pytest

MOST = 10
"""So many failures may be a disturbance."""


def again(failed: list[str]) -> list[str]:
    """What to run again for the tests that have failed: a notebook's cell needs those above it."""
    whole = [test.partition("::")[0] if test.startswith("notebooks/") else test for test in failed]
    return list(dict.fromkeys(whole))


class Failures:
    """A plugin that notes, in the process that was called, which tests fail: one that fails and is not cleaned up after, twice, as
    pytest counts it. Each is told at once, as a run that is killed ends without pytest's account."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.terminal = session.config.pluginmanager.get_plugin("terminalreporter")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.seen.append(report.nodeid)
            lines = report.longreprtext.splitlines()
            why = next((line for line in lines if line.startswith("E ")), " ".join(lines[-1:]))
            self.terminal.write_line(f"{report.nodeid}: {why}")


def main(arguments: list[str]) -> int:
    failures = Failures()
    status = pytest.main(arguments, plugins=[failures])
    counts = any(test.startswith("tests/conftest.py::") for test in failures.seen)  # what is left is left
    if status == pytest.ExitCode.TESTS_FAILED and not counts and 0 < len(set(failures.seen)) <= MOST:
        print(
            f"again: {len(failures.seen)} failed beside others, and run alone:",
            *dict.fromkeys(failures.seen),
            sep="\n  ",
            flush=True,
        )
        options = [argument for argument in arguments if argument.startswith("-") and "numprocesses" not in argument]
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *options, "--numprocesses=1", *again(failures.seen)])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
