"""Commands under test. Whatever else a test asks of one, its standard error shows no reader a traceback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from click.testing import CliRunner, Result

from boxlab import cli
from boxlab.waiting import HANG_S

UNSIGHTLY = ("Traceback (most recent call last)", "Exception ignored", "ResourceWarning: ")


def look(text: str, but: tuple[str, ...] = ()) -> None:
    """Fail where a text holds what no reader should see, `but` for what the test has put there on purpose."""
    assert [sign for sign in UNSIGHTLY if sign in text and sign not in but] == [], text


def boxlab(*arguments: object, **options) -> Result:
    """The command `boxlab`, in this process."""
    result = CliRunner().invoke(cli.main, [*map(str, arguments)], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    look(result.output)
    return result


def run(*command: object, but: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess[str]:
    """A command, run to its end, which comes within ten minutes unless `options` say otherwise; `but` as for `look`."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **{"timeout": HANG_S} | options)
    look(done.stderr, but)
    return done


@contextmanager
def started(*command: object, **options) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test, and not after it."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*map(str, command)], text=True, **pipes | options) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str], but: tuple[str, ...] = ()) -> tuple[str, str]:
    """Wait for its end: what is left of its output and of its standard error; `but` as for `look`."""
    output, error = process.communicate(timeout=HANG_S)
    look(error or "", but)
    return output, error
