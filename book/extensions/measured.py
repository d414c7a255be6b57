"""Sphinx extension: which outputs a page shows, whose they are and on what they were measured, and the names of results.

Outputs measured here lie in the folder that the environment variable BOOK_MEASURED names; without it, the stored ones are shown.
"""

import json
import os
import re
from pathlib import Path

from docutils import nodes
from myst_nb.ext.glue.utils import create_pending_glue_ref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole

from boxlab import outputs, transcript

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
HERE = Path(folder) if (folder := os.environ.get("BOOK_MEASURED")) else None

WHOSE = "{{ whose_results }}"
"""What a page of prose writes for whose results it shows: its own notebook's, or all notebooks'."""

MEASURE = "With Docker on your machine, make book measures them there."


def is_here(path: Path) -> bool:
    """Whether the outputs that the book shows of a notebook were measured on this machine."""
    return HERE is not None and outputs.holds(path, HERE)


def on_what(facts: dict) -> str:
    """On what outputs were measured, in words."""
    if not facts:
        return "a machine that was not recorded"
    accelerator = f"; VMs by {facts['accelerator']}" if facts["accelerator"] else ""
    when = facts["created"][:16].replace("T", " ")
    return f"{facts['machine']}{accelerator} (profile {facts['profile']}, {when} UTC)"


def whose_results(path: Path) -> str:
    """Whose results a notebook's page shows, and on what they were measured."""
    where = on_what(outputs.load(path, HERE)["metadata"].get(outputs.MEASURED, {}))
    if is_here(path):
        return f"Measured on this machine when the book was built: {where}."
    stored = f"Stored results: measured by the authors, not on your machine but on {where}."
    failed = HERE / f"{path.stem}.failed" if HERE else None
    if failed and failed.exists():
        reason = failed.read_text(encoding="utf-8").splitlines()[0]
        return f"Measuring on this machine failed: {reason}. {stored}"
    return f"{stored} {MEASURE}"


def all_results() -> str:
    """Whose results the book shows."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    here = [path for path in paths if is_here(path)]
    if not here:
        return f"Stored results: measured by the authors on the machines that the page “This machine” names, not on yours. {MEASURE}"
    where = on_what(outputs.load(here[-1], HERE)["metadata"][outputs.MEASURED])
    if len(here) == len(paths):
        return f"Measured on this machine when the book was built: {where}."
    return (
        f"Measured on this machine so far: {len(here)} of {len(paths)} notebooks, on {where}. "
        "The others show stored results, measured by the authors; each page says whose it shows."
    )


def notebook_of(docname: str) -> Path | None:
    """The notebook that a page is, or whose numbers a chapter quotes; None for the other pages."""
    path = NOTEBOOKS / f"{Path(docname).name}.ipynb"
    return path if docname.startswith(("notebooks/", "book/")) and path.exists() else None


def show_outputs(app: Sphinx, docname: str, source: list[str]) -> None:
    """Read a notebook with the outputs that it had here, and a page of prose with whose results it shows."""
    path = notebook_of(docname)
    if docname.startswith("notebooks/"):
        notebook = outputs.load(path, HERE)
        for cell in outputs.code_cells(notebook):
            for output in cell["outputs"]:
                output.get("data", {}).pop(transcript.MIME, None)  # for pages of prose; beside it is text
        source[0] = json.dumps(notebook)
    elif WHOSE in source[0]:
        text = whose_results(path) if path else all_results()
        source[0] = source[0].replace(WHOSE, re.sub(r"([\\`*_{}\[\]<>#|$&])", r"\\\1", text))
        if not path:
            app.env.measured_summaries = {*getattr(app.env, "measured_summaries", ()), docname}


def say_whose(app: Sphinx, document: nodes.document) -> None:
    """Begin each notebook's page with whose results it shows."""
    if app.env.docname.startswith("notebooks/") and (section := next(document.findall(nodes.section), None)):
        section.insert(1, nodes.note("", nodes.paragraph("", whose_results(notebook_of(app.env.docname)))))


def read_again(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Read a notebook again when other outputs of it are to be shown, and each page that quotes it or sums up."""
    before, env.measured_shown = getattr(env, "measured_shown", {}), {}
    again = set()
    for path in NOTEBOOKS.glob("*.ipynb"):
        name = f"notebooks/{path.stem}"
        env.measured_shown[name] = (HERE if is_here(path) else None, whose_results(path))
        if name in added | changed or env.measured_shown[name] != before.get(name):
            again |= {name, f"book/{path.stem}", *getattr(env, "measured_summaries", ())}
    return sorted(again & env.found_docs)


class Measured(SphinxRole):
    """``{measured}`NAME```: what the chapter's own notebook glued under NAME; a name that it lacks fails the build."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        source, line = self.get_source_info()
        notebook = f"/notebooks/{Path(self.env.docname).name}.ipynb"
        document = self.inliner.document
        return [
            create_pending_glue_ref(
                document, source, line, notebook, self.text, inline=True, gtype="text", fmt_spec="s"
            )
        ], []


def setup(app: Sphinx) -> dict:
    app.add_role("measured", Measured())
    app.connect("env-get-outdated", read_again)
    app.connect("source-read", show_outputs)
    app.connect("doctree-read", say_whose)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
