"""Prove a lab: the starter fails where it should, the solution passes twice, every known mistake is caught, nothing is left."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boxlab import paths
from boxlab.labs import runner, workspace
from boxlab.labs.checks import Outcome
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report


@dataclass
class Proof:
    """What was found of one lab.

    Attributes:
        problems: what does not hold, a line each.
        blocked: why it could not be found out, a line each.
        seconds: of every case that was checked, by its name.
    """

    lab: str
    problems: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def verify(lab: Lab, watch=lambda says: None) -> Proof:
    """Prove a lab.

    Raises:
        BoxlabError: another command works on it.
    """
    proof = Proof(lab.id)
    proof.problems += _shape(lab)
    seed = secrets.randbits(32)
    with workspace.lock(lab.id), _images(lab, proof):
        report = _case(lab, proof, "starter", lab.starter, seed, watch)
        if report:
            failed = [r for r in report.results if r.name == lab.starter_fails and r.outcome == Outcome.FAIL]
            if not failed:
                proof.problems.append(f"starter: {lab.starter_fails} does not fail")
            proof.problems += [f"starter: {r.name} fails without {part}" for r in report.results if r.outcome == Outcome.FAIL
                               for part in ("expected", "actual", "why", "next") if not getattr(r, part)]  # fmt: skip
        for name in ("solution", "solution again"):
            report = _case(lab, proof, name, lab.solution, seed, watch)
            if report and report.outcome != Outcome.PASS:
                proof.problems.append(f"{name}: {_failures(report)}")
        if (took := proof.seconds[name]) > lab.seconds:
            proof.problems.append(f"{name}: took {took:.1f} s, warm; lab.toml allows {lab.seconds:g} s")
        known = {result.name for result in report.results} if report else set()
        if missing := known - set(lab.wrong.values()):
            proof.problems.append(f"no wrong answer is caught by: {', '.join(sorted(missing))}")
        for name, check in lab.wrong.items():
            with overlay(lab, name) as source:
                report = _case(lab, proof, f"wrong/{name}", source, seed, watch)
            if report and (found := report.named(Outcome.FAIL)) != [check]:
                proof.problems.append(f"wrong/{name}: fails {', '.join(found) or 'nothing'} in place of {check}")
    return proof


def mutants(lab: Lab, watch=lambda says: None) -> dict[str, bool]:
    """Take out each check in turn: whether its wrong answers then look different, so that `verify` notices.

    Raises:
        BoxlabError: another command works on the lab.
    """
    noticed: dict[str, bool] = {}
    proof = Proof(lab.id)
    seed = secrets.randbits(32)
    with workspace.lock(lab.id), _images(lab, proof):
        for name, check in lab.wrong.items():
            if noticed.get(check):
                continue
            with overlay(lab, name) as source:
                report = _case(lab, proof, f"wrong/{name} without {check}", source, seed, watch, without=check)
            noticed[check] = bool(report) and report.named(Outcome.FAIL) != [check]
    return noticed


@contextmanager
def overlay(lab: Lab, name: str) -> Iterator[Path]:
    """A folder with the solution and, over it, one of the wrong answers."""
    place = paths.scratch() / f"overlay-{secrets.token_hex(6)}"
    try:
        shutil.copytree(lab.solution, place)
        shutil.copytree(lab.folder / "wrong" / name, place, dirs_exist_ok=True)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _shape(lab: Lab) -> list[str]:
    """What is wrong with the lab's folder itself."""
    problems = []
    folders = {path.name for path in (lab.folder / "wrong").glob("*") if path.is_dir()}
    problems += [f"wrong/{name} is not in lab.toml" for name in sorted(folders - lab.wrong.keys())]
    problems += [f"wrong/{name} of lab.toml is not there" for name in sorted(lab.wrong.keys() - folders)]
    if len(lab.wrong) < 3:
        problems.append("fewer than three wrong answers")
    if len(lab.hints()) != 3:
        problems.append(f"hints.md has {len(lab.hints())} parts that begin with '## ', not three")
    if not (lab.folder / "README.md").is_file():
        problems.append("README.md is missing")
    for place in (lab.solution, *(lab.folder / "wrong" / name for name in folders)):
        for path in place.rglob("*"):
            if path.is_file() and str(path.relative_to(place)) not in lab.files:
                problems.append(f"{path.relative_to(lab.folder)} is not among the files that are handed in")
    return problems


def _case(lab: Lab, proof: Proof, name: str, source: Path, seed: int, watch, without: str = "") -> Report | None:
    """Check one folder, and that nothing of the check is left; None where the machine was in the way."""
    run = secrets.token_hex(6)
    watch(name)
    report = runner.run(lab, source, seed, run=run, without=without)
    proof.seconds[name] = report.seconds
    from boxlab import sweep

    proof.problems += [f"{name}: left {item.kind} {item.name}" for item in sweep.of_run(run, "engine" in lab.needs)]
    if report.outcome == Outcome.INFRASTRUCTURE:
        proof.blocked.append(f"{name}: {_failures(report)}")
        return None
    return report


def _failures(report: Report) -> str:
    wrong = [r for r in report.results if r.outcome in (Outcome.FAIL, Outcome.INFRASTRUCTURE)]
    return "; ".join(dict.fromkeys(f"{r.name}: {r.outcome}: {r.reason or r.actual}" for r in wrong))


@contextmanager
def _images(lab: Lab, proof: Proof) -> Iterator[None]:
    """Remove, in the end, what checks keep on the engine to be faster the next time."""
    try:
        yield
    finally:
        if "engine" in lab.needs:
            from boxlab import sweep

            sweep.remove_lab_images(lab.id)
