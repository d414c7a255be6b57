"""An experiment that is added to the catalogue is everywhere."""

import json
import os
import shutil
import sys

import pytest
from command import run

from boxlab import paths, records
from boxlab.errors import RecordError

MODULE = """
from boxlab.experiments import blocks

METRICS = {"guessed": {"unit": "s", "label": "a guess"}}
ARMS = {"crystal": "a crystal ball"}


def pretended(**options):
    def measure(run, sample):
        sample.values["guessed"] = 7.0

    arm = {"kind": "crystal", "emulated": False, "phases": {}, "details": {}}
    return blocks.run("pretended", [arm], measure, metrics=METRICS, measures="nothing", **options)
"""

LINE = 'EXPERIMENTS.append(Experiment("pretended", "What nobody has measured."))\n'

COMMAND = """
from boxlab import cli, experiments, provenance
host = {"cpu": "A processor", "cpus": 2, "kernel": "6.1", "is_virtual": True}
engine = {"version": "28", "storage_driver": "overlay2", "cgroup_version": "2"}
provenance.collect = lambda: {"host": host, "engine": engine, "images": {}, "code": {}}
cli.main()
"""


@pytest.fixture
def results(tmp_path):
    """Where records are kept by a copy of the library, to which an experiment was added as CONTRIBUTING says."""
    library = shutil.copytree(paths.ROOT / "src" / "boxlab", tmp_path / "src" / "boxlab")
    (library / "experiments" / "pretended.py").write_text(MODULE)
    with (library / "catalogue.py").open("a") as file:
        file.write(LINE)
    return tmp_path / "notebooks" / "results"


def boxlab(results, *arguments):
    environment = os.environ | {"PROFILE": "quick", "PYTHONPATH": str(results.parent.parent / "src")}
    return run(sys.executable, "-c", COMMAND, *arguments, env=environment)


def test_an_experiment_that_is_added_is_in_the_command_in_the_check_of_records_and_in_the_table(results):
    assert "What nobody has measured." in boxlab(results, "--help").stdout
    shown = boxlab(results, "pretended").stdout
    assert "pretended, profile quick" in shown and "a crystal ball" in shown and "7.00 s" in shown
    record = results / "pretended.local.json"
    assert json.loads(record.read_text())["experiment"] == "pretended"
    assert "a crystal ball" in boxlab(results, "compare", record, record).stdout


def test_a_record_of_one_that_is_not_there_is_refused(tmp_path):
    stored = json.loads((paths.RESULTS / "06-startup.json").read_text())
    (tmp_path / "foreign.json").write_text(json.dumps(stored | {"experiment": "pretended"}))
    with pytest.raises(RecordError, match="experiment must be one of"):
        records.load(tmp_path / "foreign.json")
