"""A learner's program ends, is bounded in what it prints and starts, and leaves nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toy_lab

from boxlab import cgroups, marks
from boxlab.labs import Mismatch, program


def alive():
    return [process.pid for process in marks.processes({program.TOKEN: os.environ["TEST_TOKEN"]})]


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch):
    """Every process of a program carries a token; none may be there afterwards, nor a control group."""
    monkeypatch.setattr(program.secrets, "token_hex", lambda n: "the-token-of-this-test")
    monkeypatch.setenv("TEST_TOKEN", "the-token-of-this-test")
    yield
    assert alive() == []
    assert [path for path in cgroups.ours() if path.name.endswith("the-token-of-this-test")] == []


def run(script, tmp_path, **limits):
    return program.run(["python", "-c", script], cwd=tmp_path, **{"seconds": toy_lab.HANG_S} | limits)


def test_its_status_output_and_time(tmp_path):
    ran = run("import sys; print('out', input()); print('err', file=sys.stderr); sys.exit(3)", tmp_path, input="in\n")
    assert ran.status == 3 and ran.output == "out in\nerr\n" and ran.seconds > 0


def test_a_message_shows_its_output_without_colours_and_names_files_as_the_learner_does(tmp_path):
    (tmp_path / "mine.py").write_text("print('\\x1b[31mred\\x1b[0m\\tand')\nraise ValueError('mine')\n")
    ran = program.run(["python", str(tmp_path / "mine.py")], cwd=tmp_path)
    assert ran.shown.startswith("red     and\n") and 'File "mine.py", line 2' in ran.shown
    assert str(tmp_path) in ran.output
    assert run("pass", tmp_path).shown == "(nothing)"


def test_what_it_prints_may_be_no_text(tmp_path):
    assert run("import os; os.write(1, bytes(range(256)))", tmp_path).output


def test_it_need_not_read_what_it_is_given(tmp_path):
    assert run("pass", tmp_path, input="x" * 10**6).status == 0
    assert run("print(len(input()))", tmp_path, input="x" * 10**6 + "\n").output == "1000000\n"


def test_signals_reach_it_whatever_we_have_ignored(tmp_path):
    script = "import signal; print([n for n in (1, 2, 3, 15) if signal.getsignal(n) == signal.SIG_IGN])"
    before = [signal.signal(number, signal.SIG_IGN) for number in (1, 2, 3, 15)]
    try:
        assert run(script, tmp_path).output == "[]\n"
    finally:
        for number, handler in zip((1, 2, 3, 15), before, strict=True):
            signal.signal(number, handler)


def test_what_it_prints_is_text_whatever_the_terminal_can_show(tmp_path, monkeypatch):
    monkeypatch.setenv("LANG", "ko_KR.euckr")
    assert run("print('✓ 한글')", tmp_path).output == "✓ 한글\n"


def test_it_does_not_see_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of ours")
    assert "SECRET" not in run("import os; print(list(os.environ))", tmp_path).output


FAULTS = {
    "it did not end": "import time; time.sleep(60)",
    "it did not end ": "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)",
    "it closed its output and did not end": "import os, time; os.close(1); os.close(2); time.sleep(60)",
    "it printed more than 64 KiB": "while True: print('y' * 1000)",
    "it did not end  ": "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
    "it did not end   ": "import subprocess; subprocess.Popen(['setsid', 'sleep', '60'])",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_mismatch_that_names_it(tmp_path, fault):
    with pytest.raises(Mismatch) as caught:
        run(FAULTS[fault], tmp_path, seconds=0.7, output_kib=64)
    assert caught.value.actual.startswith(fault.strip())


def test_a_daemon_that_left_its_parents_session_goes_too(tmp_path):
    script = (
        "import subprocess; subprocess.Popen(['setsid', 'sleep', '60'], stdin=-3, stdout=-3, stderr=-3); print('done')"
    )
    assert run(script, tmp_path).output == "done\n"


FORK_BOMB = """
import os, time
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError:
        print('no more', flush=True)
        time.sleep(60)
"""


def test_a_program_that_forks_without_end_is_held_and_goes(tmp_path):
    with pytest.raises(Mismatch) as caught:
        run(FORK_BOMB, tmp_path, seconds=1, processes=20)
    assert 1 <= caught.value.actual.count("no more") <= 20 if os.geteuid() == 0 else "no more" in caught.value.actual


def test_memory_without_end_is_held(tmp_path):
    ran = run("x = bytearray(10**10)", tmp_path)
    assert ran.status == 1 and "MemoryError" in ran.output


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Mismatch, match="nowhere"):
        program.run(["nowhere"], cwd=tmp_path)


def test_ctrl_c_ends_it(tmp_path):
    """In a process of its own, as the signal is for the main thread."""
    script = f"""
import signal, threading, toy_lab
from pathlib import Path
from boxlab.labs import program
program.secrets.token_hex = lambda n: "the-token-of-this-test"
signal.signal(signal.SIGINT, signal.default_int_handler)
place = Path({str(tmp_path)!r})
def strike():
    toy_lab.wait_until((place / "begun").exists)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
threading.Thread(target=strike).start()
program.run(["sh", "-c", "touch begun; sleep 1000"], cwd=place, seconds=1000)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert "KeyboardInterrupt" in ended.stderr
