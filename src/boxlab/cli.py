"""The command `boxlab`. Exit status: 0 fine, 2 wrong usage, 3 the machine or the engine is in the way, 130 interrupted."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

import boxlab
from boxlab.errors import BoxlabError

INFRASTRUCTURE = 3

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "red"}


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Say what went wrong in one line and its fix in another; a traceback is for our own mistakes only."""
    try:
        yield
    except BoxlabError as error:
        click.echo(f"boxlab: {error}", err=True)
        sys.exit(INFRASTRUCTURE)
    except OSError as error:
        click.echo(f"boxlab: {error.filename or 'the system'}: {error.strerror}", err=True)
        sys.exit(INFRASTRUCTURE)
    except KeyboardInterrupt:
        click.echo("boxlab: interrupted; nothing of ours is left running", err=True)
        sys.exit(130)


class _Group(click.Group):
    def invoke(self, context: click.Context):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
        with _one_line_errors():
            return super().invoke(context)


@click.group(cls=_Group)
@click.version_option(boxlab.__version__)
def main() -> None:
    """Run one workload as a process, a container and a virtual machine, and measure them side by side."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The findings as data.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do, and the fix for what it cannot."""
    from boxlab import doctor as checks

    findings = checks.examine()
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


@main.command()
@click.option("--profile", type=click.Choice(["quick", "class", "paper"]), help="How thoroughly to measure.")
@click.option("--rounds", type=int, help="Rounds that count; by default as many as the profile says.")
@click.option("--seed", type=int, help="Seed of the order.")
@click.option("--save-as", default="startup", show_default=True, help="Name of the record in notebooks/results.")
@click.option("--json", "as_json", is_flag=True, help="The whole record instead of a table.")
@click.argument("arms", nargs=-1)
def startup(
    arms: tuple[str, ...], profile: str | None, rounds: int | None, seed: int | None, save_as: str, as_json: bool
) -> None:
    """Measure how long ARMS (process, container, microvm, full-vm; all by default) take to start."""
    from boxlab import experiments, runtimes

    arms = arms or tuple(kind.kind for kind in runtimes.ALL)
    run = experiments.startup(arms, profile=profile, rounds=rounds, seed=seed, save_as=save_as)
    if as_json:
        click.echo(json.dumps(run.to_json(), ensure_ascii=False))
        return
    click.echo(run.table().T.to_string())
    click.echo(run.caption())
    for kind, lack in run.plan["left_out"].items():
        click.echo(f"left out: {kind}: {lack['reason']}")


@main.command()
@click.option("--images", is_flag=True, help="The images as well; building them again takes minutes.")
def clean(images: bool) -> None:
    """Remove everything of ours that runs or lies around, and nothing else."""
    from boxlab import sweep

    removed = sweep.sweep(images)
    for item in removed:
        click.echo(f"removed {item.kind} {item.name}")
    if not removed:
        click.echo("nothing of ours was left")
