"""The commands for labs. Exit status: 0 pass, 1 fail, 2 wrong usage, 3 the machine is in the way."""

import json
import sys
import time
from collections.abc import Callable

import click

from boxlab import terminal
from boxlab.errors import BoxlabError, of_system

FAIL, INFRASTRUCTURE = 1, 3
STATUS = {"pass": 0, "fail": FAIL, "infrastructure": INFRASTRUCTURE}

POLL_S = 0.5
"""How often `--watch` looks at the files."""

_lab = click.argument("lab")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The list as data.")
def labs(as_json: bool) -> None:
    """List the labs, with points and how far you are."""
    from boxlab.labs import lab, workspace

    rows = []
    for each in lab.every():
        state, started = workspace.progress(each), workspace.folder(each).is_dir()
        standing = "passed" if state.passed else "started" if started else "not started"
        rows.append(
            {"id": each.id, "title": each.title, "minutes": each.minutes, "needs": list(each.needs), "state": standing}
            | {"points": state.points, "of": each.points, "hints": state.hints, "gave_up": state.gave_up}
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        needs = f", needs {' and '.join(row['needs'])}" if row["needs"] else ""
        click.echo(
            f"{row['id']:<16} {row['state']:<12} {row['points']:>2}/{row['of']:<3} {row['title']} ({row['minutes']} min{needs})"
        )
    todo = [row["id"] for row in rows if row["state"] != "passed"]
    done = "all passed" if rows else "there are no labs yet"
    click.echo(f"next: boxlab start {todo[0].partition('-')[0]}" if todo else done)


@click.command()
@_lab
def start(lab: str) -> None:
    """Make your copy of LAB in work/; never overwrites one."""
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    made = workspace.start(chosen)
    click.echo(f"{'made' if made else 'there already:'} {_shown(workspace.folder(chosen))}")
    click.echo(f"task: {_shown(chosen.folder / 'README.md')}")
    click.echo(f"change: {', '.join(chosen.files)}; then: boxlab check {chosen.number}")


@click.command()
@_lab
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="The report as data, all of it on one line.")
@click.option("--seed", type=click.IntRange(0), help="Draw what an earlier check drew, whose report has this seed.")
def check(lab: str, watch: bool, as_json: bool, seed: int | None) -> None:
    """Say what holds in your copy of LAB, what does not, why, and what to do next."""
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    workspace.require_started(chosen)
    sys.exit((_watch if watch else _check)(chosen, as_json, seed))


def _watch(lab, as_json: bool, seed: int | None) -> int:
    """Check at once and after each change, until Ctrl-C; returns the exit status of the last check."""
    from boxlab.labs import workspace

    status, said = None, ""
    try:
        while True:
            seen = workspace.contents(lab)  # before the check, which does not see what is saved while it runs
            try:
                status = _check(lab, as_json, seed)
                said = ""
                click.echo("watching; Ctrl-C ends", err=True)
                _wait_for_change(lab, seen)
            except (
                BoxlabError,
                OSError,
            ) as error:  # another command has the lab, or the copy is gone: it does not last
                if isinstance(error, OSError):
                    if error.filename == terminal.OUTPUT:
                        raise
                    error = of_system(error)
                if said != (said := error.args[0]):
                    click.echo(f"waiting: {said}", err=True)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        if status is None:
            raise
        click.echo("", err=True)
        return status


def _wait_for_change(lab, seen: dict[str, str] | None) -> None:
    """Wait until the files differ from those `seen`, and no longer change: an editor may write one in several steps."""
    from boxlab.labs import workspace

    while (now := workspace.contents(lab)) == seen:
        time.sleep(POLL_S)
    before = None
    while before != now:
        time.sleep(POLL_S)
        before, now = now, workspace.contents(lab)


def _check(lab, as_json: bool, seed: int | None) -> int:
    """Check once and print the report; returns the exit status."""
    from boxlab.labs import report, workspace

    with _status() as say:
        found = workspace.check(lab, watch=say, draws=seed)
    if as_json:
        data = found.to_json()
        report.validate(data)
        click.echo(json.dumps(data))
        for line in found.trouble:
            click.echo(f"boxlab: {line}", err=True)
    else:
        click.echo(found.to_text(colours=sys.stdout.isatty()), nl=False)
    return INFRASTRUCTURE if found.trouble else STATUS[found.outcome]


class _status:
    """What is being checked, on a terminal's last line; elsewhere nothing."""

    def __enter__(self) -> Callable[[str], None]:
        def say(text: str) -> None:
            click.echo(f"\r\x1b[K… {text[:70]}", nl=False, err=True)

        self._drawn = sys.stderr.isatty()
        return say if self._drawn else lambda text: None

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            click.echo("\r\x1b[K", nl=False, err=True)


