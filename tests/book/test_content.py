"""What the prose promises: numbers that are glued or cited, links that lead somewhere."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from bs4 import BeautifulSoup

from boxlab import paths

HTML = paths.ROOT / "_build" / "test" / "html"
PROSE = sorted([*(paths.ROOT / "book").glob("*.md"), *(paths.ROOT / "labs").glob("*/README.md")])
NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))

UNITS = r"(?:[mµn]?s|seconds?|minutes?|hours?|[KMGT]i?B|bytes?|%|×|times|Hz|MHz|GHz)"
NUMBER = re.compile(rf"(?<![\w.])\d[\d\s.,]*(?:\s*[–-]\s*\d[\d.,]*)?\s?{UNITS}(?![\w])")
FACTS = re.compile(r"\*\d+ minutes · ")
"""How the line below a chapter's title begins: its reading time."""

SOURCES = ("{cite", "{measured}")

ALLOWED = {
    # what a reader is asked to imagine, or what an experiment was told
    "1 GiB": "a budget of memory",
    "2 GiB": "an example in a question",
    "5 GiB": "an example of a large model",
    "10 GiB": "an example in a question",
    "32 GiB": "an example in a question",
    "10 MiB": "what the memory hog takes at a time",
    "13 MiB": "an example in a question",
    "64 MiB": "a limit, and the size of a file, that an experiment is given",
    "256 MiB": "a limit that an experiment is given",
    "512 MiB": "an example in a question",
    "650 MiB": "an example in a question",
    "1024 MiB": "a limit that an experiment is given",
    "0.9 GB": "an example in a question",
    "1 GB": "an example in a question",
    "1 TB": "the size of a file that a build is given, so that its context has no end",
    "2 GB": "an example in a question",
    "10 GB": "an example in a question",
    "500 MB": "an example in a question",
    "60 s": "a deadline in a question",
    "3 seconds": "a grace that an experiment is given",
    # what a lab is made of
    "3 MiB": "the size of a lab's dependency, at the most",
    "12 MiB": "what a lab's program takes",
    "24 MiB": "the size of a lab's file",
    "3 %": "a lab's tolerance",
    # definitions
    "4096 bytes": "the size of a page",
    "64 bytes": "the kernel's book-keeping for a page, cited in the next line",
    "95 %": "the level of the intervals",
}


TEXT = re.compile(r"\s*`{3,}\{(?:admonition|answer|dropdown|figure|guess|note)\}\s*(.*)")
"""A directive that holds prose, and its title."""


def paragraphs(text: str) -> list[tuple[int, str]]:
    """Number and text of each line of prose: without code, comments and the options of directives."""
    lines, open_ = [], []
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,})", line)
        code = bool(open_) and not open_[-1][1]
        if mark and open_ and line.strip() == open_[-1][0]:
            open_.pop()
        elif mark and not code:
            directive = TEXT.match(line)
            open_.append((mark[1], bool(directive)))
            line = directive[1] if directive else ""
        elif code or line.startswith(("    ", ":alt:", "%")) or FACTS.match(line):
            line = ""
        if line.strip() and line.strip("`"):
            lines.append((number, re.sub(r"(?<!\})`[^`]*`", "", line)))
    return lines


def unsourced(text: str) -> list[tuple[int, str]]:
    """Line and number of each figure with a unit that is neither glued nor cited in its sentence."""
    return [
        (number, found[0].strip())
        for number, line in paragraphs(text)
        if not any(source in line for source in SOURCES)
        for found in NUMBER.finditer(line)
        if " ".join(found[0].split()) not in ALLOWED
    ]


