"""Sphinx extension: commands, and what they printed when the chapter's own notebook ran them.

    ```{transcript} NAME
    $ docker ps
    ```

shows these commands of the notebook's cell NAME, each with its output; all of them where the directive is empty. Of a cell
in Python it shows the code and what that printed. With `:machine: NAME`, the commands are those that ran on that machine of
`tests/machines`. A page holds no output, and what the cell does not have fails the build.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import ledger
import measured
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from boxlab import outputs, transcript

ANSI = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


def cell_of(path: Path, name: str, folder: Path | None = None) -> dict | None:
    """A code cell of a notebook, with the outputs that the book shows; None where there is no such cell."""
    cells = outputs.code_cells(outputs.load(path, folder))
    return next((cell for cell in cells if cell.get("id") == name), None)


def text_of(cell: dict) -> str:
    """What a cell in Python printed, and the value that it ended with."""
    found = []
    for output in cell["outputs"]:
        text = output.get("text") or output.get("data", {}).get("text/plain") or ""
        found.append("".join(text).rstrip("\n"))
    return "\n".join(filter(None, found))


class Transcript(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec = {"machine": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        if "machine" in self.options:
            return self._shown(block for step in self._steps_there() for block in self._step(step))
        name, path = self.arguments[0], measured.notebook_of(self.env.docname)
        cell = path and cell_of(path, name, measured.HERE)
        if not cell:
            raise self.error(f"the page's notebook has no cell {name!r}")
        if "".join(cell["source"]).startswith((f"%%{transcript.MAGIC}", f"%%{transcript.TERMINAL}")):
            shown = [block for step in self._steps(name, cell) for block in self._step(step)]
        elif self.content:
            raise self.error(f"cell {name!r} is no cell of commands: leave the directive empty")
        else:
            shown = [self._block("".join(cell["source"]), "python", "command")]
            if text := text_of(cell):
                shown.append(self._block(text, "none", "output"))
        return self._shown(shown)

    def _shown(self, blocks: Iterable[nodes.Node]) -> list[nodes.Node]:
        return [nodes.container("", *blocks, classes=["transcript"])]

    def _steps_there(self) -> list[transcript.Step]:
        """What ran on another machine."""
        file = ledger.recorded(self.options["machine"], self.arguments[0])
        if not file.exists():
            raise self.error(f"there is no {file.name}: try that machine")
        self.env.note_dependency(str(file))
        return [transcript.Step(**step) for step in json.loads(file.read_text(encoding="utf-8"))["steps"]]

    def _steps(self, name: str, cell: dict) -> list[transcript.Step]:
        """The steps that the page names, or all."""
        steps = transcript.steps_of(cell)
        if not steps:
            raise self.error(f"cell {name!r} has no output: run its notebook")
        shown, rest = [], iter(steps)
        for line in self.content:
            for command, _ in transcript.commands(line.strip().removeprefix("$ ")):
                step = next((step for step in rest if step.command == command), None)  # in the cell's order
                if step is None:
                    raise self.error(f"cell {name!r} does not run `{command}` there")
                shown.append(step)
        return shown or steps

    def _step(self, step: transcript.Step) -> list[nodes.Node]:
        shown: list[nodes.Node] = [self._block(step.command, "shell", "command")]
        if step.output.strip():
            shown.append(self._block(step.output.rstrip("\n"), "none", "output"))
        if step.status:
            shown.append(nodes.paragraph("", f"(exit status {step.status})", classes=["status"]))
        return shown

    def _block(self, text: str, language: str, kind: str) -> nodes.literal_block:
        text = ANSI.sub("", text)
        return nodes.literal_block(text, text, language=language, classes=[kind])


def setup(app: Sphinx) -> dict:
    app.add_directive("transcript", Transcript)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
