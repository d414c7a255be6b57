"""Outputs of notebooks: what they depend on, whether they still hold, and how a notebook is run for them."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from boxlab import disk, engine, labels, leftover, marks, names, provenance, sweep
from boxlab.errors import BoxlabError, EngineError, Unavailable, of_threads
from boxlab.language import _
from boxlab.runtimes import accelerator

if TYPE_CHECKING:
    from nbclient import NotebookClient

MEASURED = "measured"
"""The key in a notebook's metadata that says on what its outputs were measured: see `run`."""

START_S = 600
"""How long a kernel may take to start: on a busy machine it does."""

CELL_S = 3600
"""How long one cell may take."""

GRACE_S = 60
"""How long an interrupted cell may take to end what it has started."""


class CellFailed(BoxlabError):
    """A cell of a notebook raised, took too long, or ended its kernel.

    Attributes:
        traceback: what Python or the kernel printed.
    """

    def __init__(self, message: str, traceback: str = ""):
        super().__init__(message)
        self.traceback = traceback


def circumstances(root: Path) -> dict[str, Any]:
    """Everything outside a notebook that its results depend on: machine, engine, accelerator, profile, and `root`'s code.

    Without an engine, that is None. An accelerator that is not proven yet is None: see `accelerator.choose`.
    """
    host = provenance.host()
    try:
        facts = provenance.engine_facts()
        with engine.plain_errors():
            info = engine.connect().info()
            facts |= {"id": engine.identity(info), "runtimes": sorted(info.get("Runtimes") or ())}
    except EngineError:
        facts = None
    return {
        "machine": {name: host[name] for name in ("system", "kernel", "architecture", "cpu", "cpus", "python")},
        "engine": facts,
        "accelerator": _accelerator(),
        "profile": os.environ.get("PROFILE") or "class",
        "code": _code(root),
    }


