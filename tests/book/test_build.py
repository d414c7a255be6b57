"""The book can be read at once and at any time, fails when it should, says where, and runs no notebook without need."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import command
import psutil
import pytest

from boxlab import outputs, paths, waiting

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
    "an unknown term": ("{term}`kernel`", "{term}`colonel`", 3, "colonel"),
    "a name that no notebook glues": ("{measured}`answer`", "{measured}`reply`", 3, "'reply'"),
    "a link to nowhere": ("A {term}", "[A](07-nowhere.md) {term}", 3, "07-nowhere.md"),
}

PAGES = {
    "book/index.md": "# Title\n\n{{ whose_results }}\n",
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
    """A small book with the project's own machinery, to be spoiled, in a folder with a difficult name."""
    root = tmp_path / """a $HOME, 'b' "c" """.strip()
    root.mkdir()
    shutil.copy(paths.ROOT / "_config.yml", root)
    shutil.copytree(paths.ROOT / "tools", root / "tools")
    for name in ("assets", "extensions", "templates"):
        shutil.copytree(paths.ROOT / "book" / name, root / "book" / name)
    shutil.copy(paths.ROOT / "book" / "references.bib", root / "book")
    for name, text in PAGES.items():
        (root / name).write_text(text)
    (root / "notebooks").mkdir()
    (root / ".venv").symlink_to(paths.ROOT / ".venv")
    for slug in ("06-startup", "07-memory"):
        write_notebook(root, slug, "from myst_nb import glue\nglue('answer', '42', display=False)")
    return root


