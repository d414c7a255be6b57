"""The command as whoever starts it may: terminals, signals at any moment, closed files, full disks, other locales."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toy_lab
from pseudo_terminal import Terminal

from boxlab import paths
from boxlab.labs import workspace

LINE = "boxlab: interrupted; nothing of ours is left running\n"
CTRL_C = "\x03"


@pytest.fixture
def copy(toy, places):
    workspace.start(toy)
    return places / "work" / "01-toy"


def run(command, **options):
    return subprocess.run(command, **{"capture_output": True, "text": True, "encoding": "utf-8"} | options)


# Interrupts


def test_a_ctrl_c_that_comes_before_anything_runs_is_one_line():
    """Held back by whoever starts the command, it strikes as soon as that is possible at all."""

    def strike():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        signal.raise_signal(signal.SIGINT)

    ended = run([Path(sys.executable).with_name("boxlab"), "labs"], preexec_fn=strike)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", LINE)


STRIKE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Strike:
    left = {nth}
    def find_spec(self, *_):
        self.left -= 1
        if not self.left:
            signal.raise_signal({signal})
sys.meta_path.insert(0, Strike())
"""


@pytest.mark.parametrize("nth", [1, 2, 5, 10, 20, 35, 50])
def test_an_interrupt_while_it_is_imported_is_one_line(copy, places, nth):
    """At the import of the n-th module of those that the command needs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = STRIKE.format(nth=nth, signal=int(number))
        ended = run(toy_lab.command(places, "labs", before=before))
        assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", LINE)


SWALLOWED = """
import signal, time
from boxlab.labs import lab
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def every():
    Finalized()
    while True:
        time.sleep(0.01)
lab.every = every
"""


def test_an_interrupt_that_python_drops_strikes_again(copy, places):
    """In a finalizer, an exception is printed and forgotten."""
    ended = run(toy_lab.command(places, "labs", before=SWALLOWED))
    assert (ended.returncode, ended.stderr) == (130, LINE)


def test_what_is_started_with_ctrl_c_ignored_goes_on_and_hears_the_rest(places):
    """As `nohup` and a shell's `&` start it."""
    toy_lab.make(places / "labs", toy_lab.HANGS)
    run(toy_lab.command(places, "start", "01"), check=True)
    command = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *toy_lab.command(places, "check", "01")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        toy_lab.wait_until((places / "cache" / "begun").exists)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[1] == LINE and process.returncode == 130
    assert os.listdir(places / "cache" / "scratch") == []


# Watching


def test_watch_sees_each_save_and_survives_what_others_do(copy, places):
    answer = copy / "answer.txt"
    with Terminal(toy_lab.command(places, "check", "01", "--watch")) as terminal:
        terminal.expect("2 of 3 points")
        terminal.expect("watching; Ctrl-C ends")

        state = answer.stat()
        answer.write_text(answer.read_text().replace("good day", "gute tag"))
        os.utime(answer, ns=(state.st_atime_ns, state.st_mtime_ns))
        terminal.expect("gute tag")
        terminal.expect("watching")

        copy.rename(places / "elsewhere")
        terminal.expect("waiting: 01-toy was not started")
        (places / "elsewhere").rename(copy)
        terminal.expect("gute tag")
        terminal.expect("watching")

        with workspace.lock("01-toy"):
            answer.write_text(toy_lab.SOLUTION)
            terminal.expect("waiting: another command works on 01-toy")
        terminal.expect("passed: 3 of 3 points")
        terminal.expect("watching")

        run(toy_lab.command(places, "reset", "01", "--yes"), check=True)
        terminal.expect("2 of 3 points")
        terminal.expect("watching")
        terminal.type(CTRL_C)
        assert terminal.status() == 1
    assert "Traceback" not in terminal.printed


def test_what_is_saved_while_a_check_runs_is_checked_as_well(places):
    checks = f"""
from pathlib import Path
from boxlab.labs import check, same

@check(points=3)
def slow(work):
    'It says new.'
    pipe = Path({str(places / "pipe")!r})
    if pipe.exists():
        pipe.read_text()  # waits for the test
        pipe.unlink()
    same("new", work.text("answer.txt").strip(), why="w", next="n")
"""
    workspace.start(toy_lab.make(places / "labs", checks))
    os.mkfifo(places / "pipe")
    with Terminal(toy_lab.command(places, "check", "01", "--watch")) as terminal:
        with (places / "pipe").open("w"):
            (paths.WORK / "01-toy" / "answer.txt").write_text("new\n")
        terminal.expect("0 of 3 points")
        terminal.expect("passed: 3 of 3 points")
        terminal.expect("watching")
        terminal.type(CTRL_C)
        assert terminal.status() == 0


