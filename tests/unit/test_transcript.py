"""Commands of a cell run in one shell, each with its own output, and what fails says so."""

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import nbformat
import psutil
import pytest

from boxlab import client, paths, transcript, waiting
from boxlab.errors import BoxlabError
from boxlab.transcript import Step


def test_each_command_has_its_own_output_with_both_streams_in_order():
    cell = """
    # a comment is no command
    echo one; echo two >&2; echo three
    cd /
    pwd
    printf 'no end of line'
    """
    assert transcript.run(cell) == [
        Step("echo one; echo two >&2; echo three", "one\ntwo\nthree\n"),
        Step("cd /", ""),
        Step("pwd", "/\n"),
        Step("printf 'no end of line'", "no end of line"),
    ]


def test_a_path_below_the_notebooks_folder_is_shown_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert transcript.run(f"echo no {tmp_path}/file in {tmp_path}") == [
        Step(f"echo no {tmp_path}/file in {tmp_path}", f"no ./file in {tmp_path}\n")
    ]


def test_a_command_that_is_declared_to_fail_is_shown_with_its_status():
    assert [step.status for step in transcript.run("(exit 3)   # fails: status 2 or 3")] == [3]
    assert transcript.run("(echo gone; exit 2)   # fails: status 2\necho on") == [
        Step("(echo gone; exit 2)", "gone\n", 2),
        Step("echo on", "on\n"),
    ]


def test_keys_are_pressed_one_after_the_other():
    program = (
        "import os, tty; tty.setraw(0); print('# ', end='', flush=True); print(len(os.read(0, 9)), len(os.read(0, 9)))"
    )
    [step] = transcript.record(f'$ {sys.executable} -c "{program}"\n^P^Q')
    assert step.output.split("# ")[-1].split() == ["1", "1"]


@pytest.mark.parametrize("podman", [True, False])
def test_a_command_may_be_declared_to_fail_with_podman_alone(monkeypatch, podman):
    monkeypatch.setattr(transcript.engine, "is_podman", lambda: podman)
    expected, other = ("(exit 3)", "true") if podman else ("true", "(exit 3)")
    assert transcript.run(f"{expected}   # fails with Podman: status 3")[0].command == expected
    with pytest.raises(BoxlabError, match="exit status"):
        transcript.run(f"{other}   # fails with Podman: status 3")


def test_what_not_every_engine_has_may_fail_and_takes_the_commands_below_it_along():
    assert transcript.run("echo on\n(echo no; exit 4)   # may fail\necho never") == [
        Step("echo on", "on\n"),
        Step("(echo no; exit 4)", "no\n", 4),
    ]
    assert transcript.run("echo yes   # may fail\necho on") == [Step("echo yes", "yes\n"), Step("echo on", "on\n")]
    with pytest.raises(BoxlabError, match="exit status 3: exit 3"):
        transcript.run("true   # may fail\nexit 3")


@pytest.mark.parametrize(
    ("cell", "status", "named"),
    [
        ("echo fine\necho why >&2; false\necho never", 1, "false"),
        ("true   # fails: status 1", 0, "true"),
        ("(exit 3)   # fails: status 2", 3, "(exit 3)"),
        ("(exit 3)   # fails: status 1 or 2", 3, "(exit 3)"),
        ("exit 5\necho never", 5, "exit 5"),
    ],
)
def test_a_surprise_is_an_error_that_names_the_command(cell, status, named):
    with pytest.raises(BoxlabError) as error:
        transcript.run(cell)
    assert str(error.value).startswith(f"exit status {status}: ") and named in str(error.value)
    assert "never" not in str(error.value).splitlines()[1:]


def test_what_it_printed_stands_in_the_error():
    with pytest.raises(BoxlabError, match="the reason"):
        transcript.run("echo the reason >&2; false")


def test_a_command_that_asks_finds_nobody():
    assert transcript.run("cat") == [Step("cat", "")]


def test_an_interrupt_ends_what_was_started(tmp_path):
    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        transcript.run(f"sleep 600 & echo $! >{tmp_path}/pid; wait")
    thread.join()
    pid = int((tmp_path / "pid").read_text())
    waiting.until(lambda: not runs(pid))  # the kernel takes a moment


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_in_a_notebook_it_looks_like_a_terminal():
    one, two = Step("echo one", "one\n"), Step("true", "")
    assert transcript.in_words([one]) == "one"
    assert transcript.in_words([one, two]) == "$ echo one\none\n$ true"


def test_a_cell_that_did_not_run_has_no_steps():
    assert transcript.steps_of({"cell_type": "code", "outputs": []}) == []
    stored = {"steps": [{"command": "true", "output": "", "status": 0}]}
    assert transcript.steps_of({"outputs": [{"data": {transcript.MIME: stored}}]}) == [Step("true", "")]


