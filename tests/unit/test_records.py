import json
import re

import fastjsonschema
import pretended_run as runs
import pytest

from boxlab import formatting, paths, plots, prose, records, tables
from boxlab.errors import RecordError


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
    return tmp_path / "results"


def test_a_record_comes_back_as_it_was(results):
    run = runs.run()
    assert records.load(run.save("06-startup")) == run


def test_a_readers_record_does_not_touch_the_stored_one(results, monkeypatch):
    assert runs.run().save("x").name == "x.local.json"
    monkeypatch.setenv(records.STORE, "1")
    assert runs.run().save("x").name == "x.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": "containers-measured/rec', "not a whole record"),
        ("[1, 2]", "not a record of ours"),
        ('{"schema": "else"}', "not a record of ours"),
        ('{"schema": "containers-measured/record", "version": 99}', "version 99"),
        ('{"schema": "containers-measured/record", "version": 1}', "not a valid record"),
        ('{"schema": "containers-measured/record", "version": 2}', "not a valid record"),
        ("\x00\x01", "not a whole record"),
    ],
)
def test_a_foreign_or_broken_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        records.load(path)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordError, match="there is no record"):
        records.load(tmp_path / "none.json")


def test_an_impossible_record_is_not_written(results):
    run = runs.run()
    run.samples[0].values["seconds"] = -1.0
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        run.save("bad")
    assert not (results / "bad.local.json").exists()


def test_the_discarded_round_and_failures_do_not_count():
    run = runs.run(rounds=3)
    run.samples[-1].values, run.samples[-1].error = {}, "hung"
    assert sorted(run.kept("container")) == [1, 2, 3]
    assert sorted(run.kept("microvm")) == [1, 2]
    assert tables.summary(run).loc["microVM (TCG)", "failed"] == 1
    assert prose.texts(run)["microvm_failed"] == "1"


def test_two_arms_that_never_succeeded_in_one_round_have_a_table_without_their_ratio():
    run = runs.run(rounds=2)
    for sample in run.samples:
        if (sample.arm == "container") == (sample.round == 1):
            sample.values, sample.error = {}, "hung"
    row = tables.summary(run).loc["microVM (TCG)"]
    assert row["n"] == 1 and row.get("× container", "–") == "–" and row["median"] != "–"
    assert not run.together("microvm", "container")
    assert prose.texts(run)["microvm_vs_container"] == prose.NOT_MEASURED


def test_what_a_failed_start_has_measured_on_its_way_does_not_count():
    run = runs.run(rounds=3)
    run.samples[-1].values, run.samples[-1].error = {"machine_cpu": 60.0}, "hung"
    assert sorted(run.kept("microvm", "machine_cpu")) == [1, 2]
    assert run.median("microvm", "machine_cpu").value < 3
    assert len(run.points("microvm", "machine_cpu")[1]) == 2


@pytest.mark.parametrize(("rounds", "marked"), [(5, True), (6, False)])
def test_what_is_no_interval_is_called_a_range_in_each_column_that_has_one(rounds, marked):
    run = runs.run(rounds=rounds)
    row = tables.summary(run, "microvm").loc["container"]
    assert row["95 % interval"].endswith(" (range)") is marked
    assert ("(range " in row["× microVM"]) is marked
    assert ("(range " in prose.texts(run)["container_vs_microvm"]) is marked
    assert ("range" in plots.startup(run).alt) is marked


def test_emulation_is_named_in_caption_table_and_texts():
    assert "software emulation (TCG)" in prose.caption(runs.run(emulated=True))
    assert "microVM (TCG)" in tables.summary(runs.run(emulated=True)).index
    assert prose.texts(runs.run(emulated=False))["accelerator"] == "KVM"
    assert "TCG" not in prose.caption(runs.run(emulated=False))


def test_an_interrupted_run_says_so():
    run = runs.run()
    run.complete = False
    assert "INTERRUPTED" in prose.caption(run)


