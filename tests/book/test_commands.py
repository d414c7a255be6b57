"""Pages show commands with what a notebook has printed, in a form that every reader's shell takes; and what they ask."""

import json
import re
import shutil
import sys

import command
import nbformat
import pytest
from bs4 import BeautifulSoup

from boxlab import paths, transcript

PROSE = sorted([*(paths.ROOT / "book").glob("*.md"), *(paths.ROOT / "labs").glob("*/README.md")])
NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))

SHELLS = ("bash", "zsh", "Git Bash", "PowerShell", "Linux")
"""What a tab's name begins with that may hold what only that shell, or system, takes."""

NOT_EVERYWHERE = {
    r"\$\(": "$(…): name what you need, or ask for it by a filter",
    r"\$\{?[A-Za-z_]": "a variable of the shell: write out what it stands for; a path can be relative",
    r"`": "a backquote means something else in each shell",
    r"\\$": "a backslash goes on only in some shells: one line",
    r"&&|\|\|": "&& and || are not in every PowerShell: a line each",
    r"<<": "a here-document: put it into a file",
    r"^(export|set) |^\w+=\S* \w": "each shell sets variables in its own way",
    r"\\\"": "a quote in quotes: use the other kind",
    r"^(ls|du|df|wc|sort|head|tail|date|cp|rm|mkdir) [^|]*--\w": "long options are GNU's: macOS has the short ones of POSIX",
    r"^(sha256sum|md5sum|numfmt|nproc|free|truncate|tac|shuf|stat|readlink)\b": "not on macOS, or with other options",
}
"""What works only in some of bash, zsh, Git Bash and PowerShell, or only with GNU's programs, and what to write instead."""


def commands(page: str) -> list[tuple[int, str]]:
    """Line and text of each command that a page gives every reader: in transcripts and blocks of a shell's language."""
    found, tabs, block = [], [], None
    for number, line in enumerate(page.splitlines(), 1):
        fence = re.match(r"\s*(`{3,}|:{3,})(.*)", line)
        text = line.strip()
        if block is not None:
            if fence and fence[1] == block and not fence[2].strip():
                block = None
            elif text and not text.startswith((":", "#")) and not any(tabs):
                found.append((number, text.removeprefix("$ ")))
        elif fence and re.match(r"\{transcript\}|(?:bash|zsh|sh|shell)\b|console|powershell", fence[2].strip()):
            block = fence[1]
        elif fence and fence[2].strip():
            tab = re.match(r"\{tab-item\}\s*(.*)", fence[2].strip())
            tabs.append(bool(tab and tab[1].startswith(SHELLS)))
        elif fence and tabs:
            tabs.pop()
    return found


def complaints(listed: list[tuple[int, str]]) -> list[str]:
    return [
        f"{number}: {line}: {why}"
        for number, line in listed
        for pattern, why in NOT_EVERYWHERE.items()
        if re.search(pattern, line)
    ]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.parent.name + "/" + path.name)
