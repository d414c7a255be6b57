"""The command `boxlab`. Exit status: 0 fine, 1 a lab fails, 2 wrong usage, 3 the machine or the engine is in the way, 130 interrupted."""

import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import boxlab
from boxlab import catalogue, errors, interrupts, profiles, terminal
from boxlab.errors import BoxlabError, RecordError, UsageError
from boxlab.labs import commands
from boxlab.language import _

if TYPE_CHECKING:  # most commands need no records
    from boxlab.records import Record

USAGE = 2
INFRASTRUCTURE = 3
PIPE = 141
"""Exit status of a command whose reader has gone, as a shell gives it to those that the kernel ends for it."""

_STATES = {
    "ok": ("green", _("ok")),
    "note": ("cyan", _("note")),
    "warning": ("yellow", _("warning")),
    "failure": ("red", _("failure")),
}
"""Colour and name of each state that the doctor knows."""


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Say what went wrong in one line and its fix in another; a traceback is for our own mistakes only."""
    try:
        yield
    except (RecordError, UsageError) as error:
        _complain(error, USAGE)
    except BoxlabError as error:
        _complain(error, INFRASTRUCTURE)
    except OSError as error:
        if error.filename == terminal.OUTPUT:
            terminal.drop_output()
            if isinstance(error, BrokenPipeError):
                sys.exit(PIPE)
        _complain(errors.of_system(error), INFRASTRUCTURE)
    except (KeyboardInterrupt, click.Abort):
        _complain(interrupts.INTERRUPTED, interrupts.STATUS)
    except RuntimeError as error:
        _complain(errors.of_threads(error), INFRASTRUCTURE)


def _complain(what: BoxlabError | str, status: int) -> NoReturn:
    with suppress(OSError):  # nobody is left to read it
        click.echo(f"boxlab: {what}", err=True)
    sys.exit(status)


class _Group(click.Group):
    def add_command(self, command: click.Command, name: str | None = None) -> None:
        _translate(command)
        super().add_command(command, name)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _one_line_errors():  # options such as --help print already here
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        with _one_line_errors(), interrupts.raised():
            return super().invoke(context)


def _translate(command: click.Command) -> None:
    """Put a command's help, which is the docstring of its function, into the reader's language."""
    command.help = _(inspect.cleandoc(command.help or ""))


@click.group(cls=_Group)
@click.version_option(boxlab.__version__)
def main() -> None:
    """Run one workload as a process, a container and a virtual machine, and measure them side by side."""


_translate(main)


@main.command()
@click.option("--again", is_flag=True, help=_("Try now how virtual machines run, whatever was found earlier."))
@click.option("--json", "as_json", is_flag=True, help=_("The findings as data."))
def doctor(again: bool, as_json: bool) -> None:
    """Say what this machine can do, and the fix for what it cannot."""
    from rich.console import Console
    from rich.table import Table

    from boxlab import doctor as checks

    findings = checks.examine(again)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for title in (_("what"), _("state"), _("found")):
            table.add_column(title, overflow="fold")
        for finding in findings:
            colour, state = _STATES[finding.state]
            fix = f"\n→ {finding.fix}" if finding.fix else ""
            table.add_row(
                finding.what,
                f"[{colour}]{state}[/]",
                finding.detail.replace("[", r"\[") + fix.replace("[", r"\["),
            )
        Console().print(table)
    if any(finding.state == checks.State.FAILURE for finding in findings):
        sys.exit(INFRASTRUCTURE)


@main.command()
@click.option(
    "--chapters",
    is_flag=True,
    help=_("Also what the chapters' notebooks and experiments build on, which takes minutes."),
)
def prepare(chapters: bool) -> None:
    """Build what is missing: images, disks, the kernel; and prove the accelerator. Does nothing that is done already."""
    from boxlab import images, runtimes
    from boxlab.errors import BoxlabError, Unavailable

    ready = []
    for runtime in (kind() for kind in runtimes.ALL):
        try:
            runtime.prepare(runtimes.Workload())
            ready.append(runtime.label)
        except Unavailable as error:
            click.echo(_("left out here: {box}: {why}", box=runtime.label, why=error), err=True)
    click.echo(_("ready to run: {boxes}", boxes=", ".join(ready)) if ready else _("ready to run: nothing"))
    if chapters:
        from boxlab.experiments.learning import prepare as prepare_learning
        from boxlab.runtimes import qemu

        try:
            for name in qemu.needed_images():
                images.ensure(name)
            prepare_learning()
        except BoxlabError as error:  # a notebook tries again, and says so
            click.echo(_("left out here: {box}: {why}", box=_("what the chapters build on"), why=error), err=True)


ARMS = ("process", "container", "restored-vm", "microvm", "full-vm")
"""What runtimes are called, which take long to import."""


def _experiment(experiment: catalogue.Experiment) -> click.Command:
    """The command that runs one experiment and prints its table."""
    about = experiment.about

    def run(arms: tuple[str, ...] = (), as_json: bool = False, **options: Any) -> None:
        options["save_as"] = options["save_as"] or experiment.name
        result = experiment.function()(*([arms] if arms else []), **options)
        if as_json:
            click.echo(json.dumps(result.to_json()))
            return
        _print_run(result)

    parameters: list[click.Parameter] = [
        click.Option(["--profile"], type=click.Choice(list(profiles.ALL)), help=_("How thoroughly to measure.")),
        click.Option(["--rounds"], type=int, help=_("Rounds that count; by default as many as the profile says.")),
        click.Option(["--seed"], type=int, help=_("Seed of the order.")),
        click.Option(["--save-as"], help=_("Name of the record in notebooks/results; by default the experiment's.")),
        click.Option(["--json", "as_json"], is_flag=True, help=_("The whole record instead of a table.")),
    ]
    if experiment.takes_arms:
        parameters.append(click.Argument(["arms"], nargs=-1, type=click.Choice(ARMS), metavar=_("[ARMS]...")))
        about += " " + _("ARMS are {arms}; by default those that make sense.", arms=", ".join(ARMS))
    return click.Command(experiment.name, callback=run, params=parameters, help=about)


for _each in catalogue.EXPERIMENTS:
    main.add_command(_experiment(_each))


def _print_run(result: "Record") -> None:
    """A run's table, its caption, what was left out and what failed."""
    from boxlab import prose, tables

    table = tables.levels(result) if result.levels else tables.summary(result).T
    click.echo(table.to_string())
    click.echo(prose.caption(result))
    for kind, lack in result.plan["left_out"].items():
        click.echo(_("left out: {box}: {why}", box=kind, why=lack["reason"]))
    for kind in result.arms:
        for reason in dict.fromkeys(result.failures(kind)):
            click.echo(_("failed: {box}: {why}", box=kind, why=reason))


