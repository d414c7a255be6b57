"""Two checkouts at work on one machine and one engine: neither sees, counts nor removes what is the other's."""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import docker.errors
import pytest

from boxlab import builder, cgroups, engine, images, leftover, marks, paths, sweep
from boxlab.errors import EngineError
from boxlab.runtimes.spawn import EngineContainer, HostProcess

COUNT = """
import json
from boxlab import sweep
print(json.dumps([item.name for item in sweep.leftovers(images=True) + sweep.lab_images()]))
"""


class Checkout:
    """Another checkout, with the same library and a cache of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("src", "images"):
            shutil.copytree(
                paths.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        (folder / "labs").mkdir()

    @property
    def environment(self) -> dict[str, str]:
        not_its = (marks.MARK, marks.OWNER_MARK, "BOXLAB_SCRATCH")
        own = {name: value for name, value in os.environ.items() if name not in not_its}
        return own | {"PYTHONPATH": str(self.folder / "src")}

    def ask(self, code: str) -> str:
        """What a program of its prints, but for what it says beside that."""
        return self._done("-c", code).stdout.strip()

    def run(self, *command: str, status: int = 0) -> str:
        """All that a command of its prints."""
        done = self._done(*command, status=status)
        return done.stdout + done.stderr

    def _done(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *command],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def sees(self) -> set[str]:
        return set(json.loads(self.ask(COUNT)))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    images.ensure("workload")
    checkout = Checkout(tmp_path_factory.mktemp("other") / "checkout")
    yield checkout
    checkout.run("-m", "boxlab", "clean", "--images")
    assert checkout.sees() == set()


MAKE = """
import json, subprocess, sys
from boxlab import builder, cgroups, engine, images, marks, paths
from boxlab.runtimes.spawn import EngineContainer, HostProcess
client = engine.connect()
images.ensure("base")
container = EngineContainer("containers-measured/base", ["cat"], network_mode="none")
process = HostProcess(["sleep", "600"], {"PATH": "/usr/bin:/bin"})
volume = client.volumes.create(f"volume-{marks.owner()}", labels=engine.labels())
network = client.networks.create(f"network-{marks.owner()}", labels=engine.labels())
for name in (images.passing("lab-99-toy-answer") + ":latest", images.passing("rung-x") + ":latest"):
    client.api.tag(images.own("base"), *name.rsplit(":", 1))