def write_notebook(project, slug, source):
    """A notebook of one cell, with the output that gluing stores; the cell also leaves a line in the file `ran`."""
    source = f"open('ran', 'a').write('{slug} ')\n{source}"
    glued = {
        "output_type": "display_data",
        "data": {"application/papermill.record/text/plain": "'stored'"},
        "metadata": {"scrapbook": {"mime_prefix": "application/papermill.record/", "name": "answer"}},
    }
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1, "outputs": [glued], "source": source}
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": f"# {slug}"}
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "measured": {
            "created": "2026-01-02T03:04:05+00:00",
            "seconds": 90.0,
            "profile": "class",
            "machine": "an old machine; Docker Engine 20.10, overlay2, cgroup v1",
            "accelerator": "KVM",
        },
    }
    notebook = {"cells": [title, cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (project / "notebooks" / f"{slug}.ipynb").write_text(json.dumps(notebook))


def environment(execute):
    return {name: value for name, value in os.environ.items() if name != "BOOK_OUT"} | {"EXECUTE": execute}


def build(project, execute, *wrapper, but=()):
    return command.run(*wrapper, project / "tools" / "book.sh", env=environment(execute), but=but)


def ran(project):
    """The notebooks that have run since the last call."""
    found = sorted(name for path in project.rglob("ran") for name in path.read_text().split())
    for path in project.rglob("ran"):
        path.unlink()
    return found


def page(project, name):
    return (project / "_build" / "html" / f"{name}.html").read_text()


def processes(project):
    """Those that have the project's folder as theirs, such as its kernels."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(project)):
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone meanwhile
    return found


def as_a_whole(project, options):
    """What to put before a command so that its `_build` is a file system of its own."""
    (project / "_build").mkdir()
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = f'mount -t tmpfs -o {options} tmpfs "$1" && shift && exec "$@"'
    return ["unshare", *root, "--mount", "sh", "-c", script, "sh", project / "_build"]


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_page_is_named_with_its_line(project, kind):
    good, bad, line, named = SPOILED[kind]
    assert good in CHAPTER
    (project / "book" / "06-startup.md").write_text(CHAPTER.replace(good, bad))
    built = build(project, "off")
    assert built.returncode == 1
    assert f"06-startup.md:{line}: " in built.stderr and named in built.stderr
    assert not (project / "_build" / "html").exists()


def test_without_an_engine_the_book_is_rendered_and_says_whose_results_it_shows(project, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    built = build(project, "auto")
    assert built.returncode == 0, built.stderr
    assert "no engine here" in built.stdout
    for name in ("book/06-startup", "notebooks/06-startup"):
        text = page(project, name)
        assert "measured by the authors, not on your machine" in text
        assert (
            "an old machine; Docker Engine 20.10, overlay2, cgroup v1; VMs by KVM (profile class, 2026-01-02 03:04 UTC)"
            in text
        )
    assert "stored" in page(project, "book/06-startup")
    assert ran(project) == []


def test_a_book_is_read_at_once_then_measured_and_goes_on_when_interrupted(project):
    """And what has not changed neither runs nor is rendered again."""
    waits = "import time\nfrom pathlib import Path\nPath('waits').touch()\ntry:\n    time.sleep(600)\nfinally:\n    Path('ended').touch()"
    write_notebook(project, "07-memory", waits)
    deaf = [
        sys.executable,
        "-c",
        "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])",
    ]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        (project / "notebooks" / "waits").unlink(missing_ok=True)
        (project / "notebooks" / "ended").unlink(missing_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*deaf, project / "tools" / "book.sh"], env=environment("on"), **pipes) as building:
            while not (project / "notebooks" / "waits").exists():
                assert building.poll() is None, building.stderr.read()
                time.sleep(0.05)
            building.send_signal(number)
            printed, complained = building.communicate()
        if number == signal.SIGKILL:
            psutil.wait_procs(processes(project))  # a kernel ends by itself when it has nobody any more
            break
        assert building.returncode == 130
        assert complained == "book: interrupted; the next `make book` goes on where it was\n"
        assert (project / "notebooks" / "ended").exists()
        waiting.until(lambda: not processes(project))
        assert not (project / "_build" / "tmp").exists()
        if number == signal.SIGTERM:
            assert re.search(
                r"can be read: with the stored outputs, measured by the authors\n"
                r"book: measuring 2 of 2 notebooks, one after the other; about 3 min left\n"
                r"book: 1 of 2 measured, notebooks/06-startup \(\d\d:\d\d\); about \d+ min left\n",
                printed,
            )
            assert ran(project) == ["06-startup", "07-memory"]
        else:
            assert ran(project) == ["07-memory"]
    assert ran(project) == ["07-memory"]
    for name in ("book/06-startup", "notebooks/06-startup"):
        assert "Measured on this machine when the book was built" in page(project, name)
    assert "42" in page(project, "book/06-startup")
    assert "measured by the authors, not on your machine" in page(project, "notebooks/07-memory")
    assert "Measured on this machine so far: 1 of 2 notebooks" in page(project, "book/index")

    write_notebook(project, "07-memory", "changed = True")
    built = build(project, "on")
    assert built.returncode == 0, built.stderr
    assert ran(project) == ["07-memory"]
    assert "measured by the authors" not in page(project, "book/index")

    built = build(project, "on")
    assert built.returncode == 0 and "nothing has changed" in built.stdout
    assert ran(project) == []


def test_one_notebook_can_be_measured_alone(project):
    words = [project / "tools" / "book.sh", "measure"]
    measured = command.run(*words, "notebooks/06-startup.ipynb", env=environment("on"))
    assert measured.returncode == 0 and "1 of 1 measured" in measured.stdout, measured.stderr
    assert ran(project) == ["06-startup"]
    assert "measured by the authors, not on your machine" in page(project, "notebooks/07-memory")
    assert command.run(*words, env=environment("on")).returncode == 2


def test_a_notebook_that_fails_is_named_with_its_line_and_the_others_go_on(project):
    write_notebook(project, "06-startup", "def breaks():\n    raise RuntimeError('a cell that breaks')\nbreaks()")
    named = "notebooks/06-startup, cell 'a', line 4: RuntimeError: a cell that breaks"
    for others in (["06-startup", "07-memory"], ["06-startup"]):
        built = build(project, "on")
        assert built.returncode == 1
        assert named in built.stderr and "Traceback" not in built.stderr
        assert "1 of 2 measured, notebooks/06-startup failed" in built.stdout or others == ["06-startup", "07-memory"]
        assert ran(project) == others
    text = page(project, "notebooks/06-startup")
    assert "Measuring on this machine failed: notebooks/06-startup, cell" in text and "Stored results" in text
    assert "Measured on this machine" not in text and "Measured on this machine" in page(project, "notebooks/07-memory")
    assert "stored" in page(project, "book/06-startup")


def test_what_a_cell_has_shown_is_waited_for_when_it_comes_late(project):
    """As on a busy machine, where what is shown arrives long after the cell has ended."""
    source = (
        "import sys, time\n"
        "sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0\n"
        "get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(8))\n"
        "display('late')"
    )
    write_notebook(project, "06-startup", source)
    found = {"engine": None, "profile": "class", "accelerator": None}
    notebook = outputs.run(project / "notebooks" / "06-startup.ipynb", found, dict(os.environ))
    assert [output.data["text/plain"] for output in notebook.cells[1].outputs] == ["'late'"]


@pytest.mark.parametrize("options, said", [("ro", "Read-only file system"), ("size=16k", "No space left on device")])
def test_where_nothing_can_be_written_the_path_is_named_with_a_fix(project, options, said):
    built = build(project, "off", *as_a_whole(project, options))
    assert built.returncode == 3, built.stderr
    complaint, fix = built.stderr.splitlines()
    assert complaint.startswith("book: ") and f"{project}/_build" in complaint and complaint.endswith(said)
    assert fix.startswith("  fix: ")


def test_texts_to_translate_are_had_after_a_build_and_leave_it(project):
    assert build(project, "off").returncode == 0
    rendered = page(project, "book/06-startup")
    for _ in range(2):
        written = command.run(project / "tools" / "book.sh", "texts", env=environment("off"))
        assert written.returncode == 0, written.stderr
    catalogs = project / "_build" / "texts" / "_build" / "gettext"
    assert 'msgid "Four boxes."' in (catalogs / "book.pot").read_text()
    assert "nothing has changed" not in written.stdout and page(project, "book/06-startup") == rendered
    assert build(project, "off").returncode == 0


def test_tests_render_beside_the_readers_book(project):
    (project / "_build" / "html").mkdir(parents=True)
    (project / "_build" / "html" / "index.html").write_text("measured here")
    environment_ = environment("off") | {"BOOK_OUT": "_build/test"}
    built = subprocess.run([project / "tools" / "book.sh"], env=environment_, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (project / "_build" / "test" / "html" / "book" / "index.html").exists()
    assert [path.name for path in (project / "_build").iterdir() if path.name != "test"] == ["html"]
    assert (project / "_build" / "html" / "index.html").read_text() == "measured here"


@pytest.fixture
def book(project, monkeypatch):
    """The script as a module, for its parts."""
    monkeypatch.delenv("BOOK_OUT", raising=False)
    spec = importlib.util.spec_from_file_location("book", project / "tools" / "book.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readers_pages_are_replaced_as_whole_files(book, project):
    """Whoever has one open keeps what was there; what is not there any more goes."""
    rendered = project / "rendered"
    (rendered / "book").mkdir(parents=True)
    book.TEMPORARY.mkdir(parents=True)
    for text in ("before", "after, and longer"):
        (rendered / "book" / "index.html").write_text(text)
        (rendered / f"{len(text)}.html").write_text(text)
        if text == "before":
            book.publish(rendered)
            reading = (book.HTML / "book" / "index.html").open()
            (rendered / f"{len(text)}.html").unlink()
    book.publish(rendered)
    with reading:
        assert reading.read() == "before"
    assert (book.HTML / "book" / "index.html").read_text() == "after, and longer"
    assert sorted(path.name for path in book.HTML.rglob("*.html")) == ["17.html", "index.html"]


def test_of_old_outputs_few_are_kept(book):
    folders = [book.keep(book.MEASURED / str(number)) for number in range(book.KEPT + 3)]
    assert not folders[0].exists() and folders[-1].exists()
    assert len(list(book.MEASURED.iterdir())) == book.KEPT


def test_the_time_left_is_known_from_this_machine_once_a_notebook_ran_here(book, project):
    path = project / "notebooks" / "06-startup.ipynb"
    assert book.expected_s(path, "class") == 90
    folder = book.keep(book.MEASURED / "here")
    ran = json.loads(path.read_text())
    ran["metadata"]["measured"] |= {"seconds": 12.0, "profile": "quick"}
    (folder / path.name).write_text(json.dumps(ran))
    assert (book.expected_s(path, "quick"), book.expected_s(path, "class")) == (12, 90)
    assert (book.left(0), book.left(1), book.left(61), book.clock(72)) == (
        "none left",
        "about 1 min left",
        "about 2 min left",
        "01:12",
    )
