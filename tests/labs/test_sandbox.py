"""A learner's program ends, is bounded, leaves nothing, and shares nothing with whoever judges it: in either sandbox."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import toy_lab

from boxlab import cgroups, paths, sweep, waiting
from boxlab.errors import BoxlabError
from boxlab.labs import Mismatch, sandbox, work
from boxlab.runtimes import spawn


@pytest.fixture(scope="module")
def containers():
    return sandbox.choose(needs_engine=True)


@pytest.fixture(params=["container", "process"])
def box(request, containers):
    """Each way to run a program; nothing of it may be there afterwards."""
    before = {process.pid for process in psutil.process_iter()}
    scratch = set(paths.scratch().iterdir())
    yield containers if request.param == "container" else sandbox.Processes("no engine")
    ours = psutil.Process().children(recursive=True)
    assert [process for process in ours if process.pid not in before and process.is_running()] == []
    assert [group for group in cgroups.ours() if sandbox.marks.RUN in group.name] == []
    assert set(paths.scratch().iterdir()) == scratch
    waiting.until(lambda: "container" not in {item.kind for item in sweep.of_run(sandbox.marks.RUN)})


@pytest.fixture
def patient(monkeypatch):
    """What is known to be right may take its time: a busy machine spoils no test."""
    monkeypatch.setattr(sandbox, "SLACK", 1 / toy_lab.HANG_S)


def run(box, script, files=None, **options):
    return sandbox.run(box, ["python", "-c", script], files or {}, **{"seconds": toy_lab.HANG_S} | options)


def test_its_status_output_and_time(box):
    ran = run(box, "import sys; print('out', input()); print('err', file=sys.stderr); sys.exit(3)", input="in\n")
    assert ran.status == 3 and ran.output == "out in\nerr\n" and ran.seconds > 0
    assert run(box, "import os; os.kill(os.getpid(), 9)").status == -9


def test_a_message_shows_its_output_without_colours_and_names_files_as_the_learner_does(box):
    mine = b"print('\\x1b[31mred\\x1b[0m\\tand')\nraise ValueError('mine')\n"
    script = "import os, sys; os.execvp(sys.executable, ['python', os.path.abspath('mine.py')])"
    ran = run(box, script, {"mine.py": mine})
    assert ran.shown.startswith("red     and\n") and 'File "mine.py", line 2' in ran.shown
    assert ran.folder in ran.output
    assert run(box, "pass").shown == "(nothing)"


def test_its_files_are_a_copy_that_no_other_program_sees(box):
    files = {"a/b.bin": bytes(range(256)), "c.txt": b"\r\n"}
    script = "print(open('a/b.bin', 'rb').read() == bytes(range(256)), open('c.txt', 'rb').read()); open('new', 'w')"
    assert run(box, script, files).output == "True b'\\r\\n'\n"
    assert run(box, "import os; print(os.listdir())").output == "[]\n"


def test_what_it_prints_may_be_no_text(box):
    assert run(box, "import os; os.write(1, bytes(range(256)))").output


def test_it_need_not_read_what_it_is_given(box):
    assert run(box, "pass", input="x" * 10**6).status == 0
    assert run(box, "print(len(input()))", input="x" * 10**6 + "\n").output == "1000000\n"


def test_what_it_asks_is_answered_and_is_no_output(box):
    ask = "print('\\x1e' + json.dumps(question), flush=True); print(input())"
    script = f"import json\nprint('\\x1eno JSON')\nfor question in (1, 'two'): {ask}"
    ran = run(box, script, serve=lambda question: [question] * 2)
    assert ran.output == '\x1eno JSON\n[1, 1]\n["two", "two"]\n'


def test_who_ends_the_line_before_it_asks_leaves_no_blank_one(box):
    ask = "os.write(1, b'\\n\\x1e1\\n'); input()"
    ran = run(
        box, f"import os; {ask}; print('.', end=''); {ask}; print('word'); {ask}; print(); print('end')", serve=bool
    )
    assert ran.output == ".\nword\n\nend\n"


def test_a_mismatch_of_whoever_serves_it_ends_it(box):
    def refuse(question):
        raise Mismatch("e", "a", "w", "n")

    with pytest.raises(Mismatch):
        run(box, "print('\\x1e1', flush=True); input(); input()", serve=refuse)


def test_who_asks_and_never_reads_is_late(box, patient):
    with pytest.raises(Mismatch) as caught:
        run(box, "while True: print('\\x1e1', flush=True)", serve=str, seconds=4)
    assert caught.value.actual.startswith(sandbox.LATE)


def test_signals_reach_it_whatever_we_have_ignored(box):
    script = "import signal; print([n for n in (1, 2, 3, 15) if signal.getsignal(n) == signal.SIG_IGN])"
    before = [signal.signal(number, signal.SIG_IGN) for number in (1, 2, 3, 15)]
    try:
        assert run(box, script).output == "[]\n"
    finally:
        for number, handler in zip((1, 2, 3, 15), before, strict=True):
            signal.signal(number, handler)


def test_what_it_prints_is_text_whatever_the_terminal_can_show(box, monkeypatch):
    monkeypatch.setenv("LANG", "ko_KR.euckr")
    assert run(box, "print('✓ 한글')").output == "✓ 한글\n"


def test_it_does_not_see_our_environment(box, monkeypatch):
    for name in ("SECRET", "HTTP_PROXY", "DOCKER_HOST"):
        monkeypatch.setenv(name, "unix:///of-ours")
    seen = run(box, "import os; print(list(os.environ))").output
    assert not any(name in seen for name in ("SECRET", "HTTP_PROXY", "DOCKER_HOST"))


FAULTS = {
    "it did not end": "import time; time.sleep(600)",
    "it did not end ": "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)",
    "it did not end  ": "import os, time; os.close(1); os.close(2); time.sleep(600)",
    "it printed more than 64 KiB": "while True: print('y' * 1000)",
    "it printed more than 64 KiB ": "import os\nwhile True: os.write(1, b'y' * 1000)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_mismatch_that_names_it(box, fault, patient):
    with pytest.raises(Mismatch) as caught:
        run(box, FAULTS[fault], seconds=4, output_kib=64)
    assert caught.value.actual.startswith(fault.strip())


def test_where_nothing_ends_in_time_it_is_the_machine(box):
    with pytest.raises(BoxlabError, match="does nothing does not end"):
        run(box, "import time; time.sleep(600)", seconds=0)


WAITS = "import time; time.sleep(float(open('wait').read()))"


def test_where_what_is_right_does_not_end_in_time_it_is_the_machine(box):
    with pytest.raises(BoxlabError, match="own solution does not end within 0.5 s here either"):
        run(box, WAITS, {"wait": b"600"}, known={"wait": b"600"}, seconds=1)


def test_where_what_is_right_ends_in_time_it_is_no_machine(box, patient):
    with pytest.raises(Mismatch):
        run(box, WAITS, {"wait": b"600"}, known={"wait": b"0"}, seconds=1)


def test_each_labs_solution_is_what_a_late_program_is_held_against(toy, containers, tmp_path):
    (toy.solution / "wait").write_text("600")
    (tmp_path / "wait").write_text("600")
    given = work.Work(toy.id, toy.starter, tmp_path, lambda folder: None)
    with pytest.raises(BoxlabError, match="own solution"):
        given.run(["python", "-c", WAITS], seconds=1)


def test_who_serves_a_late_program_is_not_who_serves_the_solution(toy, containers, tmp_path, patient):
    asked = []
    (toy.solution / "wait").write_text("0")
    (tmp_path / "wait").write_text("600")
    given = work.Work(toy.id, toy.starter, tmp_path, lambda folder: None)
    script = f"print('\\n\\x1e1', flush=True); input(); {WAITS}"
    with pytest.raises(Mismatch):
        given.run(["python", "-c", script], serve=str, serve_known=asked.append, seconds=4)
    assert asked == [1]


def test_a_container_that_is_silent_where_none_answers_is_no_mistake(containers, monkeypatch):
    given = work.Work("toy", paths.ROOT, paths.ROOT / "images" / "registry", lambda folder: None)
    with given.container("containers-measured/base", ["sleep", "600"]) as box:
        monkeypatch.setattr(work, "ANSWERS", "import time; time.sleep(600)")
        with pytest.raises(BoxlabError, match="only answers is silent for 0.5 s"):
            box.expect(seconds=1)


DAEMONS = {
    "in its session": "subprocess.Popen(['sleep', '600'])",
    "in another": "subprocess.Popen(['setsid', 'sleep', '600'], stdin=-3, stdout=-3, stderr=-3)",
    "without environment": "subprocess.Popen(['env', '-i', 'setsid', 'sleep', '600'], stdin=-3, stdout=-3, stderr=-3)",
    "orphaned twice": "subprocess.run(['env', '-i', 'setsid', 'sh', '-c', '(sleep 600 &) >/dev/null 2>&1 </dev/null'])",
}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_what_it_leaves_in_the_background_goes_with_it(box, daemon):
    assert run(box, f"import subprocess; {DAEMONS[daemon]}; print('done')").output == "done\n"


FORK_BOMB = """
import os, time
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError:
        print('no more', flush=True)
        time.sleep(600)
