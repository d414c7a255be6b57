"""Labs: small real tasks, checked by what the learner's files do.

A lab is a folder below ``labs/``; adding one touches nothing else.

    lab.toml      title, minutes, points (sum of the checks'), needs = ["engine"] or [] or ["root"], files (handed in),
                  starter_fails = "CHECK", and under [wrong] for each folder of wrong/ the one check that it must fail;
                  seconds = 5 is what a warm check is promised to take
    README.md     the task            hints.md   three parts that begin with "## "
    starter/      what `boxlab start` copies; fails the check of `starter_fails`, with a next step
    solution/     handed-in files that pass, twice in a row
    right/NAME/   files laid over the solution: another answer that passes, four at least
    wrong/NAME/   files laid over the solution: a known mistake
    checks.py     functions like this one, run in the order in which they stand:

        from boxlab.labs import Mismatch, Work, _, check, same

        @check(points=2, needs=[builds])
        def answers(work: Work) -> None:
            '''The program answers correctly.'''                  # what the learner reads
            with work.container(image(work)) as box:
                same("3", box.ask("word"), why=_("…"), next=_("…"))  # or raise Mismatch(expected, actual, why, next)

What a learner reads goes through `_` and `several` (see boxlab.language): what a Mismatch says, but for what is data in it.
Docstrings of checks do so by themselves, and so do the title in lab.toml and the hints.

Four outcomes. A check that returns passes. `Mismatch` is a wrong answer. A check whose `needs` did not pass is skipped.
Everything else that is raised (`BoxlabError`, an engine that is gone, a full disk, a mistake of the check) is infrastructure, and so is a
check that exceeds its `timeout`: things of the learner's end by the shorter limits of the verbs below, each a `Mismatch`.

A check is given a `Work` (see there): `folder`, a copy of the starter with the learner's files over it; `text(name)`,
`toml(name)`; `run(argv)` and `call(module, …)`, a program of the learner's or functions in one, in a sandbox; `build()`, an
image (`based=True`: on the base image), and `stages()`, those of each stage; `image(name)`, one of the book's; `container(image)` and `machine(program)`, boxes to ask, the former held tight unless it is `**AS_USUAL`; `accepted(options)`, `within` and `lasting(image, …)`, containers
with options of the learner's, which can be stopped, frozen and asked for their health, and `volume()` for their data; `compose()`, a Compose file of the learner's, and `project(model)`, what it describes; `readings(counts, …)`, what containers take;
`starter` and `copy()`, folders to compare with. `traces.shows` finds a secret in a file, in whatever form. `web.question` asks a service from within its container. All checks of one run share one process, so that what they share is a function of
`work` under `functools.cache`. A check never imports or unpickles what the learner wrote. It gives input drawn from
`work.random`, so that an answer written down beforehand fails and `boxlab check --seed` draws it again; what is secret comes from
`secrets`, and what is expected never enters the sandbox. Its docstring says how often a plausible wrong answer slips through what
is drawn, where that is not never.

An optional function ``plant(folder, random)`` in checks.py lays files beside the starter's, such as large or secret ones:
at `start` into the learner's folder, at each check into the copy. `random` is seeded once per learner.

Where checks.py has `MACHINE`, a machine's program, and `MEMORY_MIB`, `boxlab shell NN` opens it: the program's `answer` is asked
{"shell": {files, rows, columns, term}}, and runs a shell on its console between two bytes 0x1e.

`boxlab verify NN` proves a lab; `boxlab verify --mutants NN` that its proof notices a check that is missing.
"""

from boxlab.errors import BoxlabError
from boxlab.labs.checks import Mismatch, check, printed, same
from boxlab.labs.report import Report
from boxlab.labs.work import AS_USUAL, Work
from boxlab.language import _, several

__all__ = ["AS_USUAL", "BoxlabError", "Mismatch", "Report", "Work", "_", "check", "printed", "run", "same", "several"]


def run(name: str) -> Report:
    """Check the learner's copy of a lab, as `boxlab check` does; a notebook shows what is returned.

    Args:
        name: number, slug or both, such as "08".

    Raises:
        UsageError: there is no such lab, or it was not started.
        BoxlabError: another check of it is running.
    """
    from boxlab.labs import lab, workspace

    return workspace.check(lab.find(name))
