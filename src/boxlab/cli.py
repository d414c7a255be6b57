"""The command `boxlab`. Exit status: 0 fine, 1 a lab fails, 2 wrong usage, 3 the machine or the engine is in the way, 130 interrupted."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

import boxlab
from boxlab import catalogue, errors, interrupts, profiles, terminal
from boxlab.errors import BoxlabError, RecordError, UsageError
from boxlab.labs import commands

USAGE = 2
INFRASTRUCTURE = 3
PIPE = 141
"""Exit status of a command whose reader has gone, as a shell gives it to those that the kernel ends for it."""

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "red"}


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
        _complain("interrupted; nothing of ours is left running", interrupts.STATUS)


def _complain(what: BoxlabError | str, status: int) -> NoReturn:
    with suppress(OSError):  # nobody is left to read it
        click.echo(f"boxlab: {what}", err=True)
    sys.exit(status)


class _Group(click.Group):
    def invoke(self, context: click.Context):
        with _one_line_errors(), interrupts.raised():
            return super().invoke(context)


@click.group(cls=_Group)
@click.version_option(boxlab.__version__)
def main() -> None:
    """Run one workload as a process, a container and a virtual machine, and measure them side by side."""


@main.command()
@click.option("--again", is_flag=True, help="Try now how virtual machines run, whatever was found earlier.")
@click.option("--json", "as_json", is_flag=True, help="The findings as data.")
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
        for title in ("what", "state", "found"):
            table.add_column(title, overflow="fold")
        for finding in findings:
            colour = _COLOURS[finding.state]
            fix = f"\n→ {finding.fix}" if finding.fix else ""
            table.add_row(
                finding.what,
                f"[{colour}]{finding.state}[/]",
                finding.detail.replace("[", r"\[") + fix.replace("[", r"\["),
            )
        Console().print(table)
    if any(finding.state == checks.State.FAILURE for finding in findings):
        sys.exit(INFRASTRUCTURE)


@main.command()
def prepare() -> None:
    """Build what is missing: images, disks, the kernel; and prove the accelerator. Does nothing that is done already."""
    from boxlab import runtimes
    from boxlab.errors import Unavailable

    ready = []
    for runtime in (kind() for kind in runtimes.ALL):
        try:
            runtime.prepare(runtimes.Workload())
            ready.append(runtime.label)
        except Unavailable as error:
            click.echo(f"left out here: {runtime.label}: {error}", err=True)
    click.echo(f"ready to run: {', '.join(ready) or 'nothing'}")


def _experiment(experiment: catalogue.Experiment) -> click.Command:
    """The command that runs one experiment and prints its table."""
    about = experiment.about

    def run(arms: tuple[str, ...] = (), as_json: bool = False, **options) -> None:
        options["save_as"] = options["save_as"] or experiment.name
        result = experiment.function()(*([arms] if arms else []), **options)
        if as_json:
            click.echo(json.dumps(result.to_json()))
            return
        _print_run(result)

    parameters = [
        click.Option(["--profile"], type=click.Choice(list(profiles.ALL)), help="How thoroughly to measure."),
        click.Option(["--rounds"], type=int, help="Rounds that count; by default as many as the profile says."),
        click.Option(["--seed"], type=int, help="Seed of the order."),
        click.Option(["--save-as"], help="Name of the record in notebooks/results; by default the experiment's."),
        click.Option(["--json", "as_json"], is_flag=True, help="The whole record instead of a table."),
    ]
    if experiment.takes_arms:
        parameters.append(click.Argument(["arms"], nargs=-1))
        about += " ARMS are process, container, restored-vm, microvm, full-vm; by default those that make sense."
    return click.Command(experiment.name, callback=run, params=parameters, help=about)


for _each in catalogue.EXPERIMENTS:
    main.add_command(_experiment(_each))


def _print_run(result) -> None:
    """A run's table, its caption, what was left out and what failed."""
    from boxlab import prose, tables

    table = tables.levels(result) if result.levels else tables.summary(result).T
    click.echo(table.to_string())
    click.echo(prose.caption(result))
    for kind, lack in result.plan["left_out"].items():
        click.echo(f"left out: {kind}: {lack['reason']}")
    for kind in result.arms:
        for reason in dict.fromkeys(result.failures(kind)):
            click.echo(f"failed: {kind}: {reason}")


@main.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--plot", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write the plot to this SVG file."
)
@click.option("--json", "as_json", is_flag=True, help="The table and what else differs, as data.")
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
            click.echo(f"note: {difference}")
    if plot:
        from boxlab import plots

        plot.write_text(plots.compare(one, other).standalone(), encoding="utf-8")


@main.command()
@click.argument("shared", nargs=-1, metavar="[IMAGE]...")
@click.option("--images", is_flag=True, help="Let go of the book's images as well; those that checkouts share stay.")
def clean(shared: tuple[str, ...], images: bool) -> None:
    """Remove everything of this checkout's that runs or lies around, and nothing of another's.

    The book's images are shared by all checkouts on this engine, and removed only when asked for by name, such as base or
    workload: the other checkouts lose them as well, and build them again, which takes minutes.
    """
    from boxlab import images as book
    from boxlab import sweep

    if unknown := sorted(set(shared) - set(book.names())):
        raise UsageError(f"there is no image {', '.join(unknown)}", f"one of: {', '.join(book.names())}")
    removed = sweep.sweep(images, shared, watch=lambda item: click.echo(f"removed {item.kind} {item.name}"))
    if not removed:
        click.echo("nothing of ours was left")
    if images and (kept := sorted(book.there())):
        click.echo(
            f"kept, as all checkouts share them: {', '.join(kept)}; `boxlab clean {' '.join(kept)}` removes them"
        )


for _command in commands.ALL:
    main.add_command(_command)
