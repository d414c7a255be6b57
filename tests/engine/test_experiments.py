"""The experiments on the real engine: they measure what they say, and what goes wrong leaves one line and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import docker.models.containers
import pytest

from boxlab import (
    builder,
    engine,
    experiments,
    images,
    layers,
    leftover,
    marks,
    meter,
    paths,
    records,
    rootfs,
    runtimes,
    sweep,
    turns,
    waiting,
)
from boxlab.errors import BoxlabError, BuildError, EngineError, NotReady, Unavailable
from boxlab.experiments.dockerfile import _lay_out, rungs
from boxlab.runtimes import Container, Observation, Workload, console, kernel_events

WORKLOAD = Workload()

# The package's names are the functions; these are the modules of the same names.
density, edit, kill, limits, onion, scale, stop, transfer, waits = (
    import_module(f"boxlab.experiments.{name}")
    for name in ("density", "edit", "kill", "limits", "onion", "scale", "stop", "transfer", "waits")
)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = {item.name for item in sweep.leftovers()}
    yield
    waiting.until(
        lambda: {item.name for item in sweep.leftovers()} <= before
    )  # what was killed takes a moment to be gone


def one_line(error):
    assert len(str(error).splitlines()) <= 2
    return str(error)


def test_memory_of_a_process_and_of_a_container():
    run = experiments.memory(["process", "container"], rounds=2)
    for kind in run.arms:
        assert run.median(kind, "uss").value <= run.median(kind).value <= run.median(kind, "rss").value
    assert run.median("container", "shim").value > 0
    assert 0 < run.median("container", "cgroup_anon").value < 64 << 20
    assert not run.kept("process", "shim") and not run.kept("container", "guest")


def test_the_meter_in_a_container_reads_what_the_meter_here_reads(monkeypatch):
    runtime = runtimes.named("container")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        box.observe()
        with meter.open_meter() as direct:
            here = direct.read(box)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with meter.open_meter() as contained:
            there = contained.read(box)
    assert [p["name"] for p in here.processes] == [p["name"] for p in there.processes]
    assert here.total("rss") == pytest.approx(there.total("rss"), rel=0.1)
    assert here.cgroups[0]["anon"] == pytest.approx(there.cgroups[0]["anon"], rel=0.1)


def test_a_box_that_ended_is_not_read_as_one_that_takes_nothing():
    runtime = runtimes.named("process")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box, meter.open_meter() as gauge:
        box.spawned.stop()
        with pytest.raises(NotReady, match="the process has ended"):
            gauge.read(box)


def test_the_first_reader_of_a_file_pays_for_it_and_the_second_nothing():
    weights = Workload("weights", memory_mib=512)
    runtime = runtimes.named("container")
    runtime.prepare(weights)
    with meter.open_meter() as gauge, runtime.start(weights) as first, runtime.start(weights) as second:
        first.ask("evict")
        assert first.ask("read") == second.ask("read") == str(64 << 20)
        assert gauge.read(first).cgroups[0]["file"] > 60 << 20
        assert gauge.read(second).cgroups[0]["file"] < 4 << 20


def test_density_fits_a_line_and_counts_the_instances():
    run = experiments.density(["process", "container"], levels=[0, 1, 2, 3], seed=1)
    assert run.complete and not run.failures("container")
    slope = run.line("container").slope.value
    assert 1 << 20 < slope < 64 << 20
    assert run.fits("container", 1 << 40) == (6, True)
    assert run.kept("container", "pss", level=0) == {0: 0}


def test_density_stops_before_the_machine_runs_out(monkeypatch):
    monkeypatch.setattr(density, "reserve", lambda total: 1 << 50)
    run = experiments.density(["process"], levels=[0, 2])
    assert run.complete and run.kept("process", level=0) and not run.kept("process", level=2)
    [reason] = run.failures("process")
    assert "stopped at 0 instances" in one_line(reason) and "reserve" in reason


def test_replicas_answer_and_are_gone(monkeypatch):
    run = experiments.scale(["process", "container"], levels=[1, 3], rounds=1)
    assert run.complete and not run.failures("container")
    assert all(sample.values[metric] > 0 for sample in run.samples for metric in ("up", "down"))
    assert sorted(sample.level for sample in run.samples if sample.arm == "container") == [1, 3]
    monkeypatch.setattr(scale, "reserve", lambda total: 1 << 50)
    [reason] = experiments.scale(["process"], levels=[2], rounds=1).failures("process")
    assert "2 replicas may take" in one_line(reason)
    with pytest.raises(BoxlabError, match="no numbers of replicas"):
        experiments.scale(["process"], levels=[0, 1])


@pytest.mark.parametrize("levels", [[], [-1, 2]])
def test_numbers_of_instances_must_make_sense(levels):
    with pytest.raises(BoxlabError, match="no numbers of instances"):
        experiments.density(["process"], levels=levels)


def test_a_process_takes_no_disk_of_its_own():
    run = experiments.size(["process", "container"])
    assert list(run.arms) == ["container", "container-x10"] and list(run.plan["left_out"]) == ["process"]


def test_ten_containers_take_the_disk_of_one_and_a_machine_its_kernel_more():
    run = experiments.size()
    one, ten = (run.median(kind, "total").value for kind in ("container", "container-x10"))
    assert 0 <= ten - one < 10 << 20
    kept_twice = run.kept("container", "packed")
    assert bool(kept_twice) == engine.keeps_packed()
    parts = {part: run.median("container", part).value for part in ("base_files", "own_files", "writable")}
    assert one == sum(parts.values()) + sum(kept_twice.values())
    assert 0 < parts["own_files"] < 0.01 * parts["base_files"]
    whole, rest = (run.median("container", part).value for part in ("transfer", "transfer_next"))
    assert 0 < rest < 0.01 * whole
    if "microvm" in run.arms:
        values = {
            part: run.median("microvm", part).value for part in ("total", "kernel", "disk", "apparent", "writable")
        }
        assert values["total"] == values["kernel"] + values["disk"] + values["writable"]
        assert 0.8 * parts["base_files"] < values["disk"] < values["apparent"], "both by allocated blocks"
        assert 0 < run.median("microvm", "kernel_packed").value < values["kernel"]


def test_a_long_run_of_the_meter_in_a_container_is_not_cut_off(monkeypatch):
    runtime = runtimes.named("container")
    runtime.prepare(WORKLOAD)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(console, "LIMIT_BYTES", 4000)
    with runtime.start(WORKLOAD) as box, meter.open_meter() as gauge:
        box.observe()
        read = [gauge.read(box) for _ in range(20)]
    assert all(len(reading.processes) == 2 for reading in read)


def test_layers_are_counted_once_and_shrink_when_they_travel():
    tags = [images.ensure(name).tag for name in ("base", "workload")]
    found = layers.layers(*tags)
    assert len({layer.id for layer in found}) == len(found)
    shared = [layer for layer in found if layer.images == tuple(tags)]
    assert sum(layer.size for layer in shared) > 0.99 * sum(layer.size for layer in found)
    assert all(layer.compressed > 0 for layer in found)
    assert sum(layer.compressed for layer in found) < 0.6 * sum(layer.size for layer in found)


def test_layers_of_an_image_that_is_not_there():
    with pytest.raises(BoxlabError) as caught:
        layers.layers("no/such/image")
    assert "no/such/image" in one_line(caught.value)


def test_a_dockerfile_that_does_not_build_is_named_and_leaves_nothing(tmp_path):
    before = images_of_ours()
    good, bad = tmp_path / "1-good.Dockerfile", tmp_path / "2-bad.Dockerfile"
    good.write_text(f"FROM {images.PREFIX}base\nCOPY app.py .\n")
    bad.write_text(f"FROM {images.PREFIX}base\nCOPY app.py .\nRUN echo last words && exit 3\n")
    with pytest.raises(BuildError, match="rung-2-bad.* does not build") as caught:
        experiments.dockerfile([good, bad], rounds=1)
    one_line(caught.value)
    assert images_of_ours() == before


def images_of_ours():
    """Also those without a name; others may be building beside us."""
    mine = {"label": f"{engine.OWNER_LABEL}={marks.owner()}"}
    return {image.id for image in engine.images(all=True, filters=mine)}


def test_an_edit_runs_less_again_where_the_order_is_right(tmp_path, monkeypatch):
    files, ran, build = [], {}, builder.build
    install, edit = "RUN echo ran $((20 + 1)) > /dev/stderr && touch /installed", "COPY app.py ."
    for name, steps in {"1-wrong": (edit, install), "2-right": (install, edit)}.items():
        files.append(tmp_path / f"{name}.Dockerfile")
        files[-1].write_text("\n".join([f"FROM {images.PREFIX}base", *steps, ""]))

    def watched(folder, tag, **options):
        built = build(folder, tag, **options)
        kind = tag.rpartition("rung-")[2].removesuffix(f"-{marks.owner()}")
        if not built.trouble:  # a build whose cache the engine has lost is made again
            ran.setdefault(kind, []).append("ran 21" in built.output)
        return built

    monkeypatch.setattr(builder, "build", watched)
    run = experiments.dockerfile(files, rounds=2)
    assert ran == {"1-wrong": [True, True, True], "2-right": [True, False, False]}
    assert run.kept("2-right").keys() == {1, 2} and run.kept("2-right", "build").keys() == {0}
    assert run.median("1-wrong", "layers").value == 2
    assert 0 < run.median("1-wrong", "compressed").value < run.median("1-wrong", "unpacked").value < 20_000
    assert run.arm("1-wrong")["details"]["builder"] == builder.chosen()
    waiting.until(lambda: not builder.unnamed())


def test_an_edit_makes_new_what_depends_on_it_and_each_builder_sees_that_in_its_way(monkeypatch):
    monkeypatch.setattr(edit, "ARMS", {kind: edit.ARMS[kind] for kind in EDITS})
    before = images_of_ours()
    run = experiments.edit(rounds=1)
    new = {kind: run.median(kind, "layers").value for kind in run.arms}
    assert new == {kind: expected for kind, expected in EDITS.items() if kind in run.arms}
    assert all((run.median(kind, "sent").value > 0) == (count > 0) for kind, count in new.items())
    assert {*run.arms, *run.plan["left_out"]} == EDITS.keys()
    assert images_of_ours() == before


EDITS = {
    "env-buildkit": 2,  # only what runs is given the variable: WORKDIR and COPY above it are as before
    "env-classic": 4,
    "command-buildkit": 0,
    "command-classic": 0,  # all steps above it are found in the cache, whatever else was edited
}
"""How many layers an edit of a line makes new: notebook 11 edits all of them."""


def test_each_place_is_written_to_and_each_way_to_a_server_answers():
    """How long each takes is the machine's; in every place and by every way there is something to take."""
    before = images_of_ours()
    for measure in (experiments.storage, experiments.reach):
        run = measure(rounds=1)
        assert not [sample.error for sample in run.samples if sample.error]
        assert all(run.median(kind, metric).value > 0 for kind in run.arms for metric in run.plan["metrics"])
    assert len(run.arms) == 6 and not run.plan["left_out"]
    assert images_of_ours() == before