def markdown_cells(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", [*PROSE, *NOTEBOOKS], ids=lambda path: path.parent.name + "/" + path.name)
def test_numbers_in_prose_are_glued_or_cited(path):
    text = markdown_cells(path) if path.suffix == ".ipynb" else path.read_text()
    assert paragraphs(text)
    assert unsourced(text) == []


def test_the_checker_finds_a_typed_number():
    assert unsourced("It took 250 ms here.\n\n```\n3 s in code\n```\n") == [(1, "250 ms")]
    after = "```{figure} a.svg\nTook 2 s.\n```\nAnd 3 s.\n```{glue} x\n4 s\n```\nAnd 5 s.\n"
    assert unsourced(after) == [(2, "2 s"), (4, "3 s"), (8, "5 s")]
    assert unsourced("It took {measured}`x`, and 3 – 5 s {cite}`y`.") == []
    assert unsourced("About 3 times.\nBetween 0.5 and 2 MB\n`10 s` is code") == [(1, "3 times"), (2, "2 MB")]


def test_every_allowed_number_is_needed():
    texts = [p.read_text() for p in PROSE] + [markdown_cells(p) for p in NOTEBOOKS]
    found = {" ".join(n[0].split()) for text in texts for _, line in paragraphs(text) for n in NUMBER.finditer(line)}
    assert ALLOWED.keys() - found == set()


@pytest.fixture(scope="module")
def pages() -> dict[Path, BeautifulSoup]:
    """The rendered pages that a reader sees."""
    names = ("book", "notebooks", "labs")
    found = [path for name in names for path in (HTML / name).rglob("*.html")]
    assert len(found) > 10, "render the book first: `EXECUTE=off BOOK_OUT=_build/test tools/book.sh`"
    return {path: BeautifulSoup(path.read_text(), "html.parser") for path in found}


def test_links_between_pages_lead_somewhere(pages):
    ids = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    followed, dead = 0, []
    for path, page in pages.items():
        for link in page.find_all("a", href=True):
            address, fragment = urldefrag(link["href"])
            if re.match(r"[a-z]+:", address):
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            followed += 1
            if not target.exists() or (fragment and target in ids and unquote(fragment) not in ids[target]):
                dead.append(f"{path.relative_to(HTML)}: {link['href']}")
    assert followed > 500
    assert dead == []


def test_pictures_have_words_for_those_who_do_not_see(pages):
    pictures = [(path, image) for path, page in pages.items() for image in page.select("article img")]
    assert len(pictures) >= 8
    assert [str(path) for path, image in pictures if len(image.get("alt", "")) < 30] == []


CHAPTERS = [path for path in PROSE if path.name[0].isdigit()]


def test_each_chapter_has_its_parts():
    assert len(CHAPTERS) >= 6
    for path in CHAPTERS:
        text = path.read_text()
        assert "## Key points" in text and "## Next" in text, path.name
        assert "```{figure} assets/" in text and ":alt:" in text, path.name
        assert f"[notebook](../notebooks/{path.stem}.ipynb)" in text, path.name
        assert re.search(rf"\{{download\}}`[^`]+ <\.\./notebooks/{path.stem}\.ipynb>`", text), path.name


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_chapter_has_commands_a_guess_and_exercises(path):
    text = path.read_text()
    facts = text.split("\n\n")[1]
    assert re.fullmatch(r"\*\d+ minutes · .+ · \[notebook\].+ · \[lab\].+\*", facts), facts
    assert text.count("```{guess}") == text.count("```{answer}") == 1
    for section in text.split("\n## ")[1:]:
        title = section.splitlines()[0]
        done = any(kind in section for kind in ("```{transcript}", "```{glue}", "```{guess}", ":::{choice}"))
        assert done or title in ("Key points", "Next"), f"{title}: nothing to run or to see"
    exercises = text.partition("\n## Exercises")[2]
    asked, run = exercises.count(":::{choice}") + exercises.count(":::{dropdown}"), exercises.count("**Run this.**")
    assert 3 <= asked <= 5 and 2 * run >= asked
    assert "```{choice}" not in text, "its title may hold `code`, so it begins with colons"
    assert text.count("{admonition}") <= 1 and ":class: warning" not in text


def test_each_chapter_takes_twelve_to_twenty_five_minutes():
    """By 100 to 200 words a minute, which is slow reading of technical text, with time for its tables and plots."""
    for path in PROSE:
        if path.parent.name == "book" and path.name[0].isdigit():
            words = len(re.findall(r"\w+", " ".join(line for _, line in paragraphs(path.read_text()))))
            assert 12 * 100 <= words <= 25 * 200, (path.name, words)


SAID = {
    ("10-engine", "events"): "destroy",
    ("11-dockerfile", "endless"): "transferring context: ",
    ("11-dockerfile", "same-where"): "RUN: different",
    ("11-dockerfile", "steps"): "importing cache manifest",
    ("11-dockerfile", "names"): "<none>:<none>",
    ("12-lifecycle", "prune"): "<none>",
    ("12-lifecycle", "system-prune"): "local     models",
    ("14-registry", "one-step"): "arm64",
}
"""What the prose next to a cell says that its output shows."""


@pytest.mark.parametrize(("notebook", "cell", "words"), [(*where, words) for where, words in SAID.items()])
def test_a_stored_output_shows_what_the_prose_says(notebook, cell, words):
    cells = json.loads((paths.ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    [found] = [each for each in cells if each["id"] == cell]
    assert words in json.dumps(found["outputs"])
