import pytest
import toy_lab

from boxlab import paths


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Labs, the learner's copies, caches and scratch files in folders of the test's own."""
    for name, folder in {"LABS": "labs", "WORK": "work", "CACHE": "cache", "SCRATCH": "cache/scratch"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere")  # the toy lab needs no engine, and has none
    return tmp_path


@pytest.fixture
def toy(places):
    return toy_lab.make(places / "labs")