def test_a_request_fails_before_what_nothing_waits_for_and_none_after_a_wait():
    run = experiments.waits(rounds=1)
    failed = {kind: run.median(kind, "unanswered").value for kind in run.arms}
    assert failed["wait"] == 0
    assert run.median("wait", "restarts").value == run.median("healthy", "restarts").value == 0
    if run.median("order", "returned").value < waits.DELAY_S:  # else the engine took as long as the database
        assert failed["order"] > 0


def test_every_stage_of_every_rung_is_found_again_by_its_label(tmp_path):
    assert len(rungs()) == 5
    for file in rungs():
        _lay_out(tmp_path, file, "1")
        text = (tmp_path / "Dockerfile").read_text()
        assert text.count(f"{engine.OWNER_LABEL}={marks.owner()}") == text.count("FROM ")


def test_a_container_is_killed_held_back_and_refused_and_uses_no_less_for_a_lower_limit():
    wanted = [t for t in limits.trials() if t.kind.endswith("-container") or t.kind.startswith("rest-")]
    run = experiments.limits(wanted, rounds=1)
    outcomes = {sample.arm: sample.notes["outcome"] for sample in run.samples}
    assert outcomes["memory-container"] == "killed" and outcomes["pids-container"] == "refused"
    assert outcomes["breathe-container"] == "returned"
    assert 64 << 20 < run.median("memory-container", "held").value < limits.MEMORY_MIB << 20
    assert run.median("pids-container", "forked").value == limits.PIDS - 1
    used = run.median("cpu-container", "used_cpus").value
    if outcomes["cpu-container"] == "throttled":
        assert used < 1.25 and run.median("cpu-container", "throttled").value > 0
    else:
        assert used <= 1, "with one processor, or others at work, it may never get more than it may have"
    rest = [run.median(f"rest-{limit}", "at_rest").value for limit in (64, 256, 1024)]
    assert max(rest) - min(rest) < 1 << 20


