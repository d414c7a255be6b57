"""Sphinx extension: back matter that is made of data, and cells of notebooks that can be linked to.

{claims}            a table of claims.yml          {misconceptions}    a table of misconceptions.yml
{machines}          what the notebooks ran on, and how long they took
{ref}`text <cell:NOTEBOOK#CELL>`                   a cell of a notebook
"""

import json
from datetime import datetime
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from boxlab import paths, records

BOOK = Path(__file__).parents[1]


def data(name: str) -> list[dict]:
    """The rows of book/NAME.yml."""
    return yaml.safe_load((BOOK / f"{name}.yml").read_text(encoding="utf-8"))


def chapter_name(slug: str) -> str:
    """How prose calls the chapter book/SLUG.md."""
    return f"chapter {int(slug.split('-')[0])}"


class _Table(SphinxDirective):
    """A table of Markdown cells, made of data in a file; the page is made again when that changes."""

    titles: tuple[str, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells, in Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        lines = [self.titles, ("---",) * len(self.titles), *self.rows()]
        text = StringList([f"| {' | '.join(cells)} |" for cells in lines], source=self.get_source_info()[0])
        found = nodes.container()
        self.state.nested_parse(text, self.content_offset, found)
        return found.children


class Claims(_Table):
    titles = ("claim", "verdict", "where")

    def rows(self) -> list[tuple[str, ...]]:
        self.env.note_dependency(str(BOOK / "claims.yml"))
        return [(f"**{row['id']}** {row['claim']}", self._verdict(row), self._where(row)) for row in data("claims")]

    def _verdict(self, row: dict) -> str:
        return "*not yet*" if "coming" in row else f"**{row['verdict']}**. {row['why']}"

    def _where(self, row: dict) -> str:
        if "coming" in row:
            return f"to come: chapter {row['coming']}"
        where = [f"[{chapter_name(slug)}]({slug}.md)" for slug in row["chapters"]]
        where += [f"{{ref}}`cell {cell.partition('#')[2]} <cell:{cell}>`" for cell in row["cells"]]
        where.append(f"[lab](../labs/{row['lab']}/README.md)" if "lab" in row else f"no lab: {row['no_lab']}")
        return ", ".join(where)


class Misconceptions(_Table):
    titles = ("what people believe", "corrected in")

    def rows(self) -> list[tuple[str, ...]]:
        self.env.note_dependency(str(BOOK / "misconceptions.yml"))
        return [(f"*{row['belief']}*", self._where(row)) for row in data("misconceptions")]

    def _where(self, row: dict) -> str:
        if "coming" in row:
            return f"to come: chapter {row['coming']}"
        slug, _, label = row["at"].partition("#")
        return f"[{chapter_name(slug)}](#{label})"


class Machines(_Table):
    titles = ("record", "measured", "on", "notebook, run from end to end")

    def rows(self) -> list[tuple[str, ...]]:
        executed = self.config.nb_execution_mode != "off"
        rows = []
        for stored in sorted(paths.RESULTS.glob("*.json")):
            name, here = stored.name.removesuffix(".json"), stored.with_suffix(".local.json")
            if name.endswith(".local"):
                continue
            path = here if executed and here.exists() else stored
            self.env.note_dependency(str(path))
            run = records.load(path)
            accelerator = f"; VMs by {run.accelerator()}" if run.accelerator() else ""
            when = f"{run.created[:16].replace('T', ' ')} UTC, profile {run.profile}"
            rows.append((f"{name} ({run.experiment})", when, run.machine() + accelerator, self._took(name)))
        return rows

    def _took(self, name: str) -> str:
        """The notebook that made the record, and how long it ran."""
        notebook = next((paths.ROOT / "notebooks").glob(f"{name.split('-')[0]}-*.ipynb"))
        seconds = execution_s(self.env, notebook)
        took = "time not recorded" if seconds is None else f"{seconds:.0f} s"
        return f"[{notebook.stem}](../notebooks/{notebook.name}), {took}"


def execution_s(env, notebook: Path) -> float | None:
    """Seconds that a notebook took: in this build, or when its outputs were stored."""
    executed = env.nb_metadata[f"notebooks/{notebook.stem}"].get("exec_data")
    if executed and executed["runtime"]:
        return executed["runtime"]
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    times = [datetime.fromisoformat(at) for cell in cells for at in cell["metadata"].get("execution", {}).values()]
    return (max(times) - min(times)).total_seconds() if times else None


def name_cells(app: Sphinx, document: nodes.document) -> None:
    """Give each code cell of a notebook an address of its own."""
    docname = app.env.docname
    if not docname.startswith("notebooks/"):
        return
    cells = json.loads(Path(app.env.doc2path(docname)).read_text(encoding="utf-8"))["cells"]
    for node in document.findall(
        lambda node: isinstance(node, nodes.Element) and node.get("nb_element") == "cell_code"
    ):
        cell = cells[node["cell_index"]]["id"]
        node["ids"].append(f"cell-{cell}")
        target = f"cell:{Path(docname).name}#{cell}"
        app.env.get_domain("std").note_hyperlink_target(target, docname, f"cell-{cell}", cell)


def setup(app: Sphinx) -> dict:
    for name, directive in {"claims": Claims, "misconceptions": Misconceptions, "machines": Machines}.items():
        app.add_directive(name, directive)
    app.connect("doctree-read", name_cells)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
