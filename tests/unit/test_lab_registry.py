"""What lab 14 reads: which digest each name was given, whether all else stayed, and what a program prints on each stream."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from random import Random
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import Mismatch, checks
from boxlab.waiting import HANG_S

_spec = importlib.util.spec_from_file_location("lab_14", paths.LABS / "14-registry" / "checks.py")
lab_14 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_14)

NAME, PLACE, DIGEST = "localhost:4711/team/api:1.0", ("team/api", "1.0", "oci"), "sha256:" + "a1" * 32
CANDIDATE, OTHER = f"{NAME}-rc.1", "sha256:" + "b2" * 32
TEXT = lab_14.compose(NAME, "postgres")


@pytest.mark.parametrize("written", [f"{NAME}@{DIGEST}", f"localhost:4711/team/api@{DIGEST}"])
def test_a_digest_is_read_with_its_tag_or_without(written):
    assert lab_14.references(TEXT, TEXT.replace(NAME, written), {NAME: PLACE}) == [(NAME, DIGEST)]


@pytest.mark.parametrize(
    "output",
    [
        TEXT,
        "",
        TEXT.replace(NAME, f"{NAME}@sha256:short"),
        TEXT.replace(NAME, f"localhost:4711/team/apis@{DIGEST}"),
        TEXT.replace(NAME, f"{NAME}@{DIGEST}").replace("always", "never"),
        TEXT.replace(NAME, f"{NAME}@{DIGEST}").removesuffix("\n"),
        "pinned one image\n" + TEXT.replace(NAME, f"{NAME}@{DIGEST}"),
    ],
)
def test_a_name_without_a_digest_or_another_change_is_told(output):
    with pytest.raises(Mismatch):
        lab_14.references(TEXT, output, {NAME: PLACE})


@pytest.mark.parametrize(
    "written",
    [
        f"{NAME}@sha256:{DIGEST}",
        f"localhost:4711/team/api@{DIGEST}:1.0",
        f'"{NAME}@{DIGEST}"',
        f"'{NAME}'@{DIGEST}",
        NAME,
    ],
)
def test_a_digest_that_is_not_where_it_should_be_is_told_as_that(written):
    with pytest.raises(Mismatch) as caught:
        lab_14.references(TEXT, TEXT.replace(NAME, written), {NAME: PLACE})
    assert "already begins with `sha256:`" in caught.value.next and written in caught.value.actual


def test_what_prints_its_input_earns_nothing():
    """As the starter does, which leaves what's pinned already as it is."""
    found = checks.load(paths.LABS / "14-registry" / "checks.py")[0]
    assert [each.name for each in found if "pins" not in each.needs] == ["pins"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("pin.py: the registry says 401", "401 is"),
        ("Traceback\nurllib.error.HTTPError: HTTP Error 404: Not Found", "404 can be"),
        ("Traceback\nModuleNotFoundError: No module named 'requests'", "numpy and pandas"),
    ],
)
def test_a_program_that_fails_by_itself_is_not_told_of_the_registrys_answers(monkeypatch, said, told):
    monkeypatch.setattr(lab_14, "pin", lambda *_: lab_14.Ended(1, "", said))
    with pytest.raises(Mismatch) as caught:
        lab_14.pinned(None, None, TEXT)
    assert told in caught.value.next


def test_names_are_read_line_by_line():
    places = {NAME: PLACE, CANDIDATE: ("team/api", "1.0-rc.1", "oci")}
    digests = [(NAME, DIGEST), (CANDIDATE, OTHER), (NAME, OTHER)]
    rest = f"# image: {NAME}\n"
    text = rest + lab_14.compose(*(name for name, _digest in digests))
    output = rest + lab_14.compose(*(f"{name}@{digest}" for name, digest in digests))
    assert lab_14.references(text, output, places) == digests
    with pytest.raises(Mismatch):
        lab_14.references(text, text.replace(NAME, f"{NAME}@{DIGEST}"), places)
    with pytest.raises(Mismatch):
        lab_14.references(text, output.replace(rest, f"# image: {NAME}@{DIGEST}\n"), places)


TOLD = {"secret": "the secret", "registry": "localhost:4711", "text": TEXT, "seconds": HANG_S}


def apart(folder, program, *held):
    """What is reported of such a pin.py."""
    (folder / "pin.py").write_text(program)
    told = json.dumps(TOLD)
    command = [*held, sys.executable, "-c", lab_14.APART]
    ran = subprocess.run(command, input=told, cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout.removeprefix("the secret"))


@pytest.mark.linux
def test_what_a_program_prints_is_reported_apart(tmp_path):
    program = "import sys; print(sys.argv[1], sys.stdin.read(), end=''); sys.exit('no such image')"
    expected = {"status": 1, "stdout": f"localhost:4711 {TEXT}", "stderr": "no such image\n"}
    assert apart(tmp_path, program) == expected


HANGS = """
import sys
print("services:", flush=True)
hangs = open("hangs", "w")
while True:
    line = sys.stdin.readline()
"""

LATE = """
import subprocess

def communicate(ended, text, timeout):
    ended.stdin.write(text)
    ended.stdin.close()
    open("hangs").close()
    raise subprocess.TimeoutExpired(ended.args, timeout)

subprocess.Popen.communicate = communicate
"""
"""Its time is over once pin.py hangs."""


@pytest.mark.linux
def test_of_a_program_that_hangs_the_line_is_told(tmp_path):
    (tmp_path / "pin.py").write_text(HANGS)
    os.mkfifo(tmp_path / "hangs")
    command = [sys.executable, "-c", LATE + lab_14.APART]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps(TOLD))
        process.stdin.close()
        said = []
        for line in process.stdout:  # until it would wait to be ended
            said.append(line.strip())
            if line.startswith("KeyboardInterrupt"):
                break
        process.kill()
    assert said[0] == "services:" and any('pin.py", line' in line for line in said) and "the secret" not in str(said)


def test_who_fails_where_nothing_is_to_be_asked_is_told_that(monkeypatch):
    monkeypatch.setattr(lab_14, "pin", lambda *_: lab_14.Ended(1, "", "404"))
    monkeypatch.setattr(lab_14, "registry", lambda work: nullcontext(lab_14.Registry(None, "localhost:4711", "")))
    monkeypatch.setattr(lab_14.Registry, "push", lambda *_: {})
    with pytest.raises(Mismatch) as caught:
        lab_14.leaves(SimpleNamespace(random=Random(1)))
    assert "nothing of this text" in caught.value.why and "change a line only if" in caught.value.next


LOOKS = """
import os
for what in ("mem", "environ", "fd/0", "fd/1"):
    try:
        print(open(f"/proc/{os.getppid()}/{what}", "rb"))
    except OSError:
        continue
"""


@pytest.mark.linux
def test_a_program_cannot_read_the_secret(tmp_path):
    held = (
        [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    )  # as in the sandbox: else root reads all
    assert apart(tmp_path, LOOKS, *held) == {"status": 0, "stdout": "", "stderr": ""}


def test_the_settings_are_those_of_the_docker_command():
    beside = lab_14.Registry(None, "localhost:4711", "a password")
    auths = json.loads(beside.settings())["auths"]
    assert base64.b64decode(auths["localhost:4711"]["auth"]) == b"ada:a password"
    assert "a password" not in beside.settings("another")
