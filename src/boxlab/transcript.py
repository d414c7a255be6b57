"""Commands in a notebook, each with what it printed: the cell magic `%%shell`, and what the book's pages take from its cells.

`%%bash` goes on after an error, and loses which command printed what.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from boxlab import marks
from boxlab.errors import BoxlabError
from boxlab.interrupts import deferred

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAGIC = "shell"
MIME = "application/vnd.containers-measured.transcript+json"
"""Under which a cell's output has its steps, beside the text that Jupyter shows."""

FAILS = re.compile(r"(?P<command>.*?)\s+# fails: status (?P<status>\d+)$")
"""How a command says that it is meant to fail."""


@dataclass(frozen=True)
class Step:
    """One command, and what it printed on either stream.

    Attributes:
        status: its exit status; not 0 only where it is declared.
    """

    command: str
    output: str
    status: int = 0


def commands(cell: str) -> list[tuple[str, int]]:
    """The commands of a cell, a line each, with the status that each declares; without comments and the magic's own line."""
    found = []
    for line in map(str.strip, cell.splitlines()):
        if line and not line.startswith(("#", f"%%{MAGIC}")):
            declared = FAILS.fullmatch(line)
            found.append((declared["command"], int(declared["status"])) if declared else (line, 0))
    return found


def run(cell: str) -> list[Step]:
    """Run the commands of a cell in one bash that ends at the first that fails undeclared.

    Raises:
        BoxlabError: a command fails, or one that is declared to fail does not; with all that was printed.
        KeyboardInterrupt: passed on, once all that the commands had started is killed.
    """
    bash = shutil.which("bash")
    if not bash:
        raise BoxlabError("there is no bash here", "install it; on Windows, run the notebook in WSL2")
    declared, mark = commands(cell), f"boxlab-{secrets.token_hex(8)}"
    lines = ["set -e"]
    for command, status in declared:
        # The declared one must not end the shell, and its status is looked at below.
        lines += [f"__status=0; {command} || __status=$?" if status else f"{command}\n__status=0"]
        lines += [f'printf "{mark} %d\\n" "$__status"']
    printed, ended = _bash(bash, "\n".join(lines))
    *outputs, rest = re.split(rf"{mark} (\d+)\n", printed)
    steps = [
        Step(command, output, int(status))
        for (command, _), output, status in zip(declared, outputs[::2], outputs[1::2], strict=False)
    ]
    wrong = [step for step, (_, status) in zip(steps, declared, strict=False) if step.status != status]
    if len(steps) < len(declared):
        wrong = [Step(declared[len(steps)][0], rest, ended)]
    if wrong:
        [step, *_] = wrong
        raise BoxlabError(f"exit status {step.status}: {step.command}\n{step.output.rstrip()}")
    return steps


def _bash(bash: str, script: str) -> tuple[str, int]:
    """What a script prints, both streams in their order, and its exit status."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = None
    try:
        with deferred():
            env = os.environ | marks.environment()
            process = subprocess.Popen([bash, "-c", script], env=env, start_new_session=True, **options)
        printed = process.communicate()[0]
    except BaseException:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    return printed.decode(errors="replace"), process.returncode


def in_words(steps: list[Step]) -> str:
    """The steps as in a terminal; of a single one its output alone, as its command stands in the cell."""
    if len(steps) == 1:
        return steps[0].output.rstrip("\n")
    return "\n".join(f"$ {step.command}\n{step.output}".rstrip("\n") for step in steps)


def steps_of(cell: dict[str, Any]) -> list[Step]:
    """The steps that a stored cell has in its output; none where it is no cell of this magic, or did not run."""
    for output in cell.get("outputs", ()):
        if data := output.get("data", {}).get(MIME):
            return [Step(**step) for step in data["steps"]]
    return []


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """What `%load_ext boxlab.transcript` does."""

    def magic(line: str, cell: str) -> None:
        steps = run(cell)
        shell.display_pub.publish({"text/plain": in_words(steps), MIME: {"steps": [asdict(step) for step in steps]}})

    shell.register_magic_function(magic, "cell", MAGIC)  # type: ignore[arg-type]  # what IPython says of it is wrong
