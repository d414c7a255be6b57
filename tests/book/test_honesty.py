"""A notebook says what it could not check, and shows of a tool's failure the line that matters."""

import nbformat
import pytest

from boxlab import paths

NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))


def source(notebook: str, cell: str) -> str:
    cells = nbformat.read(paths.ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    return next(found.source for found in cells if found.id == cell)


def test_a_machine_that_did_not_start_passes_no_check(capsys):
    looks = {name: {"boot_id": "one"} for name in ("host", "container", "another container")}
    exec(source("04-kernel", "kernels"), {"looks": looks})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": yes")
    assert [line.split(": ")[1].split(",")[0] for line in lines[1:3]] == ["not checked"] * 2
    assert lines[3] == "kernels seen: 1"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_a_tools_raw_assertion(path):
    shown = [str(cell.get("outputs", "")) for cell in nbformat.read(path, as_version=4).cells]
    assert not any("Assertion `" in text for text in shown)