@main.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--plot", type=click.Path(dir_okay=False, writable=True, path_type=Path), help=_("Write the plot to this SVG file.")
)
@click.option("--json", "as_json", is_flag=True, help=_("The table and what else differs, as data."))
def compare(a: str, b: str, plot: Path | None, as_json: bool) -> None:
    """Put the records A and B side by side, or say why they cannot be compared."""
    from boxlab import comparison, prose, records

    one, other = records.load(a), records.load(b)
    table, differences = comparison.table(one, other), comparison.differences(one, other)
    if as_json:
        click.echo(json.dumps({"table": table.to_dict("index"), "differences": differences}, indent=2))
    else:
        click.echo(table.to_string())
        for name, record in zip(comparison.NAMES, (one, other), strict=True):
            click.echo(f"{name}: {prose.caption(record)}")
        for difference in differences:
            click.echo(_("note: {difference}", difference=difference))
    if plot:
        from boxlab import plots

        plot.write_text(plots.compare(one, other).standalone(), encoding="utf-8")


@main.command()
@click.argument("shared", nargs=-1, metavar=_("[IMAGE]..."))
@click.option("--images", is_flag=True, help=_("Let go of the book's images as well; those that checkouts share stay."))
def clean(shared: tuple[str, ...], images: bool) -> None:
    """Remove everything of this checkout's that runs or lies around, and nothing of another's.

    The book's images are shared by all checkouts on this engine, and removed only when asked for by name, such as base or
    workload: the other checkouts lose them as well, and build them again, which takes minutes.
    """
    from boxlab import images as book
    from boxlab import leftover, sweep

    if unknown := sorted(set(shared) - set(book.names())):
        raise UsageError(
            _("there is no image {names}", names=", ".join(unknown)),
            _("one of: {names}", names=", ".join(book.names())),
        )

    def say(item: leftover.Leftover) -> None:
        click.echo(_("removed {kind} {name}", kind=leftover.KINDS[item.kind], name=item.name))

    if not sweep.sweep(images, shared, watch=say):
        click.echo(_("nothing of ours was left"))
    if images and (kept := sorted(book.there())):
        click.echo(
            _(
                "kept, as all checkouts share them: {images}; `boxlab clean {names}` removes them",
                images=", ".join(kept),
                names=" ".join(kept),
            )
        )


for _command in commands.ALL:
    main.add_command(_command)
