"""Sphinx extension: whether notebooks run in this build, when they run again, whose results a page shows, and their names."""

import hashlib
import os
from pathlib import Path

from docutils import nodes
from myst_nb.ext.glue.utils import create_pending_glue_ref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).parents[2]

MEASURED_HERE = "Measured on this machine when the book was built."
STORED = (
    "Stored results: measured by the authors on the machine named under each plot and on the page *This machine*, not on yours. "
    "With Docker on your machine, `make book` measures them there."
)


def decide_execution(app: Sphinx, config: Config) -> None:
    """Run notebooks only where the build asks for it, and again once the library, an image or the profile has changed."""
    executes = os.environ.get("EXECUTE") == "on"
    config.nb_execution_mode = "cache" if executes else "off"
    config.nb_execution_cache_path = str(Path(app.outdir).parent / ".jupyter_cache" / what_notebooks_use())
    config.myst_substitutions = {**config.myst_substitutions, "whose_results": MEASURED_HERE if executes else STORED}


def what_notebooks_use() -> str:
    """Hash of everything outside a notebook that its results depend on and that lies in this repository: not the labs."""
    digest = hashlib.sha256(os.environ.get("PROFILE", "class").encode())
    for folder in ("src/boxlab", "images"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not {"__pycache__", "labs"} & set(path.relative_to(ROOT).parts):
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def say_whose(app: Sphinx, document: nodes.document) -> None:
    """Begin each notebook's page with whose results it shows."""
    if app.env.docname.startswith("notebooks/") and (section := next(document.findall(nodes.section), None)):
        text = app.config.myst_substitutions["whose_results"].replace("`", "")
        section.insert(1, nodes.note("", nodes.paragraph("", text)))


def rewrite_quoting_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the chapters again when a notebook was read again: their numbers are glued from it."""
    reread = any(name.startswith("notebooks/") for name in getattr(env, "_measured_reread", ()))
    env._measured_reread = set()
    return [name for name in env.found_docs if name.startswith("book/")] if reread else []


def note_reread(app: Sphinx, docname: str, source: list[str]) -> None:
    """Remember that a page was read in this build."""
    app.env._measured_reread = {*getattr(app.env, "_measured_reread", ()), docname}


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
    app.connect("config-inited", decide_execution)
    app.connect("source-read", note_reread)
    app.connect("doctree-read", say_whose)
    app.connect("env-updated", rewrite_quoting_pages)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
