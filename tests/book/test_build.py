"""The build of the book fails when it should, and never twice differently."""

import importlib.util
import json
import os
import shutil
import subprocess

import pytest

from boxlab import paths

FAILING = [
    ("raise RuntimeError('a cell that breaks')", "on", "a cell that breaks"),
    ("pass", "off", "Glue reference 'container_median' not found in doc 'notebooks/06-startup'"),
]


TOC = """
format: jb-book
root: book/index
chapters:
  - file: book/06-startup
    sections:
      - file: notebooks/06-startup
  - file: book/references
"""


@pytest.fixture
def project(tmp_path):
    """The project's book in a folder of its own, with one notebook, to be spoiled."""
    shutil.copy(paths.ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text(TOC)
    for name in ("book", "tools"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / ".venv").symlink_to(paths.ROOT / ".venv")
    return tmp_path


def write_notebook(project, source):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# Startup"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [title, cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (project / "notebooks" / "06-startup.ipynb").write_text(json.dumps(notebook))


def build(project, execute):
    environment = os.environ | {"EXECUTE": execute}
    return subprocess.run([project / "tools" / "book.sh"], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("source", "execute", "complaint"), FAILING, ids=["a notebook that fails", "a glued name that no notebook provides"]
)
def test_a_spoiled_book_is_not_rendered_the_first_time_nor_the_second(project, source, execute, complaint):
    write_notebook(project, source)
    for _ in range(2):
        built = build(project, execute)
        assert built.returncode == 1
        assert complaint in built.stderr
        assert "06-startup" in built.stderr


def test_a_missing_picture_is_named_with_its_line(project):
    shutil.copy(paths.ROOT / "notebooks" / "06-startup.ipynb", project / "notebooks")
    chapter = project / "book" / "06-startup.md"
    chapter.write_text(chapter.read_text().replace("four-boxes.svg", "five-boxes.svg"))
    built = build(project, "off")
    assert built.returncode == 1
    assert "five-boxes.svg" in built.stderr and "06-startup.md:" in built.stderr


def test_without_an_engine_the_book_is_rendered_and_says_whose_results_it_shows(project, monkeypatch):
    shutil.copy(paths.ROOT / "notebooks" / "06-startup.ipynb", project / "notebooks")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    built = build(project, "auto")
    assert built.returncode == 0, built.stderr
    assert "no engine here" in built.stdout
    for page in ("book/06-startup.html", "notebooks/06-startup.html"):
        assert (
            "measured by the authors on the machine named under each plot"
            in (project / "_build" / "html" / page).read_text()
        )


def test_notebooks_run_again_when_the_library_or_an_image_changes(project, monkeypatch):
    spec = importlib.util.spec_from_file_location("measured", project / "book" / "extensions" / "measured.py")
    measured = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measured)
    (project / "src" / "boxlab").mkdir(parents=True)
    (project / "images" / "base").mkdir(parents=True)
    keys = {measured.what_notebooks_use()}
    for path in ("src/boxlab/stats.py", "images/base/Dockerfile"):
        (project / path).write_text("changed")
        keys.add(measured.what_notebooks_use())
    monkeypatch.setenv("PROFILE", "paper")
    keys.add(measured.what_notebooks_use())
    assert len(keys) == 4
