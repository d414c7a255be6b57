"""Sphinx extension: mends, as a page is rendered, the markup of others that not every reader can use."""

import re

from sphinx.application import Sphinx

MENDS = [
    # docutils gives the entries of a bibliography a role that was withdrawn; they stand in a list.
    (re.compile('role="doc-biblioentry"'), 'role="listitem"'),
    # A cell at the head of a row or column that heads nothing, as in the corner of pandas' tables.
    (re.compile(r"<th\b([^>]*)>(?:\s|&nbsp;)*</th>"), r"<td\1></td>"),
    # pandas' tables look like the others, and can be scrolled by keyboard like them: the theme's script sees to its boxes.
    (
        re.compile(r'<table[^>]*class="dataframe">(.*?)</table>', re.DOTALL),
        r'<div class="pst-scrollable-table-container"><table class="table dataframe">\1</table></div>',
    ),
    # So can plots, where the screen is narrow.
    (
        re.compile(r'(<div role="img" aria-label="[^"]*"><svg.*?</svg>\s*</div>)', re.DOTALL),
        r'<div class="pst-scrollable-table-container">\1</div>',
    ),
]


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Mend a page's body, and name the triangles that open a chapter's pages in the side bar."""
    for pattern, replacement in MENDS:
        context["body"] = pattern.sub(replacement, context.get("body", ""))

    generate = context["generate_toctree_html"]

    def generate_named(*args, **options):
        tree = generate(*args, **options)
        for summary in tree.select("summary"):
            summary["aria-label"] = summary.find_previous("a").get_text()
        return tree

    context["generate_toctree_html"] = generate_named


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", mend, priority=600)  # after the theme, whose functions it wraps
    return {"parallel_read_safe": True, "parallel_write_safe": True}
