"""Sphinx extension: what the search reads, each section of each page with its title, as a script that is found from a disk too."""

import json
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, SoupStrainer
from sphinx.application import Sphinx

ARTICLE = SoupStrainer("article")
UNREAD = "svg, style, script, a.headerlink"


def sections(html: str) -> Iterator[tuple[str, str, str]]:
    """Id, title and text of each section of a page, its own sections' apart."""
    article = BeautifulSoup(html, "html.parser", parse_only=ARTICLE)
    for unread in article.select(UNREAD):
        unread.decompose()
    for section in reversed(article.select("section[id]")):  # the inner ones come after those that they stand in
        section.extract()
        title = section.find(["h1", "h2", "h3", "h4", "h5", "h6"]).extract()
        yield section["id"], title.get_text().strip(), " ".join(section.get_text(" ").split())


def write(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Write that script before the page that searches, which is made when all others stand."""
    if pagename != "search":
        return
    rows = []
    for docname in sorted(app.env.found_docs):
        uri = app.builder.get_target_uri(docname)
        found = [*sections(Path(app.outdir, uri).read_text(encoding="utf-8"))][::-1]
        rows += [(f"{uri}#{name}", found[0][1], title, text) for name, title, text in found]
    Path(app.outdir, "sections.js").write_text(
        f"const SECTIONS = {json.dumps(rows, ensure_ascii=False)};", encoding="utf-8"
    )


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
