"""Sphinx extension: mends, as a page is rendered, the markup of others that not every reader can use."""

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sphinx.application import Sphinx

MENDS = [
    # docutils gives the entries of a bibliography a role that was withdrawn; they stand in a list.
    (re.compile('role="doc-biblioentry"'), 'role="listitem"'),
    # A cell at the head of a row or column that heads nothing, as in the corner of pandas' tables.
    (re.compile(r"<th\b([^>]*)>(?:\s|&nbsp;)*</th>"), r"<td\1></td>"),
    # pandas' tables have a style and an attribute that HTML has not.
    (re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL), ""),
    (re.compile(r' halign="\w+"'), ""),
    # They look like the others, and can be scrolled by keyboard like them: the theme's script sees to its boxes.
    (
        re.compile(r'<table[^>]*class="dataframe">(.*?)</table>', re.DOTALL),
        r'<div class="pst-scrollable-table-container"><table class="table dataframe">\1</table></div>',
    ),
    # So can plots, where the screen is narrow.
    (
        re.compile(r'(<div role="img" aria-label="[^"]*"><svg.*?</svg>\s*</div>)', re.DOTALL),
        r'<div class="pst-scrollable-table-container">\1</div>',
    ),
    # A tab's label has a control of its own; what opens a cell holds words alone (not in a span: the theme makes those black in the dark).
    (re.compile(r'(<label) aria-controls="[^"]*"'), r"\1"),
    (
        re.compile(r'<p( class="[^"]*admonition-title">.*?)</p>(?=\s*(?:<p[^>]*>[^<]*</p>\s*)?</summary>)'),
        r"<b\1</b>",
    ),
]
PLOT = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
TAG, FONT, DECIMALS = (re.compile(text) for text in (r"<[^>]+>", r"font-family: [^;]*; ?", r"(?<=\.\d\d)\d+"))
HEADS = re.compile(r"<(thead|tbody)\b.*?</\1>", re.DOTALL)
PICTURE = re.compile(r'<img\b(?=[^>]*\bsrc="[^"]*_images/([^"]+\.svg)")')


def own_ids(number: Iterable[int]) -> Callable[[re.Match], str]:
    """Plots call their parts alike. What nothing refers to needs no id; what is referred to gets the plot's number.

    They also name a dozen fonts for each word, which the style sheet does once, and give a place to a millionth of a pixel.
    """

    def replace(plot: re.Match) -> str:
        svg, mine = plot[0], f"plot{next(number)}-"
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
        svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{mine}{found[1]}"' if found[1] in used else "", svg)
        svg = re.sub(r'(url\(|href=")#', rf"\1#{mine}", svg)
        return TAG.sub(lambda tag: DECIMALS.sub("", FONT.sub("", tag[0])), svg)

    return replace


def scoped(part: re.Match) -> str:
    """What the heads in one part of a table are heads of."""
    scope = "col" if part[1] == "thead" else "row"
    text = re.sub(r'<th\b(?=[^>]*colspan="(?!1"))', '<th scope="colgroup"', part[0])
    return re.sub(r"<th\b(?! scope)", f'<th scope="{scope}"', text)


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Mend a page's body, and name the triangles that open a chapter's pages in the side bar."""
    body = context.get("body", "")
    for pattern, replacement in MENDS:
        body = pattern.sub(replacement, body)
    pictures = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def sized(picture: re.Match) -> str:
        """With its size, room is kept for a diagram before it has come."""
        _, _, width, height = re.search(r'viewBox="([^"]*)"', pictures[picture[1]].read_text(encoding="utf-8"))[
            1
        ].split()
        return f'<img width="{width}" height="{height}"'

    body = HEADS.sub(scoped, PLOT.sub(own_ids(itertools.count(1)), body))
    context["body"] = PICTURE.sub(sized, body)

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
