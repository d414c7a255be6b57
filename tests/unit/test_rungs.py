"""The Dockerfiles of chapter 08, and what the book's own record says of them."""

import importlib

import pytest

from boxlab import builder, paths, records
from boxlab.errors import BuildError

dockerfile = importlib.import_module("boxlab.experiments.dockerfile")  # the package has the function of that name


def test_each_rung_shows_what_the_chapter_says_of_it():
    run = records.load(paths.ROOT / "notebooks" / "results" / "08-dockerfile.json")
    first, ignored, ordered, removed, stages = run.arms
    assert [file.name.partition(".")[0] for file in dockerfile.rungs()] == run.arms
    size = {kind: run.median(kind, "unpacked").value for kind in run.arms}
    assert size[first] > size[ignored] + (dockerfile.DATA_MIB << 20) / 2
    assert size[removed] > size[ordered], "a layer more takes nothing away"
    assert size[stages] < size[ordered] / 10, "a package that is compiled makes stages pay"
    assert run.median(ordered).value < run.median(ignored).value / 3


@pytest.mark.parametrize(
    ("output", "tries"), [("ERROR: parent snapshot sha256:1 does not exist", 2), ("no such file", 1)]
)
def test_a_build_is_done_again_only_where_containerd_has_lost_a_snapshot(monkeypatch, tmp_path, output, tries):
    ends = [builder.Build(output, "failed", 1), builder.Build("", "", 2)]
    tried = []

    def build(*_arguments, **_options):
        tried.append(1)
        return ends[len(tried) - 1]

    monkeypatch.setattr(builder, "build", build)
    monkeypatch.setattr(dockerfile.engine, "labels", dict)
    if tries == 2:
        assert dockerfile.built(tmp_path, "tag", cached=True) == 2
    else:
        with pytest.raises(BuildError, match="no such file"):
            dockerfile.built(tmp_path, "tag", cached=True)
    assert len(tried) == tries