(paths.scratch() / "file").write_text("")
print("made", flush=True)
sys.stdin.read()
container.stop(0)
process.stop(0)
"""


def test_two_checkouts_side_by_side(other):
    owner = other.ask("from boxlab import marks; print(marks.owner())")
    assert owner != marks.owner()
    before = {item.name for item in sweep.leftovers(images=True) + sweep.lab_images()}
    with subprocess.Popen(
        [sys.executable, "-c", MAKE],
        env=other.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as at_work:
        try:
            assert at_work.stdout.readline() == "made\n"
            seen = other.sees()
            assert {item.name for item in sweep.leftovers(images=True) + sweep.lab_images()} == before
            sweep.sweep()
            assert other.sees() == seen
            for mark in (
                f"volume-{owner}",
                f"network-{owner}",
                f"{images.PREFIX}rung-x-{owner}:latest",
                f"answer-{owner}:latest",
            ):
                assert any(mark in name for name in seen), mark
            assert any(name.endswith(" sleep") for name in seen) and any(name.endswith("/file") for name in seen)

            ours = EngineContainer(f"{images.PREFIX}base", ["cat"], network_mode="none")
            process = HostProcess(["sleep", "600"], {"PATH": "/usr/bin:/bin"})
            try:
                other.run("-m", "boxlab", "clean")
                assert ours.inspect()["State"]["Running"] and process.pids()
            finally:
                ours.stop(grace_s=0)
                process.stop(grace_s=0)
            assert images.find("base") and images.find("workload")
        finally:
            at_work.stdin.close()
    assert other.sees() <= {images.own(name).replace(marks.owner(), owner) for name in images.names()}


def test_an_image_that_two_checkouts_share_is_one_and_stays_until_the_last_lets_go(other):
    owner = other.ask("from boxlab import marks; print(marks.owner())")
    other.ask("from boxlab import images; images.ensure('workload')")
    client = engine.connect()
    assert client.images.get(images.own("workload")).id == client.images.get(f"{images.PREFIX}workload:{owner}").id
    said = other.run("-m", "boxlab", "clean", "--images")
    assert "kept, as all checkouts share them: base, " in said
    assert images.find("workload").tag == images.own("workload")
    assert client.images.get(f"{images.PREFIX}workload:latest")


def test_checkouts_whose_images_differ_do_not_fight_over_a_name(other):
    dockerfile = other.folder / "images" / "workload" / "Dockerfile"
    own = dockerfile.read_text()
    dockerfile.write_text(own + "ENV DIFFERENT=1\n")
    try:
        ask = "from boxlab import images; built = images.ensure('workload'); print(built.fresh, built.id)"
        theirs = re.search(r"(True|False) (sha256:\w+)", other.ask(ask)).groups()
        ours = images.ensure("workload")
        again = re.search(r"(True|False) (sha256:\w+)", other.ask(ask)).groups()
        assert theirs[0] == "True" and again == ("False", theirs[1])
        assert not ours.fresh and ours.id != theirs[1]
        assert engine.connect().images.get(ours.tag).id == ours.id
    finally:
        dockerfile.write_text(own)
    assert theirs[1] in {image.id for image in engine.images()}
    other.ask("from boxlab import images; images.ensure('workload')")
    assert theirs[1] not in {image.id for image in engine.images()}


def test_of_two_images_that_are_alike_all_use_the_one_with_the_name_for_people(other, tmp_path):
    """Or that name would move from one to the other while a check builds on it."""
    ours = images.ensure("workload")
    owner = other.ask("from boxlab import marks; print(marks.owner())")
    theirs = f"{images.PREFIX}workload:{owner}"
    (tmp_path / "Dockerfile").write_text(f"FROM {ours.tag}\nENV TWIN=1\n")  # with its key, which is a label
    builder.build(tmp_path, theirs, labels={})
    assert engine.connect().images.get(theirs).id != ours.id
    other.ask("from boxlab import images; images.ensure('workload')")
    assert {engine.connect().images.get(name).id for name in (theirs, f"{images.PREFIX}workload")} == {ours.id}


def test_an_image_is_removed_under_all_names_when_asked_for_by_name(other):
    folder = other.folder / "images" / "probe"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {images.PREFIX}base\nENV PROBE=1\n")
    client = engine.connect()
    try:
        other.ask("from boxlab import images; images.ensure('probe')")
        client.images.get(f"{images.PREFIX}probe").tag(f"{images.PREFIX}probe", "another")
        assert "nothing" not in other.run("-m", "boxlab", "clean", "probe")
        assert engine.images(name=f"{images.PREFIX}probe") == []
        assert "there is no image nonsense" in other.run("-m", "boxlab", "clean", "nonsense", status=2)
    finally:
        shutil.rmtree(folder)


def test_what_builds_of_others_left_without_a_name_is_not_ours():
    client = engine.connect()
    made = client.containers.create(
        images.own("base"), ["true"], labels=engine.labels() | {engine.OWNER_LABEL: "another"}
    )
    image = made.commit()
    made.remove()
    try:
        assert image.id not in {item.name for item in sweep.leftovers()}
    finally:
        client.images.remove(image.id)


def test_what_a_reader_starts_from_the_image_of_a_lab_stays():
    client = engine.connect()
    name = images.passing(f"lab-probe-{marks.RUN}")
    made = client.containers.create(images.ensure("base").tag, ["cat"], labels=engine.labels(sweep.KEPT))
    kept, theirs = made.commit(name), None
    try:
        made.remove()
        theirs = client.containers.create(name, ["cat"], name=f"mine-{marks.RUN}")
        assert theirs.labels[engine.RUN_LABEL] == sweep.KEPT
        assert theirs.name not in {item.name for item in sweep.leftovers()}
    finally:
        if theirs:
            theirs.remove(force=True)
        client.images.remove(kept.id, force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a control group")
def test_a_control_group_of_another_owners_is_not_ours():
    place = next(path for path in (cgroups.ROOT / "pids", cgroups.ROOT) if path.is_dir())
    ours, theirs = place / marks.name(), place / f"boxlab-another-{marks.RUN}-1"
    ours.mkdir()
    theirs.mkdir()
    try:
        assert [item.name for item in sweep.control_groups()] == [str(ours)]
        leftover.remove(sweep.control_groups)
        assert not ours.exists() and theirs.exists()
    finally:
        theirs.rmdir()


def test_clean_goes_on_where_something_does_not_go_and_says_so_in_the_end(monkeypatch):
    volume = engine.connect().volumes.create(labels=engine.labels())
    stuck = leftover.Leftover("file", "/stuck", lambda: os.rmdir("/proc/1"))
    monkeypatch.setattr(sweep, "scratch_files", lambda run="": [stuck])
    went = []
    with pytest.raises(leftover.BoxlabError, match="file /stuck cannot be removed") as caught:
        sweep.sweep(watch=went.append)
    assert "\n" not in caught.value.args[0]
    assert volume.name in {item.name for item in went}


def test_a_network_that_a_container_uses_stays_and_what_shows_it_is_said():
    client, name = engine.connect(), f"boxlab-{marks.RUN}"
    network = client.networks.create(name, labels=engine.labels())
    guest = client.containers.create(
        images.ensure("base").tag, ["cat"], stdin_open=True, network=name, labels=engine.labels()
    )
    remove = functools.partial(engine.remove_network, network.id)
    try:
        guest.start()
        with pytest.raises(EngineError) as caught:
            leftover.remove(lambda: [leftover.Leftover("network", name, remove)])
        assert client.networks.list(name)
        assert f"`docker network inspect {name}` shows what uses it" in caught.value.fix
        guest.remove(force=True)
        leftover.remove(lambda: [leftover.Leftover("network", name, remove)] if client.networks.list(name) else [])
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            guest.remove(force=True)