@click.command()
@_lab
def shell(lab: str) -> None:
    """Open the machine that checks of LAB use, with your files in it; Ctrl-D ends it."""
    from boxlab.labs import lab as labs
    from boxlab.labs import shell as shells

    shells.run(labs.find(lab), lambda says: click.echo(says, err=True))


@click.command()
@_lab
def hint(lab: str) -> None:
    """Show the next hint for LAB."""
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    read, last = workspace.progress(chosen).hints, len(chosen.hints())
    number, text = workspace.hint(chosen)
    again = (
        f": the last one again; `boxlab solution {chosen.number} --give-up` shows a solution" if read == last else ""
    )
    click.echo(f"hint {number} of {last}{again}\n\n{text.strip()}")


@click.command()
@_lab
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(lab: str, yes: bool) -> None:
    """Begin LAB anew; what you have is kept beside it."""
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    workspace.require_started(chosen)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to be asked: say --yes")
        if not click.confirm(f"Begin {chosen.id} anew? What you have is kept."):
            click.echo("nothing was changed")
            return
    click.echo(f"kept: {_shown(workspace.reset(chosen))}")
    click.echo(f"made {_shown(workspace.folder(chosen))}")


@click.command()
@_lab
@click.option("--give-up", is_flag=True, help="Show it although yours does not pass.")
def solution(lab: str, give_up: bool) -> None:
    """Show a solution of LAB, once yours passes."""
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    for name, text in workspace.solution(chosen, give_up).items():
        click.echo(f"--- {name}\n{text}")


@click.command()
@click.argument("lab", required=False)
@click.option("--mutants", is_flag=True, help="Take out each check in turn, and see whether that is noticed.")
def verify(lab: str | None, mutants: bool) -> None:
    """Authors: prove LAB, or all of them: starter, solution, wrong answers, nothing left."""
    from boxlab.labs import lab as labs
    from boxlab.labs import verify as proofs

    status, unfinished = 0, True
    for chosen in [labs.find(lab)] if lab else labs.every():
        with _status() as say:
            proof = (proofs.mutants if mutants else proofs.verify)(chosen, say)
        lines = [
            f"{seconds:5.1f} s  {name}" + (f"  (seed {proof.seeds[name]})" if name in proof.seeds else "")
            for name, seconds in proof.seconds.items()
        ]
        unfinished &= all(line.startswith(proofs.UNFINISHED) for line in proof.problems)
        lines += [f"PROBLEM {line}" for line in proof.problems] + [f"BLOCKED {line}" for line in proof.blocked]
        status = max(status, INFRASTRUCTURE if proof.blocked else FAIL if proof.problems else 0)
        for line in lines:
            click.echo(f"{chosen.id}: {line}")
    failed = "what there is holds; it is unfinished" if unfinished else "not proven"
    click.echo({0: "all is as it should be", FAIL: failed, INFRASTRUCTURE: "the machine is in the way"}[status])
    sys.exit(status)


@click.command()
@click.argument("counts", type=click.IntRange(1, 64), nargs=-1, required=True)
@click.option(
    "--own", type=click.IntRange(1, 1024), default=12, show_default=True, help="MiB that each fills with its own data."
)
@click.option(
    "--shared", type=click.IntRange(1, 1024), default=24, show_default=True, help="MiB of one file that all map."
)
def readings(counts: tuple[int, ...], own: int, shared: int) -> None:
    """For lab 07: run so many containers, one of COUNTS after the other, and print as JSON what they take.

    It has `version`, `own_mib`, `shared_mib` and `readings`, one for each number: `containers`; of all `processes` that run for
    their sake `name`, `role`, `rss`, `pss` and `uss`; `docker_stats` of each container; what was `available_before` and is
    `available`. Sizes are bytes, but for the two in MiB.
    """
    from boxlab.labs import readings as room

    found = room.take(counts, own, shared)
    click.echo(json.dumps({"version": room.VERSION, "own_mib": own, "shared_mib": shared, "readings": found}))


@click.command()
@click.argument("name")
def new_lab(name: str) -> None:
    """Authors: lay the skeleton of a lab, such as 11-order."""
    from boxlab.labs import new

    click.echo(f"made: {_shown(new.lay(name))}")
    click.echo(f"next: its README.md into _toc.yml; then `boxlab verify {name}` until nothing is unfinished")


def _shown(path) -> str:
    """A path as the learner would type it."""
    from boxlab import paths

    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else str(path)


ALL = (labs, start, check, shell, hint, reset, solution, readings, verify, new_lab)
