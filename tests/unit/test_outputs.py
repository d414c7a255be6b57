"""What outputs depend on, and whether they still hold."""

import asyncio
import json
import re
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from boxlab import engine, outputs, paths, prose, provenance, records
from boxlab.errors import BoxlabError, EngineError
from boxlab.runtimes import accelerator

STORED = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))


class Engine:
    """An engine that answers."""

    def __init__(self):
        self.facts = {"version": "28.5.2", "storage_driver": "overlayfs", "cgroup_version": "2", "kernel": "6.1"}
        self.id = "one"
        self.runtimes = {"runc": {}}
        self.more = {}

    def info(self):
        return {"ID": self.id, "Runtimes": self.runtimes} | self.more

    def version(self):
        return {"Components": []}


@pytest.fixture
def answering(monkeypatch):
    found = Engine()
    monkeypatch.setattr(provenance, "engine_facts", lambda: dict(found.facts))
    monkeypatch.setattr(engine, "connect", lambda: found)
    return found


@pytest.fixture
def project(tmp_path, monkeypatch):
    for path in ("src/boxlab/stats.py", "src/boxlab/labs/runner.py", "images/base/Dockerfile", "requirements.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("as it was")
    monkeypatch.setenv(accelerator.OVERRIDE, "tcg")
    monkeypatch.delenv("PROFILE", raising=False)
    return tmp_path


@pytest.fixture
def key(project, answering):
    return lambda: outputs.key(outputs.circumstances(project))


@pytest.mark.parametrize("name", ["version", "storage_driver", "cgroup_version", "kernel"])
def test_another_engine_means_measuring_again(key, answering, name):
    before = key()
    answering.facts[name] = "another"
    assert key() != before


def test_an_equal_engine_elsewhere_means_measuring_again(key, answering):
    before = key()
    answering.id = "two"
    assert key() != before


def test_the_id_that_podman_makes_up_for_each_answer_does_not_count(key, answering):
    answering.more = {"BuildahVersion": "1.39.3"}
    before = key()
    answering.id = "two"
    assert key() == before


def test_without_an_engine_it_is_another_place(key, monkeypatch):
    def silent():
        raise EngineError("nothing answers")

    before = key()
    monkeypatch.setattr(provenance, "engine_facts", silent)
    assert key() != before


@pytest.mark.parametrize("name", ["cpu", "cpus", "kernel", "system", "python"])
def test_another_machine_means_measuring_again(key, monkeypatch, name):
    before, host = key(), provenance.host()
    monkeypatch.setattr(provenance, "host", lambda: host | {name: "another"})
    assert key() != before


def test_load_and_time_do_not(key, monkeypatch):
    before, host = key(), provenance.host()
    monkeypatch.setattr(provenance, "host", lambda: host | {"load_1min": 99.0})
    assert key() == before


@pytest.mark.parametrize("name, value", [(accelerator.OVERRIDE, "kvm"), ("PROFILE", "paper")])
def test_another_accelerator_or_profile_means_measuring_again(key, monkeypatch, name, value):
    before = key()
    monkeypatch.setenv(name, value)
    assert key() != before


def test_the_accelerator_that_was_proven_counts(key, monkeypatch):
    monkeypatch.delenv(accelerator.OVERRIDE)
    keys = set()
    for name in ("kvm", "tcg"):
        monkeypatch.setattr(accelerator, "cached", lambda name=name: accelerator.Accelerator(name, 1.0, "", "now"))
        keys.add(key())
    assert len(keys) == 2


@pytest.mark.parametrize("path", ["src/boxlab/stats.py", "images/base/Dockerfile", "requirements.txt"])
def test_the_library_an_image_and_the_locked_packages_mean_measuring_again(key, project, path):
    before = key()
    (project / path).write_text("changed")
    assert key() != before


def test_labs_measure_nothing_that_a_notebook_shows(key, project):
    before = key()
    (project / "src/boxlab/labs/runner.py").write_text("changed")
    assert key() == before


@pytest.fixture
def ran(tmp_path):
    """A stored notebook, and the folder in which it ran."""
    path, folder = tmp_path / STORED[0].name, tmp_path / "measured"
    folder.mkdir()
    shutil.copy(STORED[0], path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="measured here")]
    notebook.metadata[outputs.MEASURED]["machine"] = "this machine"
    outputs.save(notebook, folder / path.name)
    return path, folder


