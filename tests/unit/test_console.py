import time

import psutil
import pytest

from boxlab.errors import NotReady
from boxlab.runtimes import console as console_module
from boxlab.runtimes.box import WORKLOAD_MARKS
from boxlab.runtimes.console import AWAKE, LIMIT_BYTES, SILENT_S, Console
from boxlab.runtimes.spawn import HostProcess, _Frames
from boxlab.waiting import HANG_S, until


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more; one that nobody has asked after yet (a zombie) does not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Scripted:
    """A source that plays chunks; None is a silence until the deadline."""

    def __init__(self, *chunks):
        self.chunks = list(chunks)

    def read(self, timeout_s):
        return self.chunks.pop(0) if self.chunks else b""

    def exit_reason(self):
        return "exit status 3"


def console(*chunks):
    return Console(Scripted(*chunks), WORKLOAD_MARKS, time.monotonic())


def test_marks_come_in_order_even_when_lines_are_cut_into_chunks():
    box = console(b"noise\nworkload: sta", b"rted\nworkload: ready 3", b"7.2\n")
    assert box.wait_for("ready", 5) == "37.2"
    assert list(box.marks) == ["app", "ready"]
    assert box.marks["app"] <= box.marks["ready"]


def test_a_marker_is_found_amid_a_kernels_messages():
    assert console(b"[    1.2] random: crng\r\n\x1b[0mworkload: ready 37.2\r\n").wait_for("ready", 5) == "37.2"


def test_a_box_that_hangs_is_a_failure_with_its_last_words():
    with pytest.raises(NotReady, match="within 5 s.*'could not calibrate'"):
        console(b"could not calibrate\n", None).wait_for("ready", 5)


def test_a_box_that_ends_says_how():
    with pytest.raises(NotReady, match="exit status 3; it printed nothing"):
        console().wait_for("ready", 5)


def test_a_box_that_prints_without_end_is_given_up():
    flood = [b"x" * 65536] * (LIMIT_BYTES // 65536 + 1)
    with pytest.raises(NotReady, match="printed more than 1024 KiB"):
        console(*flood).wait_for("ready", 5)


def test_garbage_is_not_readiness():
    with pytest.raises(NotReady):
        console(b"\xff\xfe\x00ready\n\x80\n").wait_for("ready", 5)


def test_a_silent_process_is_left_at_the_deadline_and_still_runs():
    process = HostProcess(["sleep", "1000"], {"PATH": "/usr/bin:/bin"})
    try:
        with pytest.raises(NotReady, match="within 0.2 s"):
            Console(process, WORKLOAD_MARKS, time.monotonic()).wait_for("ready", 0.2)
        assert not ended(psutil.Process(process.pid))
    finally:
        process.stop()


def test_a_process_deaf_to_sigterm_is_killed_with_all_below_it():
    process = HostProcess(["sh", "-c", "trap '' TERM; sleep 1000 & echo up; wait; wait"], {"PATH": "/usr/bin:/bin"})
    assert process.read(HANG_S) == b"up\n"
    family = [psutil.Process(pid) for pid in process.pids()]
    assert len(family) == 2
    process.stop(grace_s=0.3)
    until(lambda: all(map(ended, family)))


def test_children_of_a_process_that_ends_go_with_it():
    process = HostProcess(["sh", "-c", "sleep 1000 & echo up; read line"], {"PATH": "/usr/bin:/bin"})
    assert process.read(HANG_S) == b"up\n"
    family = [psutil.Process(pid) for pid in process.pids()]
    process.stop()
    until(lambda: all(map(ended, family)))


@pytest.mark.parametrize("cut", range(1, 24))
def test_frames_are_taken_apart_wherever_the_stream_is_cut(cut):
    stream = b"\x01\0\0\0\0\0\0\x03one" + b"\x02\0\0\0\0\0\0\x05three"
    frames = _Frames()
    assert frames.payload(stream[:cut]) + frames.payload(stream[cut:]) == b"onethree"


@pytest.mark.parametrize("cut", range(1, 35))
def test_errors_are_kept_apart_wherever_the_stream_is_cut(cut):
    stream = b"\x02\0\0\0\0\0\0\x05oh no" + b"\x01\0\0\0\0\0\0\x03one" + b"\x02\0\0\0\0\0\0\x03end"
    errors = bytearray()
    frames = _Frames(errors)
    assert frames.payload(stream[:cut]) + frames.payload(stream[cut:]) == b"one" and errors == b"oh noend"


def test_of_errors_without_end_the_last_are_kept():
    errors = bytearray()
    frames = _Frames(errors)
    for number in range(100):
        assert frames.payload(b"\x02\0\0\0\0\0\x10\0" + bytes([number]) * (1 << 12)) == b""
    assert len(errors) == _Frames.MOST and errors[-1] == 99


class Stuck:
    """A serial port whose interrupt was lost: it says what it has to say once a byte has come."""

    def __init__(self):
        self.sent, self.patience = b"", []

    def read(self, timeout_s):
        self.patience.append(timeout_s)
        return b"workload: ready 1\n" if self.sent else None

    def send(self, data):
        self.sent += data


def test_a_serial_port_that_says_nothing_is_woken():
    stuck = Stuck()
    box = Console(stuck, WORKLOAD_MARKS, time.monotonic(), serial=True)
    assert box.wait_for("ready", HANG_S) == "1"
    assert (stuck.sent, box.woken) == (AWAKE, 1) and stuck.patience[0] <= SILENT_S


def test_the_time_for_which_this_machine_slept_is_none_of_the_boxs(monkeypatch):
    class Slept(Stuck):
        now = 0.0

        def read(self, timeout_s):
            Slept.now += timeout_s if self.patience else 3600
            self.patience.append(timeout_s)
            return b"workload: ready 1\n" if len(self.patience) == 3 else None

    monkeypatch.setattr(console_module.time, "monotonic", lambda: Slept.now)
    assert Console(Slept(), WORKLOAD_MARKS, 0.0, serial=True).wait_for("ready", 10) == "1"


def test_what_is_no_serial_port_is_left_alone():
    stuck = Stuck()
    with pytest.raises(NotReady):
        Console(stuck, WORKLOAD_MARKS, time.monotonic()).wait_for("ready", 0)
    assert stuck.sent == b""


def test_a_machine_that_ends_while_it_is_woken_says_why():
    class Gone(Scripted):
        def send(self, data):
            raise NotReady("it has ended")

    box = Console(Gone(None, b""), WORKLOAD_MARKS, time.monotonic(), serial=True)
    with pytest.raises(NotReady, match="exit status 3"):
        box.wait_for("ready", HANG_S)
