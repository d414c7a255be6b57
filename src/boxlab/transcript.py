"""Commands in a notebook, each with what it printed: the cell magics `%%shell` and `%%terminal`, and what the book's pages take
from their cells.

`%%bash` goes on after an error, and loses which command printed what.
"""

import contextlib
import io
import itertools
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxlab import client, engine, marks, names
from boxlab.errors import BoxlabError, EngineError
from boxlab.interrupts import deferred, signal_group

if TYPE_CHECKING:
    import pexpect  # type: ignore[import-untyped]
    from IPython.core.interactiveshell import InteractiveShell

MAGIC = "shell"
TERMINAL = "terminal"
"""For commands that need a terminal: a line that begins with "$ " is one, and the lines below it are typed into it."""

MIME = "application/vnd.containers-measured.transcript+json"
"""Under which a cell's output has its steps, beside the text that Jupyter shows."""

FAILS = re.compile(
    r"(?P<command>.*?)\s+# fails(?P<podman> with Podman)?: status (?P<status>\d+(?: or \d+)*)(?:: (?P<words>.+))?$"
)
"""How a command says that it is meant to fail, everywhere or with Podman alone, and with which words; engines may differ in the
status, and in the words, which have a bar between them then."""

MAY_FAIL = re.compile(r"(?P<command>.*?)\s+# may fail$")
"""How a command says that not every engine has what it needs: the commands below it are then left out."""

PROMPT = r"[#$>] (?:\x1b\[[\d;?]*[A-Za-z])*$"
"""What a program has printed last that waits for a line: root's prompt, a user's, or Python's."""

PROMPT_S = 60
"""How long a prompt, or the end, may take to come."""

AGAIN_S = 5
"""After how long a prompt is asked for again."""

KEYS = {"^P^Q": "\x10\x11", "^C": "\x03", "^D": "\x04"}
"""Lines that stand for keys, which are pressed one after the other: Podman does not know them when they come together."""

CONTROLS = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r+(?=\n)|\x07|[^\n]*\r(?!\n)")
"""What is not seen: what moves a terminal's cursor or is heard, and what was on a line before the cursor went back to its beginning."""

SIZE = (24, 200)
"""Lines and columns of the terminal: no line of a page is as long."""

USUAL = "unix:///var/run/docker.sock"
"""Where the docker command looks for an engine that nothing names."""


@dataclass(frozen=True)
class Step:
    """One command, and what it printed on either stream.

    Attributes:
        status: its exit status; not 0 only where it is declared, or where it may fail.
    """

    command: str
    output: str
    status: int = 0


def commands(cell: str, podman: bool = False) -> list[tuple[str, tuple[int, ...]]]:
    """The commands of a cell, a line each, with the status that each may end with; without comments and the magic's own line.

    One that may fail declares none.

    Args:
        podman: whether it is Podman that answers.
    """
    if cell.startswith(f"%%{TERMINAL}"):
        return [(command, (0,)) for command, _typed in sessions(cell)]
    found: list[tuple[str, tuple[int, ...]]] = []
    for line in map(str.strip, cell.splitlines()):
        if line and not line.startswith(("#", f"%%{MAGIC}")):
            if declared := FAILS.fullmatch(line):
                fails = podman or not declared["podman"]
                found.append(
                    (declared["command"], tuple(map(int, declared["status"].split(" or "))) if fails else (0,))
                )
            elif declared := MAY_FAIL.fullmatch(line):
                found.append((declared["command"], ()))
            else:
                found.append((line, (0,)))
    return found


def words(cell: str) -> dict[str, list[str]]:
    """What the commands of a cell that are declared to fail say then: one of these each."""
    lines = (FAILS.fullmatch(line.strip()) for line in cell.splitlines())
    return {line["command"]: line["words"].split("|") for line in lines if line and line["words"]}


def sessions(cell: str) -> list[tuple[str, list[str]]]:
    """The commands of a cell that need a terminal, each with the lines that are typed into it."""
    found: list[tuple[str, list[str]]] = []
    for line in cell.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ ").strip(), []))
        elif found and line.strip():
            found[-1][1].append(line.strip())
    return found


def record(cell: str) -> list[Step]:
    """Run each command of a cell on a terminal of its own, and type a line whenever it prompts for one.

    Raises:
        BoxlabError: a prompt does not come, a command does not end, or it fails.
        KeyboardInterrupt: passed on, once the command is killed.
    """
    import pexpect

    steps = []
    for command, typed in sessions(cell):
        printed, trouble = io.StringIO(), ""
        child = None
        try:
            with deferred():
                env = os.environ | marks.environment()
                child = pexpect.spawn(
                    "bash", ["-c", command], env=env, encoding="utf-8", timeout=PROMPT_S, dimensions=SIZE
                )
            child.logfile_read = printed
            for line in typed:
                _wait_for_prompt(child)
                for typing in KEYS.get(line, [f"{line}\n"]):
                    child.send(typing)
            child.expect(pexpect.EOF)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            trouble = "does not end, or prompt" if isinstance(error, pexpect.TIMEOUT) else "has ended early"
        finally:
            if child:
                child.close(force=True)
        assert child  # else an exception has been passed on
        shown = CONTROLS.sub("", printed.getvalue())
        trouble = trouble or (f"exit status {child.exitstatus}" if child.exitstatus else "")
        if trouble:
            raise BoxlabError(f"{trouble}: {command}\n{shown.rstrip()}")
        steps.append(Step(command, shown))
    return steps