def change(path, kind, text):
    notebook = json.loads(path.read_text())
    next(cell for cell in notebook["cells"] if cell["cell_type"] == kind)["source"] = text
    path.write_text(json.dumps(notebook))


def test_outputs_that_were_measured_here_take_the_place_of_the_stored_ones(ran):
    path, folder = ran
    assert outputs.holds(path, folder)
    notebook = outputs.load(path, folder)
    assert notebook["cells"][1]["outputs"][0]["text"] == ["measured here"]
    assert notebook["metadata"][outputs.MEASURED]["machine"] == "this machine"
    assert outputs.load(path) == json.loads(path.read_text())


def test_outputs_hold_while_only_the_text_changes(ran):
    path, folder = ran
    change(path, "markdown", "# Said better")
    assert outputs.holds(path, folder)
    assert outputs.load(path, folder)["cells"][0]["source"] == "# Said better"


def test_outputs_do_not_hold_when_the_code_changes(ran):
    path, folder = ran
    change(path, "code", "1 + 1")
    assert not outputs.holds(path, folder)
    assert outputs.load(path, folder) == outputs.load(path)


@pytest.mark.parametrize("text", ["", "{"])
def test_half_a_file_is_none(ran, text):
    path, folder = ran
    (folder / path.name).write_text(text)
    assert not outputs.holds(path, folder)


def glued_by(path):
    """What a stored notebook hands to the pages, by name."""
    return {
        output.metadata.scrapbook.name: output.data.get("application/papermill.record/text/plain", "").strip("'")
        for cell in outputs.code_cells(nbformat.read(path, as_version=4))
        for output in cell.outputs
        if "scrapbook" in output.get("metadata", {})
    }


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_a_chapter_quotes_was_measured_where_the_outputs_were_stored(path):
    """But for gVisor, which Debian has no package of."""
    page, glued = (paths.ROOT / "book" / f"{path.stem}.md").read_text(), glued_by(path)
    quoted = set(re.findall(r"\{measured\}`([^`]+)`", page)) & glued.keys()
    assert quoted
    missing = {name for name in quoted if glued[name] in (prose.NOT_MEASURED, "not seen here")}
    assert {name for name in missing if "gvisor" not in name} == set()


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_outputs_say_on_what_they_were_measured(path):
    """As their own captions and records do."""
    facts, glued = outputs.measured(path), glued_by(path)
    stored = [p for p in paths.RESULTS.glob(f"{path.stem[:2]}-*.json") if not p.stem.endswith(".local")]
    assert glued.keys() >= {"machine", "accelerator"} or not stored
    assert glued.get("machine", facts["machine"]) == facts["machine"]
    assert glued.get("accelerator") in (facts["accelerator"], "nothing: no virtual machine ran here", None)
    for run in map(records.load, stored):
        assert (provenance.in_words(run.provenance), run.profile) == (facts["machine"], facts["profile"])
        assert run.created >= facts["created"]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_outputs_say_that_nothing_was_left(path):
    """What an earlier run had left would be shown, and be no part of the notebook."""
    cells = [
        cell for cell in outputs.code_cells(nbformat.read(path, as_version=4)) if "sweep.leftovers()" in cell.source
    ]
    assert [cell.outputs[0].data["text/plain"] for cell in cells] == ["[]"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "no further process is allowed"),
        (RuntimeError("Kernel died before replying to kernel_info"), "its kernel ended"),
        (DeadKernelError("Kernel died"), "its kernel ended"),
    ],
)
def test_a_kernel_has_ended_only_where_it_has(tmp_path, monkeypatch, error, said):
    class Client:
        kc = None

        def create_kernel_manager(self):
            return SimpleNamespace(has_kernel=False)

        async def async_start_new_kernel(self, **_options):
            raise error

    with pytest.raises(BoxlabError) as caught, (tmp_path / "said").open("w+b") as printed:
        asyncio.run(outputs._execute(Client(), tmp_path / "01-x.ipynb", {}, lambda: None, printed))
    assert said in str(caught.value)
