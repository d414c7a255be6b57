"""The commands for labs. Exit status: 0 pass, 1 fail, 2 wrong usage, 3 the machine is in the way."""

import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boxlab.errors import BoxlabError, UsageError
from boxlab.language import _

if TYPE_CHECKING:
    from boxlab.labs.grading import Grade
    from boxlab.labs.lab import Lab

FAIL, INFRASTRUCTURE = 1, 3
STATUS = {"pass": 0, "fail": FAIL, "infrastructure": INFRASTRUCTURE}

POLL_S = 0.5
"""How often `--watch` looks at the files."""

_lab = click.argument("lab", metavar=_("LAB"))

LAB = "LAB"
"""How the help calls that argument."""

STATES = {
    "passed": _("passed"),
    "started": _("started"),
    "not started": _("not started"),
    "unreadable": _("unreadable"),
}
GRADES = {
    "pass": _("pass"),
    "fail": _("fail"),
    "infrastructure": _("could not be checked"),
    "missing": _("not handed in"),
}
NEEDS = {"engine": _("engine"), "root": _("root"), "vm": _("vm")}
"""How what is data elsewhere is called where it is listed."""


@click.command(help=_("List the labs, with points and how far you are."))
@click.option("--json", "as_json", is_flag=True, help=_("The list as data."))
def labs(as_json: bool) -> None:
    from boxlab.labs import lab, workspace

    rows: list[dict[str, Any]] = []
    todo, trouble = "", []
    for each in lab.every():
        started = workspace.folder(each).is_dir()
        try:
            state = workspace.progress(each)
            standing = "passed" if state.passed else "started" if started else "not started"
        except BoxlabError as error:
            trouble.append(error)
            state, standing = workspace.Progress(workspace.VERSION, 0), "unreadable"
        rows.append(
            {"id": each.id, "title": each.title, "minutes": each.minutes, "needs": list(each.needs), "state": standing}
            | {"points": state.points, "of": each.points, "hints": state.hints, "gave_up": state.gave_up}
        )
        if standing in ("started", "not started"):
            todo = todo or f"boxlab {'check' if started else 'start'} {each.name}"
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            standing = STATES[row["state"]]
            click.echo(f"{row['id']:<16} {standing:<12} {row['points']:>2}/{row['of']:<3} {_about(row)}")
        if todo:
            click.echo(_("next: {command}", command=todo))
        elif not trouble:
            click.echo(_("all passed") if rows else _("there are no labs yet"))
    for unreadable in trouble:
        click.echo(f"boxlab: {unreadable}", err=True)
    if trouble:
        sys.exit(INFRASTRUCTURE)


def _about(row: dict[str, Any]) -> str:
    """What a lab is about, and what it takes."""
    if not row["needs"]:
        return _("{title} ({minutes} min)", title=row["title"], minutes=row["minutes"])
    needs = reduce(lambda one, other: _("{one} and {other}", one=one, other=other), (NEEDS[n] for n in row["needs"]))
    return _("{title} ({minutes} min, needs {needs})", title=row["title"], minutes=row["minutes"], needs=needs)


@click.command(help=_("Make your copy of {lab} in {folder}; never overwrites one.", lab=LAB, folder="work/"))
@_lab
def start(lab: str) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    made, folder = workspace.start(chosen), _shown(workspace.folder(chosen))
    click.echo(_("made {folder}", folder=folder) if made else _("there already: {folder}", folder=folder))
    if laid := workspace.lay_missing(chosen):
        click.echo(_("was missing, and is the starter's now: {files}", files=", ".join(laid)))
    click.echo(_("task: {file}", file=_shown(chosen.folder / "README.md")))
    files, command = ", ".join(chosen.files), f"boxlab check {chosen.name}"
    click.echo(_("change: {files}; then: {command}", files=files, command=command))


@click.command(help=_("Say what holds in your copy of {lab}, what does not, why, and what to do next.", lab=LAB))
@_lab
@click.option("--watch", is_flag=True, help=_("Check again whenever a file changes, until Ctrl-C."))
@click.option("--json", "as_json", is_flag=True, help=_("The report as data, all of it on one line."))
@click.option("--seed", type=click.IntRange(0), help=_("Draw what an earlier check drew, whose report has this seed."))
def check(lab: str, watch: bool, as_json: bool, seed: int | None) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    workspace.require_started(chosen)
    sys.exit((_watch if watch else _check)(chosen, as_json, seed))


