"""Sphinx extension: back matter that is made of data, and cells of notebooks that can be linked to.

{claims}            a table of claims.yml          {misconceptions}    a table of misconceptions.yml
{machines}          what the notebooks ran on, and how long they took
{tried}             where authors have tried the book, and what held: of tests/machines
{beside}            the records that were made there, side by side: of those with all of them
{figures}           of each that was tried, what its records say of a process and a container
{ref}`text <cell:NOTEBOOK#CELL>`                   a cell of a notebook
"""

import json
from functools import partial
from pathlib import Path

import measured
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from boxlab import outputs, records
from boxlab.formatting import with_interval

BOOK = Path(__file__).parents[1]
TRIED = BOOK.parent / "tests" / "machines"

RUNS_BY = {"qemu": "software emulation (TCG)", "kvm": "KVM"}
"""By what systemd says of a virtual machine."""


def data(name: str) -> list[dict]:
    """The rows of book/NAME.yml."""
    return yaml.safe_load((BOOK / f"{name}.yml").read_text(encoding="utf-8"))


def machines() -> dict[str, dict]:
    """The rows of the table of machines, by name."""
    return yaml.safe_load((TRIED / "machines.yml").read_text(encoding="utf-8"))["machines"]


def result(name: str) -> Path:
    """What was found on a machine, if it was tried."""
    return TRIED / "results" / f"{name}.json"


def recorded(name: str, what: str) -> Path:
    """What one of the tries there recorded, if it was tried."""
    return TRIED / "results" / f"{name}-{what}.json"


def run_by(name: str, row: dict) -> str:
    """What a machine that was tried ran by."""
    if not row.get("guest", True):
        return "no guest of ours"
    return RUNS_BY[json.loads(result(name).read_text(encoding="utf-8"))["virtualization"]]


def median(record: records.Record, kind: str, metric: str) -> str:
    """An arm's median with its spread, as cells have it."""
    if not record.kept(kind, metric):
        return "–"
    return with_interval(record.median(kind, metric), partial(record.say, metric))


def chapter_name(slug: str) -> str:
    """How prose calls the chapter book/SLUG.md."""
    return f"chapter {int(slug.split('-', maxsplit=1)[0])}"


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
    titles = ("notebook", "its records", "measured on", "took")

    def rows(self) -> list[tuple[str, ...]]:
        return [self._row(path) for path in sorted(measured.NOTEBOOKS.glob("*.ipynb"))]

    def _row(self, path: Path) -> tuple[str, ...]:
        facts = outputs.load(path, measured.HERE)["metadata"].get(outputs.MEASURED, {})
        stored = sorted(path.parent.glob(f"results/{path.stem.split('-')[0]}-*.json"))
        records = [f"`{record.stem}`" for record in stored if not record.stem.endswith(".local")]
        whose = "this machine" if measured.is_here(path) else "by the authors"
        took = f"{facts['seconds']:.0f} s" if facts.get("seconds") else "not recorded"
        return (
            f"[{path.stem}](../notebooks/{path.name})",
            ", ".join(records) or "–",
            f"{whose}: {measured.on_what(facts)}",
            took,
        )


class Beside(_Table):
    """Each machine on which the experiments of `WHAT` were run is a column, with medians and their intervals."""

    WHAT = (
        ("start of a process", "startup", "process", "seconds"),
        ("start of a container", "startup", "container", "seconds"),
        ("the same by the experiment `onion`, without a network", "onion", "engine-none", "seconds"),
        ("the same with one", "onion", "engine-bridge", "seconds"),
        ("with one, as a multiple of without", "onion", "engine-bridge/engine-none", "seconds"),
        ("a process's memory, PSS", "memory", "process", "pss"),
        ("a container's memory, PSS with its shim", "memory", "container", "pss"),
        ("of that the shim", "memory", "container", "shim"),
        ("charged to the container's control group", "memory", "container", "cgroup_usage"),
        ("of that anonymous memory, which the program filled", "memory", "container", "cgroup_anon"),
        ("of that page cache", "memory", "container", "cgroup_file"),
        ("of that the kernel's own", "memory", "container", "cgroup_kernel"),
    )

    def run(self) -> list[nodes.Node]:
        self.found = {name: row for name, row in machines().items() if all(map(Path.exists, self._files(name)))}
        self.titles = ("median", *(f"{row['says']}; {run_by(name, row)}" for name, row in self.found.items()))
        return super().run()

    def _files(self, name: str) -> list[Path]:
        return [recorded(name, what) for what in ("startup", "onion", "memory")]

    def rows(self) -> list[tuple[str, ...]]:
        made = {}
        for name in self.found:
            for file in self._files(name):
                self.env.note_dependency(str(file))
                made[name, file.stem.rpartition("-")[2]] = records.load(file)
        return [
            (what, *(self._cell(made[name, record], kind, metric) for name in self.found))
            for what, record, kind, metric in self.WHAT
        ]

    @staticmethod
    def _cell(record: records.Record, kind: str, metric: str) -> str:
        kind, _slash, to = kind.partition("/")
        return with_interval(record.ratio(kind, to, metric)) if to else median(record, kind, metric)


class Figures(_Table):
    """A row for each machine with a record of `startup`; not all have one of `memory`."""

    WHAT = (
        ("start of a process", "startup", "process", "seconds"),
        ("start of a container", "startup", "container", "seconds"),
        ("a process's memory, PSS", "memory", "process", "pss"),
        ("a container's, with its shim", "memory", "container", "pss"),
        ("of that the shim", "memory", "container", "shim"),
    )
    titles = ("machine", *(what[0] for what in WHAT))

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (f"{row['says']}; {run_by(name, row)}", *cells)
            for name, row in machines().items()
            if any(cells := [self._cell(name, *what) for _title, *what in self.WHAT])
        ]

    def _cell(self, name: str, what: str, kind: str, metric: str) -> str:
        file = recorded(name, what)
        if not file.exists():
            return ""
        self.env.note_dependency(str(file))
        return median(records.load(file), kind, metric)


class Tried(_Table):
    titles = ("machine", "what it was", "held", "did not hold", "needs a virtual machine in it")

    def rows(self) -> list[tuple[str, ...]]:
        self.env.note_dependency(str(TRIED / "machines.yml"))
        return [(row["says"], *self._found(name, row)) for name, row in machines().items()]

    def _found(self, name: str, row: dict) -> tuple[str, ...]:
        if not result(name).exists():
            return ("not tried yet", "–", "–", "–")
        self.env.note_dependency(str(result(name)))
        found = json.loads(result(name).read_text(encoding="utf-8"))
        tries = {what: tried["held"] for what, tried in found["tries"].items()}
        groups = "cgroup v2" if found["control_groups"] == "cgroup2fs" else "cgroup v1"
        was = ", ".join((found["release"], f"kernel {found['kernel']}", groups, found["engine"], found["python"]))
        return (
            f"{was}; {run_by(name, row)}; {found['days']}",
            *(", ".join(what for what, held in tries.items() if held is case) or "–" for case in (True, False, None)),
        )


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
    directives = {
        "claims": Claims,
        "misconceptions": Misconceptions,
        "machines": Machines,
        "beside": Beside,
        "figures": Figures,
        "tried": Tried,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    app.connect("doctree-read", name_cells)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