def test_an_arm_that_did_not_run_has_texts_all_the_same():
    texts = prose.texts(runs.run())
    assert texts["process_median"] == prose.NOT_MEASURED
    assert texts["container_vs_process"] == prose.NOT_MEASURED
    assert texts["process_ready_took"] == prose.NOT_MEASURED


def test_one_sample_has_no_interval_and_no_traceback():
    run = runs.run(rounds=1)
    assert prose.texts(run)["container_low"] == "–"
    assert tables.summary(run).loc["container", "95 % interval"] == "–"


def test_the_discarded_rounds_stop_does_not_count():
    run = runs.run()
    run.samples[0].values["stop"] = 50.0
    assert run.median("container", "stop").value == 0.05


def test_phases_of_the_typical_start_add_up():
    run = runs.run(rounds=5)
    sample = run.typical("microvm")
    assert sample.values["seconds"] == pytest.approx(run.median("microvm").value)
    assert sample.marks["ready"] == pytest.approx(sample.values["seconds"])


def test_an_arm_without_success_has_no_median():
    with pytest.raises(RecordError, match="nothing of process was measured"):
        runs.run().median("process")


def test_a_record_of_version_1_is_still_read():
    path = paths.ROOT / "tests" / "recorded" / "startup-version-1.json"
    old, run = json.loads(path.read_text()), records.load(path)
    assert old["version"] == 1 and run.to_json()["version"] == records.VERSION
    assert [s.values.get("seconds") for s in run.samples] == [s["seconds"] for s in old["samples"]]
    assert run.median("container", "stop").value > 0
    assert prose.texts(run)["full-vm_basic_took"].endswith("s")


RECORDED = paths.ROOT / "tests" / "recorded"


def test_what_an_engine_said_of_a_size_is_not_compared_with_what_layers_add_up_to():
    old = json.loads((RECORDED / "dockerfile-version-2.json").read_text())
    run = records.load(RECORDED / "dockerfile-version-2.json")
    assert [s.values["engine_size"] for s in run.samples] == [s["values"]["size"] for s in old["samples"]]
    assert not {"size", "unpacked", "compressed"} & run.plan["metrics"].keys()
    assert formatting.size(run.median("5-two-stages", "engine_size").value) in plots.dockerfile(run).alt


@pytest.mark.parametrize(("store", "twice"), [("overlay2", False), ("overlayfs", True)])
def test_an_image_takes_both_its_forms_where_the_engine_keeps_both(tmp_path, store, twice):
    old = json.loads((RECORDED / "size-version-2.json").read_text())
    old["provenance"]["engine"]["storage_driver"] = store
    (tmp_path / "size.json").write_text(json.dumps(old))
    run = records.load(tmp_path / "size.json")
    for kind in ("container", "container-x10"):
        values = next(s["values"] for s in old["samples"] if s["arm"] == kind)
        more = values["transfer"] if twice else 0
        assert run.median(kind, "total").value == values["total"] + more
        assert run.kept(kind, "packed") == ({0: more} if twice else {})
    assert (
        run.median("microvm", "total").value
        == next(s for s in old["samples"] if s["arm"] == "microvm")["values"]["total"]
    )
    assert ("as it came" in plots.size(run).alt) == twice


def test_a_line_says_what_one_more_takes():
    run = runs.levels(noise=0.1)
    line = run.line("container")
    assert line.slope.low < 7 * 2**20 < line.slope.high
    assert line.n == 4  # without zero instances, which take nothing
    assert prose.texts(run)["container_slope"].startswith(("6.9", "7.0"))
    assert prose.texts(run)["container_shape"] == "straight"
    assert "slope" in tables.levels(run).columns


def test_how_many_fit_is_never_said_beyond_twice_what_was_run():
    run = runs.levels(noise=0)
    assert run.fits("container", (13 + 7 * 5.5) * 2**20) == (5, False)
    assert run.fits("container", 2**40) == (16, True)
    assert run.fits("container", 0) == (0, False)


