"""Sphinx extension: the head of a page. It describes the page, and all that is waited for before the page is painted is one
style sheet, without the rules that no page uses.
"""

import hashlib
import re
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

BOOK = Path(__file__).parents[1]

SHEET = "_static/styles/all.css"  # beside the theme's own, whose addresses of fonts are relative
THEME = ("_static/basic.css", "_static/styles/pydata-sphinx-theme.css")
ICONS = "fontawesome.js"  # the theme's icons as a script, which pages do not load

SHORT, DESCRIPTION = 50, 160
"""Letters of what is no description yet, and of the longest that is shown."""

BODY = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
RULE = re.compile(rf"([^{{}}]+){BODY}")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
COMMA = re.compile(r",(?![^()\[\]]*[)\]])")
FUNCTION = re.compile(r":[\w-]+\((?:[^()]|\([^()]*\))*\)")
NAME = re.compile(r"[.#]((?:[\w-]|\\.)+)")
VARIABLE = re.compile(r'(?<![\w-])(--[\w-]+)\s*:(?:"[^"]*"|[^;{}"])*;?')


def trimmed(css: str, words: set[str]) -> Iterator[str]:
    """The rules of a style sheet whose selectors name only classes and ids that are among `words`."""
    for head, body in RULE.findall(COMMENT.sub("", css)):
        head = head.rpartition(";")[2].strip()  # after @charset and @import
        if head.startswith(("@media", "@supports")):
            body = "\n".join(trimmed(body, words))
        elif not head.startswith("@"):
            names = {selector: NAME.findall(FUNCTION.sub("", selector)) for selector in COMMA.split(head)}
            head = ",".join(
                selector for selector in names if {name.replace("\\", "") for name in names[selector]} <= words
            )
        if head and body:
            yield f"{head}{{{body.strip()}}}"


def without_unused(css: str, words: set[str]) -> str:
    """A style sheet without the variables that neither it nor `words` use, those that only such ones used included."""
    used = words | set(re.findall(r"var\(\s*(--[\w-]+)", css))
    less = VARIABLE.sub(lambda variable: variable[0] if variable[1] in used else "", css)
    return less if less == css else without_unused(less, words)


def described(doctree: nodes.document | None, title: str) -> str:
    """What a search engine shows of a page: how its text begins, after notes and lines of facts."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    plain = (node for node in paragraphs if isinstance(node.parent, nodes.section) and isinstance(node[0], nodes.Text))
    text = next((text for node in plain if len(text := node.astext()) >= SHORT), title)
    return textwrap.shorten(text, DESCRIPTION, placeholder="…")


def load(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Describe a page, and have it load that sheet instead of those of all pages, and its scripts when it is there."""
    text = escape(described(doctree, context["docstitle"]))
    context["metatags"] = f'{context.get("metatags", "")}\n<meta name="description" content="{text}">'
    context["css_files"] = [sheet for sheet in context["css_files"] if sheet not in app.builder._orig_css_files]
    # What scripts say to each other at once would find nobody there; nothing in this book asks for it.
    scripts = [
        script for script in context["script_files"] if "DOCUMENTATION_OPTIONS" not in script.attributes.get("body", "")
    ]
    for script in scripts:
        if script.filename:
            script.attributes["defer"] = "defer"
    context["script_files"] = scripts


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write that sheet, for the words that pages and their scripts use."""
    sheets = getattr(app.builder, "_orig_css_files", None)
    if exception or sheets is None:  # no page was written: the sheet stands
        return
    out = Path(app.outdir)
    texts = [*out.rglob("*.html"), *(path for path in out.rglob("*.js") if path.name != ICONS)]
    words = {word for path in texts for word in re.findall(r"[\w-]+", path.read_text(encoding="utf-8"))}
    names = [*THEME, *(sheet.filename for sheet in sorted(sheets, key=lambda sheet: sheet.priority))]
    rules = (rule for name in names for rule in trimmed((out / name).read_text(encoding="utf-8"), words))
    (out / SHEET).write_text(without_unused("\n".join(rules), words), encoding="utf-8")


def setup(app: Sphinx) -> dict:
    # Sphinx makes pages again when a template changes, but not for an extension or a style sheet.
    files = sorted(path for kind in ("extensions/*.py", "assets/*") for path in BOOK.glob(kind))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    app.add_config_value("book_code", code, "env")
    app.connect("html-page-context", load, priority=700)  # after the theme and all extensions
    app.connect("build-finished", write, priority=900)  # when all files are written
    return {"parallel_read_safe": True, "parallel_write_safe": True}