SHY = """
import signal
signal.signal(signal.SIGWINCH, lambda *_: print("> ", end="", flush=True))
print("typed", input())
"""


def test_a_prompt_that_was_missed_is_shown_again(tmp_path, monkeypatch):
    monkeypatch.setattr(transcript, "AGAIN_S", 0.2)
    (tmp_path / "shy.py").write_text(SHY)
    [step] = transcript.record(f"$ {sys.executable} {tmp_path / 'shy.py'}\nword")
    assert step.output.splitlines()[-1] == "typed word"


def test_a_command_that_fails_may_have_to_say_why():
    asked = "cat nothing   # fails: status 1: Is a directory|No such file"
    assert [step.command for step in transcript.run(asked)] == ["cat nothing"]
    with pytest.raises(BoxlabError, match="it did not say Permission denied: cat nothing\ncat: nothing: No such file"):
        transcript.run("cat nothing   # fails: status 1: Permission denied")


SESSION = """%%terminal
$ bash --norc --noprofile
echo $((6 * 7))
exit

$ python3 -q
^D
"""


def test_what_needs_a_terminal_is_typed_into_one():
    shell, python = transcript.record(SESSION)
    assert shell.command == "bash --norc --noprofile" and python.command == "python3 -q"
    assert "echo $((6 * 7))\n42\n" in shell.output and ">>> " in python.output
    assert transcript.CONTROLS.sub("", "one$ \r\x1b[Kone$ pwd\r\n/opt\r\n") == "one$ pwd\n/opt\n"
    assert "\x1b" not in shell.output and "\r" not in shell.output
    assert [command for command, _status in transcript.commands(SESSION)] == [shell.command, python.command]


@pytest.mark.parametrize(
    ("session", "says"),
    [
        ("$ cat\nno prompt", "does not end, or prompt: cat"),
        ("$ echo soon gone\ntoo late", "has ended early: echo soon gone\nsoon gone"),
        ("$ echo why; false", "exit status 1: echo why; false\nwhy"),
    ],
)
def test_a_session_that_goes_wrong_says_how_and_leaves_nothing(monkeypatch, session, says):
    monkeypatch.setattr(transcript, "PROMPT_S", 1)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with pytest.raises(BoxlabError) as caught:
        transcript.record(f"%%terminal\n{session}")
    assert str(caught.value).startswith(says)
    waiting.until(lambda: {process.pid for process in psutil.Process().children(recursive=True)} <= before)


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_may_fail_only_where_there_is_something_to_fail_at(status):
    assert transcript.run(f"(exit {status})   # fails: status 0 or 3")[0].status == status


@pytest.fixture
def load(monkeypatch):
    """Load the extension where the only engine has its socket at a path, and no variable names one."""
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")})

    def loaded(socket):
        monkeypatch.setattr(client, "_socket", lambda: socket)
        monkeypatch.setattr(client, "config", dict)
        shell = SimpleNamespace(input_transformers_cleanup=[], register_magic_function=lambda *_: None)
        transcript.load_ipython_extension(shell)

    return loaded


SHOW = 'echo "$COMPOSE_FILE$DOCKER_DEFAULT_PLATFORM, $COMPOSE_PROGRESS, $DOCKER_HOST"'


def test_what_the_reader_says_of_a_project_or_a_platform_is_not_said_of_a_notebooks(load):
    os.environ |= {
        "COMPOSE_FILE": "theirs.yaml",
        "COMPOSE_PROGRESS": "json",
        "DOCKER_DEFAULT_PLATFORM": "linux/another",
    }
    load("/var/run/docker.sock")
    os.environ["COMPOSE_PROGRESS"] = "quiet"  # as a notebook says itself
    [ran], [typed] = transcript.run(SHOW), transcript.record(f"$ {SHOW}")
    assert ran.output == typed.output == ", quiet, \n"


def test_the_docker_command_of_a_cell_finds_the_engine_that_we_found(load):
    load("/run/user/1000/podman/podman.sock")
    assert transcript.run(SHOW)[0].output == ", , unix:///run/user/1000/podman/podman.sock\n"


def test_an_engine_that_something_names_is_left_to_it(load):
    os.environ["DOCKER_HOST"] = "unix:///theirs"
    load("/somewhere")
    assert os.environ["DOCKER_HOST"] == "unix:///theirs"
    del os.environ["DOCKER_HOST"]
    os.environ["DOCKER_CONTEXT"] = "no-such-context"
    load("/somewhere")
    assert "DOCKER_HOST" not in os.environ


@pytest.mark.parametrize("path", sorted(paths.ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_loads_the_extension_before_all_else(path):
    first = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    assert first.source.startswith("%load_ext boxlab.transcript\n")