def test_ctrl_c_in_a_terminal_ends_a_check_in_one_line_and_leaves_nothing(places):
    toy_lab.make(places / "labs", toy_lab.HANGS)
    run(toy_lab.command(places, "start", "01"), check=True)
    for more in ([], ["--watch"]):
        with Terminal(toy_lab.command(places, "check", "01", *more)) as terminal:
            terminal.expect("It hangs.")
            toy_lab.wait_until((places / "cache" / "begun").exists)
            terminal.type(CTRL_C)
            assert terminal.status() == 130
        assert LINE.strip() in terminal.printed and "Traceback" not in terminal.printed
        assert os.listdir(places / "cache" / "scratch") == []
        (places / "cache" / "begun").unlink()


def test_ctrl_c_at_a_question_changes_nothing(copy, places):
    with Terminal(toy_lab.command(places, "reset", "01")) as terminal:
        terminal.expect("[y/N]")
        terminal.type(CTRL_C)
        while not terminal.ends_within(1):  # Python may miss one that comes before it waits for an answer
            terminal.type(CTRL_C)
        assert terminal.status() == 130
    assert LINE.strip() in terminal.printed and sorted(os.listdir(places / "work")) == [".progress", "01-toy"]


# What a terminal can show

LOCALES = {
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "euc_kr": {"PYTHONIOENCODING": "euc_kr"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}
CHECKS = toy_lab.CHECKS.replace("It says hello.", "It says hello: ✓ – → … µ 한글 é.").replace(
    '    same("hello"', '    assert open(__file__).read().count("µ") == 2\n    same("hello"'
)


@pytest.mark.parametrize("encoding", LOCALES)
def test_what_a_terminal_cannot_show_is_said_in_other_characters(places, encoding):
    workspace.start(toy_lab.make(places / "labs", CHECKS))
    environment = os.environ | LOCALES[encoding]
    ended = run(toy_lab.command(places, "check", "01"), env=environment, encoding=encoding)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.count("\n") > 5
    assert ("✓ There is" if encoding == "utf-8" else "ok There is") in ended.stdout
    shown = {
        "ascii": r"ok - -> ... u \ud55c\uae00 e.",
        "latin-1": r"ok - -> ... µ \ud55c\uae00 é.",
        "utf-8": "✓ – → … µ 한글 é.",
    }
    assert shown.get(encoding, "ok ") in ended.stdout
    listed = run(toy_lab.command(places, "labs", "--json"), env=environment, encoding="ascii")
    assert listed.returncode == 0 and listed.stderr == ""


# What is closed, full or missing


def test_a_reader_that_has_gone_is_no_error(copy, places):
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(toy_lab.command(places, "labs"), stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_an_output_that_is_full_is_named(copy, places):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(toy_lab.command(places, "labs"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 3
    assert ended.stderr.startswith("boxlab: the standard output: No space left") and "fix: make room" in ended.stderr


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_closed_files_change_nothing_but_what_is_seen(copy, places, closed):
    """What is opened next must not be taken for an output."""
    (copy / "answer.txt").write_text(toy_lab.SOLUTION)
    redirections = " ".join({"0": "<&-", "1": ">&-", "2": "2>&-"}[number] for number in closed)
    ended = run(["sh", "-c", f'exec "$@" {redirections}', "sh", *toy_lab.command(places, "check", "01")])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ("passed" in ended.stdout) == ("1" not in closed)
    assert (places / "cache" / "locks" / "01-toy").read_text().isdigit()


def test_nothing_inherited_is_needed(copy, places):
    """No variables but the one that keeps it from this machine's engine, no folder to be in, children's ends ignored, an umask
    that takes all."""
    script = 'mkdir gone; cd gone; rmdir ../gone; umask 077; trap "" CHLD; exec env -i DOCKER_HOST="$DOCKER_HOST" "$@"'
    ended = run(["sh", "-c", script, "sh", *toy_lab.command(places, "check", "01")], cwd=places)
    assert ended.returncode == 1 and "2 of 3 points" in ended.stdout and "Traceback" not in ended.stderr


def on_a_small_disk(places, kib, command):
    """Run it with the learner's folder on a file system of its own, which it is then to leave as it was."""
    script = (
        f'mount -t tmpfs -o size={kib}k tmpfs work && cp -r kept/. work && "$@"; status=$?; ls -A work; exit $status'
    )
    mine = [] if os.geteuid() == 0 else ["--map-root-user"]
    return run(["unshare", *mine, "--mount", "sh", "-c", script, "sh", *command], cwd=places)


@pytest.mark.parametrize("command", [("reset", "01", "--yes"), ("check", "01"), ("hint", "01")])
def test_on_a_disk_that_is_full_each_command_says_so_and_changes_nothing(copy, places, command):
    (places / "labs" / "01-toy" / "starter" / "large.bin").write_bytes(bytes(1 << 20))
    (copy / "fills.bin").write_bytes(bytes(480 << 10))
    (places / "work").rename(places / "kept")
    (places / "work").mkdir()
    ended = on_a_small_disk(places, 500, toy_lab.command(places, *command))
    assert "Traceback" not in ended.stderr
    assert ended.stdout.split()[-2:] == [".progress", "01-toy"]
    said = ended.stdout + ended.stderr
    if command[0] == "reset" or ended.returncode == 3:
        assert ended.returncode == 3 and "No space left on device" in said and "fix: make room" in said