def _wait_for_prompt(child: "pexpect.spawn") -> None:
    """Wait for it, and have it shown again by changing the terminal's size: `docker attach` does so too, but just once, and a
    program that is busy then shows nothing."""
    import pexpect

    until = time.monotonic() + PROMPT_S
    for wider in itertools.cycle((1, 0)):
        try:
            child.expect(PROMPT, timeout=AGAIN_S)
            return
        except pexpect.TIMEOUT:
            if time.monotonic() > until:
                raise
            child.setwinsize(SIZE[0], SIZE[1] + wider)


def run(cell: str) -> list[Step]:
    """Run the commands of a cell in one bash that ends at the first that fails undeclared.

    Raises:
        BoxlabError: a command fails, or one that is declared to fail does not, or says something else; with all that was printed.
        EngineError: it matters which engine answers, and none does.
        KeyboardInterrupt: passed on, once all that the commands had started is killed.
    """
    bash = shutil.which("bash")
    if not bash:
        raise BoxlabError("there is no bash here", "install it; on Windows, run the notebook in WSL2")
    with engine.plain_errors():
        podman = "# fails with Podman:" in cell and engine.is_podman()
    declared, mark = commands(cell, podman), f"boxlab-{secrets.token_hex(8)}"
    lines = ["set -e"]
    for command, statuses in declared:
        # The declared one must not end the shell, and its status is looked at below.
        lines += [f"{command}\n__status=0" if statuses == (0,) else f"__status=0; {command} || __status=$?"]
        lines += [f'printf "{mark} %d\\n" "$__status"']
        lines += ['[ "$__status" = 0 ] || exit 0'] if not statuses else []
    printed, ended = _bash(bash, "\n".join(lines))
    # The notebook's own folder is another on each machine.
    *outputs, rest = re.split(rf"{mark} (\d+)\n", printed.replace(f"{Path.cwd()}/", "./"))
    steps = [
        Step(command, output, int(status))
        for (command, _), output, status in zip(declared, outputs[::2], outputs[1::2], strict=False)
    ]
    pairs = [*zip(steps, declared, strict=False)]
    wrong = [step for step, (_, statuses) in pairs if statuses and step.status not in statuses]
    left_out = bool(steps) and steps[-1].status != 0 and not pairs[-1][1][1]
    if len(steps) < len(declared) and not left_out:
        wrong = [Step(declared[len(steps)][0], rest, ended)]
    if wrong:
        [step, *_] = wrong
        raise BoxlabError(f"exit status {step.status}: {step.command}\n{step.output.rstrip()}")
    for step in steps:
        if step.status and (expected := words(cell).get(step.command)) and not any(w in step.output for w in expected):
            raise BoxlabError(f"it did not say {' or '.join(expected)}: {step.command}\n{step.output.rstrip()}")
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
            signal_group(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    return printed.decode(errors="replace"), process.returncode


def in_words(steps: list[Step]) -> str:
    """The steps as in a terminal; of a single one its output alone, as its command stands in the cell."""
    if len(steps) == 1:
        return steps[0].output.rstrip("\n")
    return "\n".join(f"$ {step.command}\n{step.output}".rstrip("\n") for step in steps)


def steps_of(cell: dict[str, Any]) -> list[Step]:
    """The steps that a stored cell has in its output; none where it is no cell of these magics, or did not run."""
    for output in cell.get("outputs", ()):
        if data := output.get("data", {}).get(MIME):
            return [Step(**step) for step in data["steps"]]
    return []


def _prepare_environment() -> None:
    """Have the docker command act on the notebook's own projects, whatever the reader's shell says of theirs, and on our engine."""
    for name in [name for name in os.environ if name.startswith(engine.THEIRS)]:
        del os.environ[name]
    with contextlib.suppress(EngineError):  # whatever needs the engine says so
        found = client.endpoint()
        if not found.said_by and found.address != USUAL:
            os.environ["DOCKER_HOST"] = found.address


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """What `%load_ext boxlab.transcript` does, in a notebook's first cell."""
    import pandas as pd

    _prepare_environment()
    pd.set_option("display.max_colwidth", None)  # no reason and no command in a table ends in dots

    def show(steps: list[Step]) -> None:
        shell.display_pub.publish({"text/plain": in_words(steps), MIME: {"steps": [asdict(step) for step in steps]}})

    def with_ports(lines: list[str]) -> list[str]:
        return names.with_ports("".join(lines)).splitlines(keepends=True)

    shell.input_transformers_cleanup.append(with_ports)
    for name, ran in ((MAGIC, run), (TERMINAL, record)):
        shell.register_magic_function(lambda line, cell, ran=ran: show(ran(cell)), "cell", name)  # type: ignore[arg-type]  # what IPython says of it is wrong
