"""Names of commands that carry no label of ours: the docker command makes things, and what was declared is found and gone."""

import os
import signal
import subprocess
import sys

import nbformat
import pytest

from boxlab import images, marks, names, outputs, paths, sweep
from boxlab.errors import BoxlabError

NAME = f"declared-{marks.RUN}"
BASE = f"{images.PREFIX}base"


@pytest.fixture(autouse=True)
def nothing_stays():
    images.ensure("base")
    yield
    names.release()


def docker(*arguments):
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def exists(kind, name):
    return subprocess.run(["docker", kind, "inspect", name], capture_output=True).returncode == 0


def make(project=""):
    labels = [f"--label={names.PROJECT_LABEL}={project}"] if project else []
    docker("volume", "create", *labels, NAME)
    docker("network", "create", *labels, NAME)
    docker(
        "run", "--detach", "--name", NAME, *labels, "--network", NAME, "--volume", f"{NAME}:/data", BASE, "sleep", "600"
    )
    docker("commit", NAME, f"{project or NAME}{'-web' if project else ''}")


def test_what_was_declared_is_the_runs_and_goes(tmp_path):
    before = {item.name for item in sweep.leftovers()}
    names.declare(containers=[NAME], images=[NAME], volumes=[NAME], networks=[NAME])
    make()
    new = {(item.kind, item.name) for item in sweep.leftovers() if item.name not in before}
    assert new == {("container", NAME), ("image", f"{NAME}:latest"), ("volume", NAME), ("network", NAME)}
    assert {item.name for item in sweep.of_run(marks.RUN)} >= {NAME, f"{NAME}:latest"}
    names.release()
    for kind in ("container", "image", "volume", "network"):
        assert not exists(kind, NAME)
    assert exists("image", BASE)
    assert {item.name for item in sweep.leftovers()} == before


def test_a_compose_project_is_known_by_its_label():
    names.declare(projects=[NAME])
    make(project=NAME)
    assert len(names.made()) == 4
    names.release()
    assert not exists("container", NAME) and not exists("image", f"{NAME}-web")


def test_a_container_that_is_there_holds_its_name():
    docker("create", "--name", NAME, BASE, "true")
    try:
        with pytest.raises(BoxlabError, match=f"the container {NAME} is there already \\(of {BASE}, made 20"):
            names.declare(containers=[NAME])
        assert names.made() == []
    finally:
        docker("rm", NAME)


def test_an_image_that_got_a_further_name_loses_that_alone():
    names.declare(images=[NAME])
    docker("tag", BASE, NAME)
    names.release()
    assert exists("image", BASE) and not exists("image", NAME)


FAILING = """
import subprocess

from boxlab import marks, names

(marks.workplace("failing") / "file").write_text("")
names.declare(containers=["{name}"])
subprocess.run(["docker", "run", "--detach", "--name", "{name}", "{base}", "sleep", "600"], check=True)
raise ValueError("no more")
"""


def test_a_notebook_whose_cell_fails_leaves_nothing_under_its_names_and_no_file(tmp_path):
    path = tmp_path / "01-failing.ipynb"
    cell = nbformat.v4.new_code_cell(FAILING.format(name=NAME, base=BASE))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    environment = {name: value for name, value in os.environ.items() if name != marks.MARK}
    with pytest.raises(outputs.CellFailed, match="no more"):
        outputs.run(path, {}, environment)
    assert not exists("container", NAME) and not [*paths.SCRATCH.glob("failing-*")]
    assert not [ledger for ledger in names._ledgers() if NAME in ledger.names.get("container", ())]


KILLED = """
import os, signal, subprocess, sys
from boxlab import names
names.declare(containers=[sys.argv[1]], volumes=[sys.argv[1]])
subprocess.run(["docker", "run", "--detach", "--name", sys.argv[1], sys.argv[2], "sleep", "600"], check=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_clean_sweeps_what_a_killed_run_has_declared():
    environment = {name: value for name, value in os.environ.items() if name != marks.MARK}
    done = subprocess.run([sys.executable, "-c", KILLED, NAME, BASE], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert exists("container", NAME)
    with pytest.raises(BoxlabError, match=f"{NAME} is there already .*left by an earlier run") as caught:
        names.declare(containers=[NAME])
    assert caught.value.fix == "`boxlab clean`"
    cleaned = subprocess.run([sys.executable, "-m", "boxlab", "clean"], capture_output=True, text=True, check=True)
    assert f"removed container {NAME}\n" in cleaned.stdout
    assert not exists("container", NAME)
    assert not [
        ledger for ledger in names._ledgers() if NAME in ledger.names.get("container", ())
    ]  # others' may be there
    docker("create", "--name", NAME, BASE, "true")
    try:
        assert (
            "nothing of ours was left"
            in subprocess.run(
                [sys.executable, "-m", "boxlab", "clean"], capture_output=True, text=True, check=True
            ).stdout
        )
        assert exists("container", NAME)
    finally:
        docker("rm", NAME)


def test_a_notebook_notes_after_each_cell_what_it_has_made():
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shell.run_cell(f"from boxlab import names; names.declare(containers=[{NAME!r}])").raise_error()
        id = docker("create", "--name", NAME, BASE, "true")
        shell.run_cell("1 + 1").raise_error()
        [ledger] = names._ledgers(run=marks.RUN)
        assert ledger.ids == {f"container {NAME}": [id]} and ledger.until
        shell.run_cell("names.release()").raise_error()
        assert not exists("container", NAME)
    finally:
        InteractiveShell.clear_instance()