def test_a_runtime_that_the_engine_does_not_know_is_left_out_with_the_known_ones():
    arms = [Container(kind="runc", oci_runtime="runc"), Container(kind="none", oci_runtime="no-such-runtime")]
    run = experiments.isolation(arms, rounds=1)
    assert "it knows" in run.plan["left_out"]["none"]["reason"] and "runc" in run.plan["left_out"]["none"]["reason"]
    assert run.median("runc", "stat").value > run.median("runc", "getppid").value


def test_an_image_removes_what_files_and_sessions_differ_in_and_nothing_that_comes_from_outside():
    run = experiments.elsewhere(rounds=1)
    assert {kind for kind in run.arms if run.median(kind, "outside").value} == set()
    carried = {kind for kind in run.arms if run.median(kind, "inside").value}
    usual = {"interpreter", "library", "system-library", "locale", "time-zone"}
    assert carried - {"architecture"} == usual, "an engine with an emulator runs the other architecture"
    [sample] = [sample for sample in run.samples if sample.arm == "locale"]
    assert sample.notes == {"here": "6", "outside": "7", "inside": "6"}


def test_the_base_image_has_the_time_zones_that_chapter_1_asks_for():
    command = ["date", "--date=@0", "+%H %Z"]
    image = images.ensure("base").tag
    printed = engine.connect().containers.run(
        image, command, environment={"TZ": "Asia/Seoul"}, labels=engine.labels(), remove=True
    )
    assert printed == b"09 KST\n"