def _watch(lab: "Lab", as_json: bool, seed: int | None) -> int:
    """Check at once and after each change, until Ctrl-C; returns the exit status of the last check."""
    from boxlab.labs import workspace

    status, said = None, ""
    try:
        while True:
            seen = workspace.contents(lab)  # before the check, which does not see what is saved while it runs
            try:
                status = _check(lab, as_json, seed)
                said = ""
                click.echo(_("watching; Ctrl-C ends"), err=True)
                _wait_for_change(lab, seen)
            except (workspace.Busy, UsageError) as error:  # or the copy is gone: it does not last
                if said != (said := str(error)):
                    click.echo(_("waiting: {reason}", reason=said), err=True)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        if status is None:
            raise
        click.echo("", err=True)
        return status


def _wait_for_change(lab: "Lab", seen: dict[str, str] | None) -> None:
    """Wait until the files differ from those `seen`, and no longer change: an editor may write one in several steps."""
    from boxlab.labs import workspace

    while (now := workspace.contents(lab)) == seen:
        time.sleep(POLL_S)
    before = None
    while before != now:
        time.sleep(POLL_S)
        before, now = now, workspace.contents(lab)


def _check(lab: "Lab", as_json: bool, seed: int | None) -> int:
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
            click.echo(f"\r\x1b[K… {_cut(text)}", nl=False, err=True)

        self._drawn = sys.stderr.isatty()
        return say if self._drawn else lambda text: None

    def __exit__(self, *error: object) -> None:
        if self._drawn:
            click.echo("\r\x1b[K", nl=False, err=True)


def _cut(text: str) -> str:
    """As much of a text as one row of the terminal shows behind a mark: a letter may take two columns."""
    from rich.cells import cell_len, set_cell_size

    try:
        room = os.get_terminal_size(sys.stderr.fileno()).columns - 3
    except OSError:
        room = 0
    room = room if room > 0 else 70
    return text if cell_len(text) <= room else set_cell_size(text, room)


@click.command(help=_("Open the machine that checks of {lab} use, with your files in it; Ctrl-D ends it.", lab=LAB))
@_lab
def shell(lab: str) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import shell as shells

    shells.run(labs.find(lab), lambda says: click.echo(says, err=True))


@click.command(help=_("Show the next hint for {lab}.", lab=LAB))
@_lab
def hint(lab: str) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    read, last = workspace.progress(chosen).hints, len(chosen.hints())
    number, text = workspace.hint(chosen)
    head = _("hint {number} of {last}", number=number, last=last)
    if read == last:
        head = _(
            "hint {number} of {last}: the last one again; `boxlab solution {lab} --give-up` shows a solution",
            number=number,
            last=last,
            lab=chosen.name,
        )
    click.echo(f"{head}\n\n{text.strip()}")


@click.command(help=_("Begin {lab} anew; what you have is kept beside it.", lab=LAB))
@_lab
@click.option("--yes", is_flag=True, help=_("Do not ask."))
def reset(lab: str, yes: bool) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    workspace.require_started(chosen)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(_("nobody is there to be asked: say {option}", option="--yes"))
        if not click.confirm(_("Begin {lab} anew? What you have is kept.", lab=chosen.id)):
            click.echo(_("nothing was changed"))
            return
    click.echo(_("kept: {folder}", folder=_shown(workspace.reset(chosen))))
    click.echo(_("made {folder}", folder=_shown(workspace.folder(chosen))))
    again = f"cd {shlex.quote(str(workspace.folder(chosen)))}"
    click.echo(_("a shell or an editor that stood in it is now in what is kept: `{command}`", command=again))


@click.command(help=_("Show a solution of {lab}, once yours passes.", lab=LAB))
@_lab
@click.option("--give-up", is_flag=True, help=_("Show it although yours does not pass."))
def solution(lab: str, give_up: bool) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import workspace

    chosen = labs.find(lab)
    for name, text in workspace.solution(chosen, give_up).items():
        click.echo(f"--- {name}\n{text}")


@click.command(
    help=_(
        "Instructors: check what learners have handed in, in {folder}, and say a line for each.\n\n"
        "There each has a folder or an archive ({archives}), and in it folders that are named as the labs, as in {work}; with "
        "one {option}, the files may lie anywhere in it. All learners get the same questions. Nobody is harmed by a mistake of "
        "theirs, but who means harm may get out of a container: for those, use a virtual machine that you can throw away.",
        folder="FOLDER",
        archives="zip, tar.gz",
        work="work/",
        option="--lab",
    )
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar=_("FOLDER"))
@click.option("--lab", "names", multiple=True, metavar=_("LAB"), help=_("Only this one; can be given again."))
@click.option("--csv", "as_csv", is_flag=True, help=_("A table for a spreadsheet."))
@click.option("--json", "as_json", is_flag=True, help=_("All reports as data, one on each line."))
def grade(folder: Path, names: tuple[str, ...], as_csv: bool, as_json: bool) -> None:
    import csv

    from tqdm import tqdm

    from boxlab.labs import grading
    from boxlab.labs import lab as labs

    if as_csv and as_json:
        raise click.UsageError(_("{one} or {other}, not both", one="--csv", other="--json"))
    chosen = [labs.find(name) for name in names] or labs.every()
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="")

    def show(cells: list[str]) -> None:
        table.writerow(cells)
        tqdm.write(lines.getvalue(), file=sys.stdout)
        lines.seek(0)
        lines.truncate()

    if as_csv:
        show(grading.HEAD)
    status = 0
    for row, report in grading.grade(folder, chosen, alone=len(names) == 1):
        if as_csv:
            show(row.cells())
        elif as_json:
            tqdm.write(json.dumps(grading.to_json(row, report)), file=sys.stdout)
        else:
            tqdm.write(_graded(row), file=sys.stdout)
        for line in report.trouble if report else ():
            click.echo(f"boxlab: {line}", err=True)
        if report and (report.trouble or report.outcome == "infrastructure"):
            status = INFRASTRUCTURE
    sys.exit(status)


