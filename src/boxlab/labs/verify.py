"""Prove a lab: the starter fails where it should, the solution passes twice, so does every other right answer that is known, every
known mistake is caught, nothing is left."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boxlab import disk, paths
from boxlab.labs import new, runner, workspace
from boxlab.labs.checks import MISTAKE, Outcome
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report
from boxlab.language import _, several

UNFINISHED = _("unfinished")
"""How a problem begins that is no mistake: its author has not come to it yet."""

RIGHT = 4
"""As many other right answers a lab knows: what is right can be written in many ways, and a check must know none."""


@dataclass
class Proof:
    """What was found of one lab.

    Attributes:
        problems: what does not hold, a line each.
        blocked: why it could not be found out, a line each.
        seconds: of every case that was checked, by its name.
        seeds: of what was drawn in it.
    """

    lab: str
    problems: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)


def verify(lab: Lab, watch: Callable[[str], None] = lambda says: None, *, brief: bool = False) -> Proof:
    """Prove a lab.

    Args:
        watch: called with the name of each case before it is checked.
        brief: with answers that are drawn, other ones each time: one that is right, and for each check one that is wrong, by that
            check alone, but for one of these; else all by all checks.

    Raises:
        BoxlabError: another command works on the lab.
    """
    proof = Proof(lab.id)
    proof.problems += _shape(lab)
    with _cases(lab, proof, watch) as case:
        _prove_starter(lab, proof, case)
        names = _prove_solution(lab, proof, case)
        for name in _drawn(lab.right()) if brief else lab.right():
            _prove_right(lab, proof, case, name)
        by_check = {check: [name for name in lab.wrong if lab.wrong[name] == check] for check in lab.wrong.values()}
        tried = [name for names in by_check.values() for name in (_drawn(names) if brief else names)]
        whole = _drawn(tried) if brief else tried
        for name in tried:
            _prove_wrong(lab, proof, case, name, only="" if name in whole else lab.wrong[name])
        if uncaught := names - set(lab.wrong.values()):
            proof.problems.append(_("no wrong answer is caught by {checks}", checks=", ".join(sorted(uncaught))))
    return proof


Case = Callable[..., Report | None]
"""Checks a folder under a name; returns nothing where the machine was in the way."""


def _drawn(names: list[str]) -> list[str]:
    """One of some names, another each time."""
    return [secrets.choice(names)] if names else []


def _prove_starter(lab: Lab, proof: Proof, case: Case) -> None:
    """It fails on the check that the lab is about, and every failure says all that a learner needs."""
    if not (report := case("starter", lab.starter)):
        return
    failed = {result.name: result for result in report.results if result.outcome == Outcome.FAIL}
    if lab.starter_fails not in failed:
        proof.problems.append(_("{case}: {check} does not fail", case="starter", check=lab.starter_fails))
    for result in failed.values():
        lacking = [part for part in ("expected", "actual", "why", "next") if not getattr(result, part)]
        proof.problems += [
            _("{case}: {check} does not say {part!r}", case="starter", check=result.name, part=part) for part in lacking
        ]


def _prove_solution(lab: Lab, proof: Proof, case: Case) -> set[str]:
    """It passes twice; returns the names of the checks. How long the second takes, `make bench` holds against lab.toml."""
    names: set[str] = set()
    for name in ("solution", "solution, warm"):
        if report := case(name, lab.solution):
            names.update(result.name for result in report.results)
            if report.outcome != Outcome.PASS:
                proof.problems.append(f"{name}: {_failures(report)}")
    return names


def _prove_right(lab: Lab, proof: Proof, case: Case, name: str) -> None:
    """It passes, however another engineer has written it."""
    with overlay(lab, f"right/{name}") as source:
        report = case(f"right/{name}", source)
    if report and report.outcome != Outcome.PASS:
        proof.problems.append(f"right/{name}: {_failures(report)}")


def _prove_wrong(lab: Lab, proof: Proof, case: Case, name: str, **checks: str) -> None:
    """It fails its check, and no other of those that are done."""
    if not (lab.folder / "wrong" / name).is_dir():
        return  # said already
    with overlay(lab, f"wrong/{name}") as source:
        report = case(f"wrong/{name}", source, **checks)
    if report and (failed := report.named(Outcome.FAIL)) != [lab.wrong[name]]:
        proof.problems.append(
            _(
                "{case}: fails {checks} in place of {check}",
                case=f"wrong/{name}",
                checks=", ".join(failed) or _("nothing"),
                check=lab.wrong[name],
            )
            + (f" ({_failures(report)})" if failed else "")
        )


def mutants(lab: Lab, watch: Callable[[str], None] = lambda says: None) -> Proof:
    """Take out each check in turn, and see whether what `verify` does with its wrong answers notices that.

    Raises:
        BoxlabError: another command works on the lab.
    """
    proof = Proof(lab.id)
    for check in sorted(set(lab.wrong.values())):
        trial = Proof(lab.id)
        with _cases(lab, trial, watch) as case:
            for name in (name for name, caught_by in lab.wrong.items() if caught_by == check):
                if not trial.problems:
                    _prove_wrong(lab, trial, case, name, without=check)
        proof.blocked += trial.blocked
        proof.seconds[f"without {check}"] = sum(trial.seconds.values())
        if not trial.problems:
            proof.problems.append(_("without {check}: not noticed", check=check))
    return proof


@contextmanager
def overlay(lab: Lab, name: str) -> Iterator[Path]:
    """A folder with the solution and, over it, another answer, such as "wrong/NAME"."""
    place = paths.scratch() / f"overlay-{secrets.token_hex(6)}"
    try:
        shutil.copytree(lab.solution, place)
        shutil.copytree(lab.folder / name, place, dirs_exist_ok=True)
        yield place
    finally:
        disk.remove(place)


def _shape(lab: Lab) -> list[str]:
    """What is wrong with the lab's folder itself."""
    problems = []
    folders = {path.name for path in (lab.folder / "wrong").glob("*") if path.is_dir()}
    problems += [
        f"{UNFINISHED}: {_('{place} says {word}', place=place, word=new.TODO)}" for place in new.unfinished(lab.folder)
    ]
    problems += [
        _("{folder} is not in {file}", folder=f"wrong/{name}", file="lab.toml")
        for name in sorted(folders - lab.wrong.keys())
    ]
    problems += [
        _("{folder} of {file} is not there", folder=f"wrong/{name}", file="lab.toml")
        for name in sorted(lab.wrong.keys() - folders)
    ]
    if len(lab.wrong) < 3:
        problems.append(f"{UNFINISHED}: {_('fewer than three wrong answers')}")
    if len(lab.right()) < RIGHT:
        few = _("fewer than {number} right answers beside the solution", number=RIGHT)
        problems.append(f"{UNFINISHED}: {few}")
    if len(lab.hints()) != 3:
        problems.append(
            several(
                "{file} has {count} parts that begin with {heading!r}, not three",
                "{file} has {count} parts that begin with {heading!r}, not three",
                len(lab.hints()),
                file="hints.md",
                heading="## ",
            )
        )
    if not (lab.folder / "README.md").is_file():
        problems.append(_("{name} is missing", name="README.md"))
    others = [lab.folder / "wrong" / name for name in folders] + [lab.folder / "right" / name for name in lab.right()]
    for place in (lab.solution, *others):
        for path in place.rglob("*"):
            if path.is_file() and str(path.relative_to(place)) not in lab.files:
                problems.append(
                    _("{file} is not among the files that are handed in", file=path.relative_to(lab.folder))
                )
    return problems