def test_a_stop_is_told_by_its_cause_and_by_what_the_program_did(monkeypatch):
    monkeypatch.setattr(stop, "GRACE_S", 1)
    run = experiments.stop(rounds=1)
    ends = {
        kind: tuple(run.median(kind, metric).value for metric in ("saved", "killed", "status")) for kind in run.arms
    }
    assert ends == {
        "shell": (0, 1, 137),
        "exec": (0, 1, 137),
        "handler": (1, 0, 0),
        "init": (0, 0, 143),
        "shell-init": (0, 0, 143),
        "interrupt": (1, 0, 130),
    }


def test_a_layer_that_has_not_changed_does_not_travel_again(monkeypatch):
    monkeypatch.setattr(transfer, "BULK_MIB", 1)
    run = experiments.transfer(rounds=1)
    bulk = transfer.BULK_MIB << 20
    moved = {kind: [run.median(kind, metric).value for metric in ("push", "pull")] for kind in run.arms}
    assert max(moved.pop("code-last")) < bulk / 4
    assert len(moved) == 3 and all(min(values) > bulk for values in moved.values())


def test_a_name_at_a_registry_that_a_killed_push_has_left_is_removed():
    client, name = engine.connect(), "localhost:9/code-last"
    made = client.containers.create(images.ensure("base").tag, ["true"], labels=engine.labels())
    made.commit(name, "latest")
    made.remove()
    assert f"{name}:latest" in {item.name for item in sweep.leftovers()}
    sweep.remove_built()
    assert engine.images(name=name) == []