def test_commands_work_in_every_shell(path):
    assert complaints(commands(path.read_text())) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_pages_may_show_of_a_notebook_works_in_every_shell(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    shells = [cell for cell in cells if cell.startswith((f"%%{transcript.MAGIC}", f"%%{transcript.TERMINAL}"))]
    assert complaints([(0, command) for cell in shells for command, _ in transcript.commands(cell)]) == []


def test_the_checker_finds_what_only_some_shells_take():
    page = """
```{transcript} name
$ docker run --rm -v $PWD:/work py ls
$ docker stop $(docker ps -q)
$ docker ps --format "{{.Names}}"
```
````{tab-set}
```{tab-item} PowerShell
    not a block
```
````
:::{tab-item} bash
```bash
docker run \\
  py
```
:::
```console
docker ps && docker images
ls -sh --si model.tar
```
```python
"$HOME"
```
"""
    assert [number for number, _ in commands(page)] == [3, 4, 5, 19, 20]
    assert [line.split(":")[0] for line in complaints(commands(page))] == ["3", "4", "19", "20"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_hides_its_value_by_a_semicolon(path):
    """nbval, which runs the notebooks as tests, does not keep a history, and without one IPython shows the value."""
    cells = [cell.source.rstrip() for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell for cell in cells if cell.endswith(";")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_container_that_later_cells_use_is_still_there_for_whoever_reads_in_between(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    programs = "\n".join(re.findall(r"(?s)'''(.*?)'''", "\n".join(cells)))
    assert not re.search(r"(?m)^time\.sleep\(\d+\)$", programs), "a program in a file that ends by itself"
    for number, cell in enumerate(cells):
        for name in re.findall(r"(?m)docker run [^\n]*--name (\S+)[^\n]*\bsleep[ (]\d{3,}", cell):
            removed = re.search(rf"docker rm [^\n]*\b{name}\b", cell)
            later = [each for each in cells[number + 1 :] if re.search(rf"docker [^\n]*\b{name}\b", each)]
            assert removed or not later, f"{name}: sleep infinity"


def test_at_least_two_thirds_of_a_notebooks_cells_can_be_used_without_this_project():
    for path in NOTEBOOKS:
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        imported = set(re.findall(r"from boxlab(?:\.\w+)? import (.+)", "\n".join(cells)))
        names = {name.strip() for line in imported for name in line.split(",")}
        ours = [
            cell
            for cell in cells
            if re.search(r"\bboxlab\.\w|\bboxlab import|" + "|".join(rf"\b{n}[.(]" for n in names), cell)
        ]
        assert 3 * len(ours) <= len(cells), (path.name, len(ours), len(cells))


CELLS = {
    "kept": (
        "%%shell\necho one\nls nowhere   # fails: status 2\necho one",
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {
                "text/plain": "…",
                transcript.MIME: {
                    "steps": [
                        {"command": "echo one", "output": "\x1b[1mone\x1b[0m\n", "status": 0},
                        {"command": "ls nowhere", "output": "No such file\n", "status": 2},
                        {"command": "echo one", "output": "one again\n", "status": 0},
                    ]
                },
            },
        },
    ),
    "python": ("print(1)", {"output_type": "stream", "name": "stdout", "text": "1\n"}),
    "never-ran": ("%%shell\ntrue", None),
}

ASKS = """
```{guess} start
How long?

- a process
- a container
```

```{answer} start
| | measured |
|---|---|
| process | 20 ms |
| container | 300 ms |
```

```{choice} Which *one*?
:right: 2

- The first.

  No.

- The second.

  Right.
```
"""


PAGES = {
    "some": "```{transcript} kept\n$ echo one\n$ ls nowhere   # fails: status 2\n```",
    "order": "```{transcript} kept\n$ ls nowhere\n$ echo one\n```",
    "all": "```{transcript} kept\n```\n\n```{transcript} python\n```",
    "asks": ASKS,
}
MISTAKES = {
    "lost": ("```{transcript} lost\n```", "no cell 'lost'"),
    "typed": ("```{transcript} kept\n$ echo two\n```", "does not run `echo two`"),
    "twice": ("```{transcript} kept\n$ ls nowhere\n$ ls nowhere\n```", "does not run `ls nowhere` there"),
    "never-ran": ("```{transcript} never-ran\n```", "has no output"),
    "python": ("```{transcript} python\n$ print(1)\n```", "no cell of commands"),
    "unasked": ("```{answer} start\n| a |\n|---|\n| b |\n```", "asks for the guess 'start'"),
    "unequal": (ASKS.replace("| process | 20 ms |\n", ""), "asks for 2 times, and this table has 1"),
    "no-right": (ASKS.replace(":right: 2", ":right: 3"), "which of the 2 options"),
    "unexplained": (ASKS.replace("  Right.\n", ""), "option 2 has no explanation"),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """All these pages, each beside a notebook of a few cells, and what was complained of."""
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(paths.ROOT / "book" / "extensions", root / "book" / "extensions")
    (root / "notebooks").mkdir()
    cells = [
        {"cell_type": "code", "id": name, "metadata": {}, "execution_count": 1, "source": source}
        | {"outputs": [output] if output else []}
        for name, (source, output) in CELLS.items()
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    for name, text in (
        PAGES | {name: text for name, (text, _) in MISTAKES.items()} | {"plain": "Asks nothing."}
    ).items():
        (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook))
        (root / "book" / f"{name}.md").write_text(f"---\norphan: true\n---\n# Tiny\n\n{text}\n")
    (root / "conf.py").write_text(
        "import sys\n"
        "sys.path.insert(0, 'book/extensions')\n"
        "extensions = ['myst_nb', 'transcripts', 'practice']\n"
        "root_doc, html_theme, nb_execution_mode = 'book/plain', 'basic', 'off'\n"
        "exclude_patterns = ['notebooks', 'out']\n"
    )
    done = command.run(sys.executable, "-m", "sphinx", "-qN", root, root / "out", cwd=root)
    pages = {path.stem: BeautifulSoup(path.read_text(), "html.parser") for path in (root / "out/book").glob("*.html")}
    return pages, done.stderr


def test_a_page_shows_commands_with_what_they_printed(rendered):
    page = rendered[0]["some"]
    blocks = page.select(".transcript pre")
    assert [block.get_text() for block in blocks] == ["echo one\n", "one\n", "ls nowhere\n", "No such file\n"]
    assert [bool(block.find_parent(class_="output")) for block in blocks] == [False, True] * 2
    assert page.select_one(".transcript .status").get_text() == "(exit status 2)"


def test_commands_are_taken_in_the_cells_order(rendered):
    assert "one again" in rendered[0]["order"].get_text()
    assert "one again" not in rendered[0]["some"].get_text()


def test_an_empty_directive_shows_all_and_of_python_the_code(rendered):
    page = rendered[0]["all"]
    assert len(page.select(".transcript .command")) == 4
    assert [block.get_text() for block in page.select(".transcript")[1].select("pre")] == ["print(1)\n", "1\n"]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_page_is_named(rendered, name):
    said = [line for line in rendered[1].splitlines() if f"{name}.md:" in line]
    assert any(MISTAKES[name][1] in line for line in said), rendered[1]


def test_a_page_without_a_mistake_is_not_complained_of(rendered):
    assert [line for line in rendered[1].splitlines() if re.search(rf"/({'|'.join(PAGES)}|plain)\.md", line)] == []


def test_a_page_that_asks_loads_the_script_and_no_other_does(rendered):
    page = rendered[0]["asks"]
    assert page.select_one("script[src*='practice.js']") and page.select_one("link[href*='practice.css']")
    assert page.select_one("#guess-start.guess") and page.select_one("#answer-start.answer")
    assert [option["class"] for option in page.select(".choice li")] == [["wrong"], ["right"]]
    assert page.select_one(".choice .question em") and len(page.select(".choice .explanation")) == 2
    for name in ("plain", "some"):
        assert not rendered[0][name].select("script[src*='practice'], link[href*='practice']")
