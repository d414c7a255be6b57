"""The Dockerfiles of chapters 08 and 11, and what the book's own records say of them."""

import contextlib
import importlib
import re

import pytest

from boxlab import builder, images, layers, paths, records
from boxlab.errors import BoxlabError, BuildError, NotReady

# The package has the functions of these names.
dockerfile, edit, learning = (
    importlib.import_module(f"boxlab.experiments.{name}") for name in ("dockerfile", "edit", "learning")
)


def test_each_rung_shows_what_the_chapter_says_of_it():
    run = records.load(paths.ROOT / "notebooks" / "results" / "08-dockerfile.json")
    first, ignored, ordered, removed, stages = run.arms
    assert [file.name.partition(".")[0] for file in dockerfile.rungs()] == run.arms
    size = {kind: run.median(kind, "unpacked").value for kind in run.arms}
    assert size[first] > size[ignored] + (dockerfile.DATA_MIB << 20) / 2
    assert size[removed] > size[ordered], "a layer more takes nothing away"
    assert size[stages] < size[ordered] / 10, "a package that is compiled makes stages pay"
    assert run.median(ordered).value < run.median(ignored).value / 3


def test_each_image_for_machine_learning_is_smaller_and_gives_the_same_answer():
    run = records.load(paths.ROOT / "notebooks" / "results" / "11-learning.json")
    assert [file.name.partition(".")[0] for file in sorted(learning.FOLDER.glob("*.Dockerfile"))] == run.arms
    for metric in ("unpacked", "compressed"):
        sizes = [run.median(kind, metric).value for kind in run.arms]
        assert sizes == sorted(sizes, reverse=True)
    assert len({sample.notes["answer"] for sample in run.samples if sample.round}) == 1
    bytecode, none, numpy = (run.median(kind, "run").value for kind in run.arms[2:])
    assert numpy < bytecode < none


def test_an_edit_makes_new_what_lies_below_it_and_only_for_env_do_the_builders_differ():
    run = records.load(paths.ROOT / "notebooks" / "results" / "11-edit.json")
    below = {"env": 4, "workdir": 4, "requirements": 3, "run": 2, "program": 1, "command": 0}
    new = {f"{line}-{name}": count for line, count in below.items() for name in ("buildkit", "classic")}
    assert {kind: run.median(kind, "layers").value for kind in run.arms} == new | {"env-buildkit": 2}


def test_what_is_built_stands_on_this_checkouts_own_images(tmp_path):
    """Another checkout may move the names for people at any time."""
    edit.lay_out(tmp_path / "edit", {})
    for kind in learning.ARMS:
        learning._lay_out(tmp_path / kind, kind)
    files = list(tmp_path.glob("*/Dockerfile"))
    named = {name for file in files for name in re.findall(rf"{images.PREFIX}\S+", file.read_text())}
    assert len(files) == 1 + len(learning.ARMS)
    assert named == {images.own(name) for name in ("base", "compiler", "wheels")}


@pytest.mark.parametrize(
    ("output", "tries"), [("ERROR: parent snapshot sha256:1 does not exist", 2), ("no such file", 1)]
)
@pytest.mark.parametrize("timed", [False, True])
def test_a_build_is_done_again_only_where_containerd_has_lost_a_snapshot(monkeypatch, tmp_path, output, tries, timed):
    ends = [builder.Build(output, "failed", 1), builder.Build("", "", 2)]
    tried = []

    def build(*_arguments, **_options):
        tried.append(1)
        return ends[len(tried) - 1]

    monkeypatch.setattr(builder, "build", build)
    monkeypatch.setattr(dockerfile.engine, "labels", dict)
    if tries == 2 and timed:
        with pytest.raises(NotReady, match="in the cache"):
            dockerfile.built(tmp_path, "tag", timed=True)
    elif tries == 2:
        assert dockerfile.built(tmp_path, "tag", cached=True) == 2
    else:
        with pytest.raises(BuildError, match="no such file"):
            dockerfile.built(tmp_path, "tag", cached=True)
    assert len(tried) == tries


def test_what_an_edit_makes_new_is_noted_of_each_arms_first_build_that_is_no_failure(monkeypatch, tmp_path):
    ready = {kind: edit.Edited(kind.partition("-")[0], builder.Way.BUILDX) for kind in ("env-buildkit", "run-buildkit")}
    tags = [images.passing(f"edit-{kind}") for kind in ready]
    lost, was, samples = [NotReady("repeated")], {}, []

    def built(*_arguments, timed, **_options):
        if lost and timed:
            raise lost.pop()
        return 2.0

    new = layers.Layer("new", 3, 2, 3, tuple(tags))
    monkeypatch.setattr(edit, "built", built)
    monkeypatch.setattr(edit, "lay_out", lambda *_: None)
    monkeypatch.setattr(edit.layers, "hashes", lambda _tag: ["old"])
    monkeypatch.setattr(edit.layers, "layers", lambda *_tags, without: [new])
    for number in (1, 2):
        for kind in ready:
            sample = records.Sample(kind, number, 0, False)
            with contextlib.suppress(NotReady):
                edit._measure(tmp_path, ready, was, None, sample)
                samples.append(sample)
    assert [(s.arm, s.round, s.values.get("layers")) for s in samples] == [
        ("run-buildkit", 1, 1),
        ("env-buildkit", 2, 1),
        ("run-buildkit", 2, None),
    ]


@pytest.mark.parametrize(
    ("output", "trouble", "says", "fix"),
    [
        ("pip: OSError: [Errno 28] No space left on device", "failed", "the disk is full", "docker system df"),
        ("#7 RUN pip install x", "late", "it printed nothing for 900 s after: #7 RUN pip", "restart the engine"),
        ("Temporary failure in name resolution", "failed", "did not reach the network", "network there?"),
        ("SyntaxError: invalid syntax", "failed", "tag does not build: SyntaxError", "the line of its Dockerfile"),
    ],
)
def test_a_build_that_fails_is_told_with_its_own_reason(monkeypatch, tmp_path, output, trouble, says, fix):
    monkeypatch.setattr(builder, "build", lambda *_arguments, **_options: builder.Build(output, trouble, 1))
    monkeypatch.setattr(builder, "proxies", dict)
    with pytest.raises(BoxlabError) as caught:
        dockerfile.built(tmp_path, "tag")
    assert says in caught.value.args[0] and fix in caught.value.fix