def test_a_push_that_a_registry_refuses_is_told():
    with pytest.raises(EngineError, match="the push to localhost:9/nothing:latest failed"):
        transfer._push(images.ensure("base").tag, "localhost:9/nothing:latest")


def test_a_container_needs_its_shim_and_a_daemon_that_keeps_it():
    run = experiments.kill(rounds=1)
    assert not [sample.error for sample in run.samples if sample.error]
    alive = {
        kind: "".join(str(int(run.median(kind, metric).value)) for metric in kill.METRICS if metric != "seconds")
        for kind in run.arms
    }
    assert alive == {
        "command": "11110",
        "dockerd": "00000",
        "dockerd-live": "11110",
        "containerd": "11111",
        "shim": "00000",
        "proxy": "11011",
        "program": "00000",
    }


@pytest.mark.parametrize("layer", onion.layers(), ids=lambda layer: layer.kind)
def test_every_layer_runs_the_same_program_and_leaves_nothing(layer):
    try:
        layer.prepare(WORKLOAD)
    except Unavailable as error:
        if layer.kind == "crun" and mixed_control_groups() and shutil.which("crun"):
            assert "hybrid mode not supported" in str(error)
            return
        pytest.skip(f"this machine cannot: {error}")
    files = rootfs.directory(images.ensure(WORKLOAD.image))
    written = last_written(files)
    with layer.start(WORKLOAD) as box:
        assert box.answer == "37.2"
        assert box.observe().inside["files_sha256"]
        spawned = box.spawned
        box.stop()
        assert spawned.exit_reason() == "exit status 0", "it ended when told to, not by force"
    assert last_written(files) == written, "a start leaves the next one nothing, such as compiled modules"


def last_written(folder):
    """When anything in a folder was written last, or entered into it."""
    return max(os.lstat(path).st_ctime_ns for path in folder.rglob("*"))


def mixed_control_groups():
    """Whether controllers belong to version 2 beside others of version 1, where crun refuses to run."""
    controllers = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    return controllers.exists() and controllers.read_text().strip() != ""


def test_a_control_group_holds_the_process_to_its_limits_and_is_swept_up():
    if os.geteuid() != 0:
        pytest.skip("only root makes control groups")
    layer = layer_named("cgroup")
    layer.prepare(WORKLOAD)
    with layer.start(WORKLOAD):
        assert any(item.kind == "control group" for item in sweep.control_groups())


def layer_named(kind):
    return next(layer for layer in onion.layers() if layer.kind == kind)


def test_the_kernel_reports_when_a_program_began():
    if reason := kernel_events.refusal():
        pytest.skip(reason)
    with kernel_events.watch() as events, subprocess.Popen([sys.executable, "-c", "pass # of our own"]) as process:
        process.wait()
    ours, others = (Observation({}, pids) for pids in ([process.pid], [1]))
    assert 0 < events.began("of our own", 0, ours) < events.ended("of our own", 0, ours)
    assert events.began("of our own", 0, others) is None


def test_phases_by_the_kernels_events_are_in_order():
    if reason := kernel_events.refusal():
        pytest.skip(reason)
    run = experiments.onion([layer_named(kind) for kind in ("engine-none", "cli")], rounds=1)
    for kind in run.arms:
        marks, phases = run.typical(kind).marks, run.arm(kind)["phases"]
        known = [marks[mark] for mark in phases if mark in marks]  # of one that ended at once the name is not known
        assert known == sorted(known) and {"shim", "exec"} <= marks.keys()
        assert ("hook" in phases) is called_back_for_the_network() is not ("start" in phases)