def _graded(row: "Grade") -> str:
    """A row in words, for a terminal."""
    line = f"{row.learner:<20} {row.lab:<12} {row.points:>2}/{row.of:<3} {GRADES[row.outcome]}"
    line += f": {row.failed}" if row.failed else ""
    return f"{line} ({_('the same files as {name}', name=row.same_files_as)})" if row.same_files_as else line


@click.command(help=_("Authors: prove {lab}, or all of them: starter, solution, wrong answers, nothing left.", lab=LAB))
@click.argument("lab", required=False, metavar=_("[LAB]"))
@click.option("--mutants", is_flag=True, help=_("Take out each check in turn, and see whether that is noticed."))
def verify(lab: str | None, mutants: bool) -> None:
    from boxlab.labs import lab as labs
    from boxlab.labs import verify as proofs

    status, unfinished = 0, True
    for chosen in [labs.find(lab)] if lab else labs.every():
        with _status() as say:
            proof = (proofs.mutants if mutants else proofs.verify)(chosen, say)
        lines = [
            _("{seconds:5.1f} s  {case}  (seed {seed})", seconds=seconds, case=name, seed=proof.seeds[name])
            if name in proof.seeds
            else _("{seconds:5.1f} s  {case}", seconds=seconds, case=name)
            for name, seconds in proof.seconds.items()
        ]
        unfinished &= all(line.startswith(proofs.UNFINISHED) for line in proof.problems)
        lines += [_("PROBLEM {line}", line=line) for line in proof.problems]
        lines += [_("BLOCKED {line}", line=line) for line in proof.blocked]
        status = max(status, INFRASTRUCTURE if proof.blocked else FAIL if proof.problems else 0)
        for line in lines:
            click.echo(f"{chosen.id}: {line}")
    failed = _("what there is holds; it is unfinished") if unfinished else _("not proven")
    said = {0: _("all is as it should be"), FAIL: failed, INFRASTRUCTURE: _("the machine is in the way")}
    click.echo(said[status])
    sys.exit(status)


@click.command(
    help=_(
        "For lab 07: run so many containers, one of {counts} after the other, and print as JSON what they take.\n\n"
        "It has `version`, `own_mib`, `shared_mib` and `readings`, one for each number: `containers`; of all `processes` that "
        "run for their sake `name`, `role`, `rss`, `pss` and `uss`; `docker_stats` of each container; what was "
        "`available_before` and is `available`. Sizes are bytes, but for the two in MiB.",
        counts="COUNTS",
    )
)
@click.argument("counts", type=click.IntRange(1, 64), nargs=-1, required=True, metavar=_("COUNTS..."))
@click.option(
    "--own",
    type=click.IntRange(1, 1024),
    default=12,
    show_default=True,
    help=_("MiB that each fills with its own data."),
)
@click.option(
    "--shared", type=click.IntRange(1, 1024), default=24, show_default=True, help=_("MiB of one file that all map.")
)
def readings(counts: tuple[int, ...], own: int, shared: int) -> None:
    from boxlab.labs import readings as room

    found = room.take(counts, own, shared)
    click.echo(json.dumps({"version": room.VERSION, "own_mib": own, "shared_mib": shared, "readings": found}))


@click.command(help=_("Authors: lay the skeleton of a lab, such as {example}.", example="11-order"))
@click.argument("name", metavar=_("NAME"))
def new_lab(name: str) -> None:
    from boxlab.labs import new

    click.echo(_("made: {folder}", folder=_shown(new.lay(name))))
    click.echo(
        _(
            "next: its {page} into {contents}; then `boxlab verify {name}` until nothing is unfinished",
            page="README.md",
            contents="_toc.yml",
            name=name,
        )
    )


def _shown(path: Path) -> str:
    """A path as the learner would type it."""
    from boxlab import paths

    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else str(path)


ALL = (labs, start, check, shell, hint, reset, solution, grade, readings, verify, new_lab)
