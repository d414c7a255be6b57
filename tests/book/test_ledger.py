"""The ledger says nothing that is not there: chapters, cells that ran, labs, corrections."""

import re

import nbformat
import pytest
import yaml

from boxlab import paths

BOOK = paths.ROOT / "book"
CLAIMS = yaml.safe_load((BOOK / "claims.yml").read_text())
MISCONCEPTIONS = yaml.safe_load((BOOK / "misconceptions.yml").read_text())
HERE = [row for row in CLAIMS if "coming" not in row]
VERDICTS = {"holds", "holds, with a condition", "imprecise"}


def test_all_claims_are_listed_once():
    assert [row["id"] for row in CLAIMS] == [f"C{number:02}" for number in range(1, 22)]
    assert {"C06", "C07", "C08", "C09", "C10", "C11", "C12", "C14", "C16"} <= {row["id"] for row in HERE}


@pytest.mark.parametrize("row", HERE, ids=lambda row: row["id"])
def test_a_verdict_stands_on_cells_that_ran(row):
    assert row["verdict"] in VERDICTS and row["why"] and row["chapters"] and row["cells"]
    for chapter in row["chapters"]:
        assert (BOOK / f"{chapter}.md").exists()
    for address in row["cells"]:
        notebook, _, name = address.partition("#")
        assert notebook in row["chapters"]
        cells = nbformat.read(paths.ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
        [cell] = [cell for cell in cells if cell.id == name]
        assert cell.cell_type == "code" and cell.outputs and cell.execution_count
        assert not any(output.output_type == "error" for output in cell.outputs)


@pytest.mark.parametrize("row", HERE, ids=lambda row: row["id"])
def test_a_claim_is_practised_or_says_why_not(row):
    assert ("lab" in row) != ("no_lab" in row)
    if "lab" in row:
        assert (paths.ROOT / "labs" / row["lab"] / "lab.toml").exists()


def test_a_misconception_is_corrected_where_the_list_says():
    corrected = {row["at"] for row in MISCONCEPTIONS if "at" in row}
    labels = {
        f"{path.stem}#{label}"
        for path in BOOK.glob("*.md")
        for label in re.findall(r"(?::name: |^\()(misconception-[\w-]+)", path.read_text(), re.MULTILINE)
    }
    assert corrected == labels
    assert len(MISCONCEPTIONS) >= 19 and all(("at" in row) != ("coming" in row) for row in MISCONCEPTIONS)


def test_every_correction_is_listed():
    """Each admonition that corrects has a name, and so a line in the list."""
    for path in BOOK.glob("[0-9]*.md"):
        text = path.read_text()
        assert text.count("A misconception corrected") == len(
            re.findall(r"^:name: misconception-", text, re.MULTILINE)
        ), path