@contextmanager
def _cases(lab: Lab, proof: Proof, watch: Callable[[str], None]) -> Iterator[Case]:
    """A way to check folders, one after another, while nobody else works on the lab.

    Afterwards, what checks keep on the engine to be faster the next time is gone.
    """
    from boxlab import leftover, sweep

    on_engine, seed = "engine" in lab.needs, secrets.randbits(32)

    def case(name: str, source: Path, without: str = "", only: str = "") -> Report | None:
        watch(name)
        run = secrets.token_hex(6)
        report = runner.run(lab, source, seed, run=run, without=without, only=only)
        proof.seconds[name] = report.seconds
        proof.blocked += [f"{name}: {trouble}" for trouble in report.trouble]
        own = without and any(result.reason.startswith(MISTAKE) for result in report.results)
        if report.outcome == Outcome.INFRASTRUCTURE and not own:  # what a check that is gone kept away broke the others
            proof.blocked.append(f"{name}: {_failures(report)}")
            return None
        proof.seeds[name] = report.seed
        proof.problems += [
            _("{case}: left {kind} {name}", case=name, kind=leftover.KINDS[item.kind], name=item.name)
            for item in sweep.of_run(run, on_engine)
        ]
        return report

    with workspace.lock(lab.id):
        try:
            yield case
        finally:
            if on_engine:
                sweep.remove_lab_images(lab.id)


def _failures(report: Report) -> str:
    wrong = [r for r in report.results if r.outcome in (Outcome.FAIL, Outcome.INFRASTRUCTURE)]
    return "; ".join(dict.fromkeys(f"{r.name}: {r.outcome}: {r.reason or r.actual}" for r in wrong))