def test_a_line_needs_three_points():
    run = runs.levels()
    run.samples = run.samples[:2]
    with pytest.raises(RecordError, match="too few points of container"):
        run.line("container")
    assert "too few points" in tables.levels(run).loc["container", "slope"]


def test_what_is_unstable_is_named_below_every_plot():
    run = runs.run()
    assert "unstable" not in prose.caption(run)
    run.samples[-1].values["seconds"] *= 9
    assert "unstable, to be measured again on a quiet machine: microVM (TCG) ·" in prose.caption(run)
    assert "unstable" not in prose.caption(run, timed=False), "where no times are shown"
    for sample in run.samples[-len(run.arms) :]:
        sample.values["seconds"] *= 9
    assert "unstable, to be measured again on a quiet machine: all of it ·" in prose.caption(run)
    assert "unstable" not in prose.caption(runs.levels())


def test_parts_stand_side_by_side_and_what_an_arm_has_not_is_a_dash():
    run = runs.run()
    run.plan["metrics"]["extra"] = {"unit": "B"}
    for sample in run.samples:
        if sample.arm == "container":
            sample.values["extra"] = 3 * 2**20
    assert list(tables.parts(run, ["extra", "stop"]).loc["container"]) == ["3.00 MiB", "50.0 ms"]
    assert tables.parts(run, ["extra"]).loc["microVM (TCG)", "extra"] == "–"


def test_a_median_whose_samples_differ_stands_with_its_interval_in_parts_as_well():
    shown = [tables.parts(runs.run(rounds=rounds), ["seconds"]).loc["container"].item() for rounds in (6, 2, 1)]
    assert [text.replace("\u00a0", "_") for text in shown] == [
        "207_ms (203_ms – 211_ms)",
        "203_ms (range 202_ms – 204_ms)",
        "202 ms",
    ]


def test_the_stored_record_behind_the_notebook_is_valid_and_complete():
    stored = sorted((paths.ROOT / "notebooks" / "results").glob("*[!l].json"))
    stored = [path for path in stored if not path.name.endswith(".local.json")]
    assert stored
    for path in stored:
        run = records.load(path)
        assert run.complete and run.samples


def test_a_record_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setenv("HOME", "/home/reader")
    run = runs.run()
    run.plan["arms"][0]["details"]["command"] = [
        f"ram,mem-path={paths.ROOT}/.cache/snapshots/ram,share=off",
        f"unix://{paths.ROOT}/x",
        str(paths.ROOT),
        "/home/reader/.docker/run/docker.sock",
        "/home/readers/own",
        f"{paths.ROOT}-other",
    ]
    run.samples[0].error = f"no {paths.CACHE}/kernels/vmlinux"
    stored = records.load(run.save("places"))
    assert stored.plan["arms"][0]["details"]["command"] == [
        "ram,mem-path=PROJECT/.cache/snapshots/ram,share=off",
        "unix://PROJECT/x",
        "PROJECT",
        "HOME/.docker/run/docker.sock",
        "/home/readers/own",
        f"{paths.ROOT}-other",
    ]
    assert stored.samples[0].error == "no PROJECT/.cache/kernels/vmlinux"


def test_no_stored_record_names_a_folder_of_its_authors_machine():
    stored = [*paths.ROOT.glob("notebooks/results/[0-9]*.json"), *paths.ROOT.glob("tests/recorded/*.json")]
    assert stored
    for path in stored:
        if ".local." not in path.name:
            assert not re.search(r"/(home|root|work|tmp|Users|mnt|srv)\b", path.read_text()), path


def test_a_record_is_written_beside_its_place(tmp_path, monkeypatch):
    """A cache on another file system cannot be moved from."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "nowhere")
    assert records.load(runs.run().save("beside")).samples
    assert not paths.SCRATCH.exists()
    assert [path.name for path in paths.RESULTS.iterdir()] == ["beside.local.json"]