def called_back_for_the_network():
    with engine.plain_errors():
        return int(engine.connect().version()["Version"].split(".")[0]) < 28


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; print('up', flush=True); time.sleep(600)", "'ready' did not come and nothing else did"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.write(1, os.urandom(3_000_000))", "printed more than 1024 KiB"),
    ],
    ids=["never ready", "exits at once", "prints garbage without end"],
)
def test_an_application_that_does_not_get_ready_is_a_failure_in_every_experiment(script, message, broken_workload):
    workload = broken_workload(script)
    runtime = Container()
    runtime.deadline_s = 300
    if "nothing else did" in message:
        runtime.silence_s = 1  # it is silent whenever this strikes
    for experiment in (experiments.startup, experiments.memory):
        run = experiment([runtime], rounds=1, workload=workload)
        assert run.complete and not run.kept("container")
        assert message in one_line(run.failures("container")[0])
    crowd = experiments.density([runtime], levels=[2], workload=workload)
    assert message in crowd.failures("container")[0]


@pytest.fixture
def broken_workload(tmp_path, monkeypatch):
    """A workload of another program, in an image that is gone afterwards."""
    monkeypatch.setattr(images.paths, "IMAGES", tmp_path)
    (tmp_path / "base").symlink_to(images.paths.ROOT / "images" / "base")

    def make(script):
        folder = tmp_path / "broken-app"
        folder.mkdir()
        (folder / "app.py").write_text(script)
        (folder / "Dockerfile").write_text(f'FROM {images.PREFIX}base\nCOPY app.py /\nCMD ["python3", "/app.py"]\n')
        return Workload("broken-app")

    yield make
    leftover.remove(lambda: sweep._shared(["broken-app"]))


@pytest.mark.parametrize("experiment", [experiments.startup, experiments.memory, experiments.density])
def test_an_unknown_workload_or_runtime_is_refused_with_the_known_ones(experiment):
    with pytest.raises(BoxlabError, match="there is no image 'nonsense'") as caught:
        experiment(["container"], workload=Workload("nonsense"))
    assert "workload" in one_line(caught.value)
    with pytest.raises(BoxlabError, match="there is no runtime 'nonsense'"):
        experiment(["nonsense"])
    with pytest.raises(BoxlabError, match="-1 rounds"):
        experiment(["process"], rounds=-1)


@pytest.mark.parametrize("arguments", [("density", "process", "container"), ("onion",), ("memory", "container")])
def test_ctrl_c_in_the_middle_leaves_the_samples_and_nothing_else(arguments):
    name = f"interrupted-{arguments[0]}"
    record = paths.RESULTS / f"{name}.local.json"
    command = [sys.executable, "-m", "boxlab", *arguments, "--rounds", "100", "--save-as", name]
    try:
        with (
            turns.turn("measuring", "it is our turn to measure"),
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as experiment,
        ):
            # It is written when the first round is over.
            waiting.until(record.exists, going=lambda: experiment.poll() is None)
            experiment.send_signal(signal.SIGINT)
            complaint = experiment.stderr.read()
        assert experiment.returncode == 130
        assert "interrupted" in complaint and "Traceback" not in complaint
        run = records.load(record)
        assert run.samples and not run.complete
    finally:
        record.unlink(missing_ok=True)


def test_the_images_for_machine_learning_can_be_built_before_and_none_stays(monkeypatch):
    learning = import_module("boxlab.experiments.learning")  # the package has the function of that name
    smallest = "5-numpy-only"
    monkeypatch.setattr(learning, "ARMS", {smallest: learning.ARMS[smallest]})
    learning.prepare()
    assert engine.images(name=learning._tag(smallest)) == []


def test_an_image_for_machine_learning_that_is_interrupted_leaves_no_container(monkeypatch):
    def interrupted(_container):
        raise KeyboardInterrupt

    learning = import_module("boxlab.experiments.learning")  # the package has the function of that name
    monkeypatch.setattr(docker.models.containers.Container, "wait", interrupted)
    tag = images.ensure("workload").tag
    with pytest.raises(KeyboardInterrupt):
        learning._ran(tag)
    labels = [f"{name}={value}" for name, value in engine.labels().items()]
    assert engine.connect().containers.list(all=True, filters={"label": labels}) == []