"""


def test_a_program_that_forks_without_end_is_held_and_goes(box):
    with pytest.raises(Mismatch) as caught:
        run(box, FORK_BOMB, seconds=5, processes=20)
    assert "no more" in caught.value.actual


def test_memory_without_end_is_held(box):
    ran = run(box, "x = bytearray(10**10)")
    assert ran.status == 1 and "MemoryError" in ran.output


def test_importing_numpy_starts_no_threads_whose_address_space_counts(box):
    assert run(box, "import os, numpy; print(len(os.listdir('/proc/self/task')))").output == "1\n"


def test_a_program_that_is_not_there_is_named(box):
    with pytest.raises(Mismatch, match="nowhere: No such file"):
        sandbox.run(box, ["nowhere"], {})


LISTENS = """
import http.server, threading
server = http.server.HTTPServer(("localhost", 5000), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
input()
"""
REACHES = """
import pathlib, urllib.request
print(urllib.request.urlopen("http://localhost:5000/").status, sorted(p.name for p in pathlib.Path("/sys/class/net").iterdir()))
"""


def test_a_program_beside_a_container_reaches_that_and_nothing_else(containers):
    lab = work.Work("toy", paths.ROOT, paths.ROOT / "images" / "registry", lambda folder: None)
    with lab.container("containers-measured/base", ["python3", "-c", LISTENS]) as beside:
        beside.expect("(ready)", toy_lab.HANG_S)
        ran = lab.run(["python", "-c", REACHES], beside=beside, seconds=toy_lab.HANG_S)
    interfaces = ran.output.removeprefix("200 ")
    assert ran.output.startswith("200 ") and "lo" in interfaces and "eth" not in interfaces, ran.output


def test_a_program_that_kills_who_started_it_is_no_pass(box):
    """In a container the first process cannot be killed from inside; elsewhere the end of its keeper is said to be that."""
    script = "import os; os.kill(os.getppid(), 9); print('alive')"
    try:
        assert run(box, script).output == "alive\n" and isinstance(box, sandbox.Containers)
    except BoxlabError as error:
        assert isinstance(box, sandbox.Processes) and "SIGKILL" in str(error)


def test_ctrl_c_ends_it(tmp_path):
    """In a process of its own, as the signal is for the main thread."""
    script = f"""
import signal, threading, toy_lab
from pathlib import Path
from boxlab.labs import sandbox
signal.signal(signal.SIGINT, signal.default_int_handler)
begun = Path({str(tmp_path)!r}) / "begun"
def strike():
    toy_lab.wait_until(begun.exists)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
threading.Thread(target=strike).start()
sandbox.run(sandbox.Processes(""), ["sh", "-c", f"touch {{begun}}; sleep 1000"], {{}}, seconds=1000)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert "KeyboardInterrupt" in ended.stderr


def test_a_container_asks_for_no_mount_option_that_podman_refuses(monkeypatch):
    """Podman's socket says of an owner: unknown mount option "uid=64999"."""
    asked = {}
    monkeypatch.setattr(spawn, "EngineContainer", lambda image, command, **options: asked.update(options))
    sandbox.Containers("learner").start(sandbox.Limits())
    options = {option.partition("=")[0] for mount in asked["tmpfs"].values() for option in mount.split(",")}
    assert options == {"mode", "exec", "size"}


class TestInAContainer:
    """What a process of the same user could do, and a container cannot."""

    def test_it_is_nobody_and_sees_nobody(self, containers):
        script = "import os; print(os.getuid(), sorted(p for p in os.listdir('/proc') if p.isdigit())[0], os.getppid())"
        assert run(containers, script).output == "64999 1 1\n"  # images/learner
        assert os.getuid() != 64999

    def test_it_has_no_network_no_capability_and_no_way_to_more(self, containers):
        status = run(containers, "print(open('/proc/self/status').read())").output
        facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0 and facts["NoNewPrivs"] == "1"
        assert run(containers, "import os; print(os.listdir('/sys/class/net'))").output == "['lo']\n"

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "/opt/venv/pyvenv.cfg", "/proc/1/mem", "/proc/1/fd/0", "/proc/1/environ"]
    )
    def test_it_may_not_open(self, containers, path):
        """Not the system's files, and nothing of launch.py's, which holds the secret of the last line."""
        ran = run(containers, f"open({path!r}, 'r+b').read(1)")
        assert ran.status == 1 and any(f"{error}:" in ran.output for error in ("PermissionError", "OSError"))

    def test_who_kills_the_command_leaves_nothing(self, containers, tmp_path):
        script = f"""
import toy_lab
from boxlab.labs import sandbox
sandbox.run(sandbox.choose(True), ["sh", "-c", "printf '\\\\0361\\\\n'; sleep 1000"], {{}}, seconds=1000,
            serve=lambda _: open({str(tmp_path / "begun")!r}, "w").close())
"""
        environment = os.environ | {sandbox.marks.MARK: "0123456789ab"}
        killed = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1], env=environment)
        toy_lab.wait_until((tmp_path / "begun").exists)
        killed.kill()
        killed.wait()
        toy_lab.wait_until(lambda: not sweep.of_run("0123456789ab", True))
