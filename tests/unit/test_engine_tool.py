"""tools/engine.sh ends what is its own and nothing else."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from boxlab import paths, waiting

pytestmark = [pytest.mark.linux, pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root may")]


@pytest.fixture
def checkout():
    """Another checkout with an engine that is not running; the path of a socket must be short."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tools").mkdir()
        shutil.copy(paths.ROOT / "tools" / "engine.sh", Path(folder) / "tools")
        (Path(folder) / ".cache/engine/containerd/run").mkdir(parents=True)
        yield Path(folder)


def test_a_process_that_got_the_number_of_an_engine_that_ended_is_let_alone(checkout):
    run = checkout / ".cache/engine/containerd/run"
    command = ["unshare", "--mount", "sh", "-c", "readlink /proc/$$/ns/mnt; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        namespace = "".join(filter(str.isdigit, other.stdout.readline()))
        (run / "namespace").write_text(namespace)
        (run / "pid").write_text(str(other.pid))
        subprocess.run(["tools/engine.sh", "stop"], cwd=checkout, check=True)
        assert other.communicate("still here")[0] == "still here"


def test_what_has_the_mount_of_its_name_is_ended(checkout):
    name = subprocess.run(
        ["bash", "-c", "source tools/engine.sh env >/dev/null; echo $NETWORK", "tools/engine.sh"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs {name} /mnt; echo up; trap '' TERM; cat; cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as own:
        assert own.stdout.readline() == "up\n"
        subprocess.run(["tools/engine.sh", "stop"], cwd=checkout, check=True)
        assert own.wait(waiting.HANG_S) == -9
