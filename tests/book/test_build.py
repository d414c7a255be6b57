"""The build of the book fails when it should, says where, and runs no notebook twice without need."""

import importlib.util
import json
import os
import shutil

import command
import pytest

from boxlab import paths

CHAPTER = """# Startup

A {term}`kernel` and {measured}`answer`.

```{figure} assets/four-boxes.svg
:alt: Four boxes.

Four boxes.
```

{{ whose_results }}
"""

SPOILED = {
    "a missing picture": ("assets/four-boxes.svg", "assets/five-boxes.svg", 5, "five-boxes.svg"),
    "an unknown term": ("{term}`kernel`", "{term}`kernal`", 3, "kernal"),
    "a name that no notebook glues": ("{measured}`answer`", "{measured}`reply`", 3, "'reply'"),
    "a link to nowhere": ("A {term}", "[A](07-nowhere.md) {term}", 3, "07-nowhere.md"),
}

PAGES = {
    "book/index.md": "# Title\n",
    "book/06-startup.md": CHAPTER,
    "book/glossary.md": "# Glossary\n\n:::{glossary}\nkernel\n  A program.\n:::\n",
    "_toc.yml": """
format: jb-book
root: book/index
chapters:
  - file: book/06-startup
  - file: book/glossary
  - file: notebooks/06-startup
  - file: notebooks/07-memory
""",
}


@pytest.fixture
def project(tmp_path):
    """A small book with the project's own machinery, to be spoiled."""
    shutil.copy(paths.ROOT / "_config.yml", tmp_path)
    shutil.copytree(paths.ROOT / "tools", tmp_path / "tools")
    for name in ("assets", "extensions", "templates"):
        if (paths.ROOT / "book" / name).exists():
            shutil.copytree(paths.ROOT / "book" / name, tmp_path / "book" / name)
    shutil.copy(paths.ROOT / "book" / "references.bib", tmp_path / "book")
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / ".venv").symlink_to(paths.ROOT / ".venv")
    for slug in ("06-startup", "07-memory"):
        write_notebook(tmp_path, slug, "from myst_nb import glue\nglue('answer', '42', display=False)")
    return tmp_path


def write_notebook(project, slug, source):
    """A notebook of one cell, with the output that gluing stores; the cell also leaves a line in the file `ran`."""
    source = f"open('ran', 'a').write('{slug} ')\n{source}"
    glued = {
        "output_type": "display_data",
        "data": {"application/papermill.record/text/plain": "'42'"},
        "metadata": {"scrapbook": {"mime_prefix": "application/papermill.record/", "name": "answer"}},
    }
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1, "outputs": [glued], "source": source}
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": f"# {slug}"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [title, cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (project / "notebooks" / f"{slug}.ipynb").write_text(json.dumps(notebook))


def build(project, execute, but=()):
    environment = os.environ | {"EXECUTE": execute}
    return command.run(project / "tools" / "book.sh", env=environment, but=but)


def ran(project):
    """The notebooks that have run since the last call."""
    found = sorted(name for path in project.rglob("ran") for name in path.read_text().split())
    for path in project.rglob("ran"):
        path.unlink()
    return found


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_page_is_named_with_its_line(project, kind):
    good, bad, line, named = SPOILED[kind]
    assert good in CHAPTER
    (project / "book" / "06-startup.md").write_text(CHAPTER.replace(good, bad))
    built = build(project, "off")
    assert built.returncode == 1
    assert f"06-startup.md:{line}: " in built.stderr and named in built.stderr


def test_a_notebook_that_fails_is_named_with_its_line_the_first_time_and_the_second(project):
    write_notebook(project, "06-startup", "def breaks():\n    raise RuntimeError('a cell that breaks')\nbreaks()")
    for _ in range(2):
        built = build(project, "on", but=["Traceback (most recent call last)"])  # the cell's own
        assert built.returncode == 1
        assert "notebooks/06-startup" in built.stderr
        assert "a cell that breaks" in built.stderr and "line 4" in built.stderr


def test_without_an_engine_the_book_is_rendered_and_says_whose_results_it_shows(project, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    built = build(project, "auto")
    assert built.returncode == 0, built.stderr
    assert "no engine here" in built.stdout
    for page in ("book/06-startup.html", "notebooks/06-startup.html"):
        text = (project / "_build" / "html" / page).read_text()
        assert "measured by the authors on the machine named under each plot" in text
    assert ran(project) == []


def test_only_a_notebook_that_has_changed_runs_again(project):
    assert build(project, "on").returncode == 0
    assert ran(project) == ["06-startup", "07-memory"]
    assert build(project, "on").returncode == 0
    assert ran(project) == []
    write_notebook(project, "07-memory", "changed = True")
    built = build(project, "on")
    assert built.returncode == 0, built.stderr
    assert ran(project) == ["07-memory"]


def test_notebooks_run_again_when_the_library_or_an_image_changes(project, monkeypatch):
    spec = importlib.util.spec_from_file_location("measured", project / "book" / "extensions" / "measured.py")
    measured = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measured)
    (project / "src" / "boxlab" / "labs").mkdir(parents=True)
    (project / "images" / "base").mkdir(parents=True)
    keys = {measured.what_notebooks_use()}
    for path in ("src/boxlab/stats.py", "images/base/Dockerfile"):
        (project / path).write_text("changed")
        keys.add(measured.what_notebooks_use())
    monkeypatch.setenv("PROFILE", "paper")
    keys.add(measured.what_notebooks_use())
    assert len(keys) == 4
    (project / "src" / "boxlab" / "labs" / "runner.py").write_text("labs measure nothing that a notebook shows")
    assert measured.what_notebooks_use() in keys
