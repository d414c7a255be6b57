"""How the chapters read, in counts that their authors can look at: `make check` prints them. No number of it is a limit."""

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]

BOXES = re.compile(r"\{(?:admonition|note|warning|tip|important)\}")
SHELL = ("%%shell", "%%terminal")
NOBODY = re.compile(r"\b(?:whoever|somebody|nobody|someone|no one)\b", re.IGNORECASE)
CONTRACTION = re.compile(r"\b\w+(?:n't|'(?:re|ve|ll|d|m))\b|\b(?:it|that|there|what|here|let)'s\b", re.IGNORECASE)
AROUND = ("Exercises", "Key points", "Next", "How far to trust this")
"""Sections that close a chapter; what stands before its first section opens it."""


def blocks(text: str) -> list[tuple[str, str]]:
    """Each paragraph, item and cell of prose, with the title of the section that it stands in; what a directive holds as well."""
    found: list[tuple[str, str]] = []
    section = ""

    def visit(tokens: list[Token]) -> None:
        nonlocal section
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "inline" and before is not None and before.type == "heading_open":
                section = token.content if before.tag == "h2" else section
            elif token.type == "inline":
                found.append((section, token.content))
            elif (
                token.type == "fence"
                and token.info.startswith("{")
                and not re.match(r"\{(?:transcript|glue|code)", token.info)
            ):
                visit(MarkdownIt("commonmark").parse(token.content))

    fences = re.sub(r"^ *:{3,}", lambda colons: colons[0].replace(":", "~"), text, flags=re.MULTILINE)
    visit(MarkdownIt("commonmark").parse(fences))
    return found


def count(chapter: Path) -> dict[str, str]:
    """One row of the report."""
    text = chapter.read_text(encoding="utf-8")
    prose = blocks(text)
    whole = " ".join(content for _section, content in prose)
    whole = re.sub(r"\{\w+\}`[^`]*`|`[^`]*`", "x", whole)
    words: Counter[bool] = Counter()
    for section, content in prose:
        words[section in ("", *AROUND)] += len(content.split())
    sentences = re.split(r"(?<=[.?!])\s+", whole)
    cells = [
        "".join(cell["source"])
        for cell in json.loads((ROOT / "notebooks" / f"{chapter.stem}.ipynb").read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    return {
        "words": f"{sum(words.values()):,}",
        "front and back": f"{words[True] / sum(words.values()):.0%}",
        "colons, of sentences": f"{sum(bool(re.search('[:;]', each)) for each in sentences)} of {len(sentences)}",
        "somebody": f"{len(NOBODY.findall(whole))}",
        "contractions": f"{len(CONTRACTION.findall(whole))}",
        "boxes": f"{len(BOXES.findall(text))}",
        "shell cells": f"{sum(cell.startswith(SHELL) for cell in cells)} of {len(cells)}",
    }


if __name__ == "__main__":
    chapters = sorted((ROOT / "book").glob("[0-9]*.md"))
    print(pd.DataFrame({chapter.stem: count(chapter) for chapter in chapters}).T.to_string())