def key(found: dict[str, Any]) -> str:
    """A short name for what `circumstances` has found."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def _accelerator() -> str | None:
    try:
        chosen = accelerator.choose() if os.environ.get(accelerator.OVERRIDE) else accelerator.cached()
    except Unavailable:
        return "none"
    return chosen.name if chosen else None


def _code(root: Path) -> str:
    """Hash of the library, the images and the locked packages: not of the labs."""
    folders = [path for name in ("src/boxlab", "images") for path in sorted((root / name).rglob("*"))]
    digest = hashlib.sha256()
    for path in (root / "requirements.txt", *folders):
        if path.is_file() and not {"__pycache__", "labs"} & set(path.relative_to(root).parts):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def load(path: Path, folder: Path | None = None) -> dict[str, Any]:
    """The notebook at `path`, as plain data: with the outputs that it had when it ran into `folder`, or else the stored ones."""
    notebook = _read(path)
    if ran := folder and _ran(notebook, folder / path.name):
        notebook["metadata"][MEASURED] = ran["metadata"][MEASURED]
        for cell, done in zip(code_cells(notebook), code_cells(ran), strict=True):
            cell |= {name: done[name] for name in ("outputs", "execution_count")}
    return notebook


def holds(path: Path, folder: Path) -> bool:
    """Whether the notebook at `path`, with the code that it has now, ran into `folder`."""
    return _ran(_read(path), folder / path.name) is not None


def measured(path: Path) -> dict[str, Any]:
    """On what a notebook's outputs were measured: see `run`; empty where that was not recorded."""
    found: dict[str, Any] = _read(path)["metadata"].get(MEASURED, {})
    return found


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _ran(notebook: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """What is at `path`, if that is this notebook, whatever its text."""
    try:
        ran = _read(path)
    except (FileNotFoundError, ValueError):
        return None
    sources = [["".join(cell["source"]) for cell in code_cells(each)] for each in (notebook, ran)]
    return ran if sources[0] == sources[1] else None


def _read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def save(notebook: dict[str, Any], path: Path) -> None:
    """Write a notebook, whole or not at all."""
    import nbformat

    disk.write(path, nbformat.writes(nbformat.from_dict(notebook)) + "\n")


def run(
    path: Path, found: dict[str, Any], env: dict[str, str], on_cell: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Run a notebook from its first cell to its last, in a kernel of its own that ends with it.

    Args:
        found: what `circumstances` has found.
        env: the kernel's environment.
        on_cell: called after each code cell.

    Returns:
        The notebook as plain data. Its metadata have under `MEASURED`: created (UTC), seconds, profile, machine,
        accelerator (None where no virtual machine runs).

    Raises:
        CellFailed: a cell did not end well.
        KeyboardInterrupt: after the cell that ran was interrupted, and has ended what it had started.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    # What a cell has shown may come long after its end on a busy machine: without it, its numbers would be missing.
    late: dict[str, Any] = {"iopub_timeout": CELL_S, "raise_on_iopub_timeout": True}
    client = NotebookClient(notebook, timeout=None, startup_timeout=START_S, **late)
    began, created = time.monotonic(), datetime.now(UTC)
    earlier, own = names.runs(), secrets.token_hex(6)
    try:
        with tempfile.TemporaryFile(dir=env.get("TMPDIR")) as said:
            asyncio.run(_execute(client, path, env | marks.environment(own), on_cell, said))
    except BaseException:  # its last cell, which removes what the others have made, was not reached
        with contextlib.suppress(BoxlabError, OSError):  # or the next notebook shows it as left
            leftover.remove(lambda: sweep.of_run(own, on_engine=False))
        with contextlib.suppress(BoxlabError):  # what cannot be removed stays declared, and the next run says so
            names.remove_dead(but=earlier)
        raise
    facts = {"host": provenance.host(), "engine": found["engine"]}
    notebook.metadata[MEASURED] = {
        "created": created.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "profile": found["profile"],
        "machine": provenance.in_words(facts) if found["engine"] else facts["host"]["cpu"],
        "accelerator": labels.ACCELERATORS.get(found["accelerator"]),
    }
    return notebook


async def _execute(
    client: "NotebookClient", path: Path, env: dict[str, str], on_cell: Callable[[], None], said: BinaryIO
) -> None:
    """Run a notebook's cells; what the kernel itself prints goes to `said`."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    manager: Any = client.create_kernel_manager()
    where = f"notebooks/{path.stem}"
    try:
        await client.async_start_new_kernel(cwd=str(path.parent), env=env, stdout=said, stderr=said)
        await client.async_start_new_kernel_client()
        for index, cell in enumerate(client.nb.cells):
            if cell.cell_type == "code":
                where = _("notebooks/{name}, cell {cell!r}", name=path.stem, cell=cell.get("id", index))
                await _execute_cell(client, cell, index)
                on_cell()
    except CellExecutionError as error:
        traceback = re.sub(r"\x1b\[[\d;]*m", "", str(error.traceback))
        line = re.search(r"Cell In\[\d+\], line (\d+)", traceback)
        where = ", ".join([where, *([_("line {number}", number=line[1])] if line else [])])
        raise CellFailed(f"{where}: {error.ename}: {error.evalue}", traceback) from error
    except TimeoutError as error:
        raise CellFailed(_("{where}: it did not end within {seconds} s", where=where, seconds=CELL_S)) from error
    except RuntimeError as error:
        if not isinstance(error, DeadKernelError) and not str(error).startswith("Kernel "):  # as who waits for it says
            raise of_threads(error) from error
        said.seek(0)
        raise CellFailed(_("{where}: its kernel ended", where=where), said.read().decode(errors="replace")) from error
    finally:
        if client.kc:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel()


async def _execute_cell(client: "NotebookClient", cell: Any, index: int) -> None:
    """Run one cell; one that takes too long, or is cancelled, is interrupted and may end what it has started."""
    running = asyncio.ensure_future(client.async_execute_cell(cell, index, client.code_cells_executed + 1))
    try:
        await asyncio.wait_for(asyncio.shield(running), CELL_S)
    except (asyncio.CancelledError, TimeoutError):
        kernel: Any = client.km
        await kernel.interrupt_kernel()
        await asyncio.wait({running}, timeout=GRACE_S)
        running.cancel() or running.exception()
        raise
