"""`boxlab verify` finds what is wrong with a lab, and what its own checks would miss."""

import shutil

import pytest
import toy_lab
from click.testing import CliRunner

from boxlab import cli, paths
from boxlab.labs import lab, verify


def boxlab(*arguments):
    return CliRunner().invoke(cli.main, arguments)


def spoiled(places, files=None, checks=toy_lab.CHECKS, toml=toy_lab.TOML) -> lab.Lab:
    toy = toy_lab.make(places / "labs", checks, toml)
    for name, text in (files or {}).items():
        (toy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (toy.folder / name).write_text(text)
    return toy


def test_a_sound_lab_is_proven_and_leaves_nothing(toy):
    result = boxlab("verify")
    assert result.exit_code == 0 and "all is as it should be" in result.output
    assert [line.partition("s  ")[2].partition("  (")[0] for line in result.output.splitlines()[:10]] == [
        "starter",
        "solution",
        "solution, warm",
        *(f"right/{name}" for name in sorted(toy_lab.RIGHT)),
        "wrong/loud",
        "wrong/empty",
        "wrong/written-down",
    ]
    assert list(paths.SCRATCH.iterdir()) == []


def test_what_is_wrong_with_a_lab_is_said_problem_by_problem(places):
    toy = spoiled(
        places,
        {
            "starter/answer.txt": toy_lab.SOLUTION,
            "solution/more.txt": "x",
            "wrong/new/answer.txt": "x",
            "wrong/loud/answer.txt": toy_lab.SOLUTION,
            "wrong/two/answer.txt": "HI\necho 1\n",
            "wrong/other/answer.txt": "\n",
            "hints.md": "## One\n",
            "right/by-awk/answer.txt": "hello\necho 1\n",
        },
        toml="seconds = 0.001\n" + toy_lab.TOML + 'gone = "says_it"\ntwo = "says_it"\nother = "says_it"\n',
    )
    toy.wrong.pop("written-down")
    problems = verify.verify(toy).problems
    for problem in (
        "starter: says_it does not fail",
        "right/by-awk: knows_the_number: fail: 1",
        "solution/more.txt is not among the files that are handed in",
        "wrong/new is not in lab.toml",
        "wrong/gone of lab.toml is not there",
        "wrong/loud: fails nothing in place of says_it",
        "wrong/two: fails says_it, knows_the_number in place of says_it (says_it: fail: HI; knows_the_number: fail: 1)",
        "wrong/other: fails not_empty in place of says_it (not_empty: fail: nothing)",
        "no wrong answer is caught by knows_the_number",
        "hints.md has 1 parts that begin with '## ', not three",
    ):
        assert problem in problems
    assert not any("0.001" in problem for problem in problems), "how long a check takes is no problem of the lab"


def test_briefly_one_wrong_answer_of_each_check_is_tried_by_that_check_alone_and_one_of_them_by_all(
    places, monkeypatch
):
    toy = spoiled(
        places,
        {"wrong/two/answer.txt": "HI\necho 1\n", "wrong/written-down/answer.txt": toy_lab.SOLUTION},
        toml=toy_lab.TOML + 'two = "says_it"\n',
    )
    not_caught = "wrong/written-down: fails nothing in place of knows_the_number"
    monkeypatch.setattr(verify, "_drawn", lambda names: [next((n for n in ("by-awk", "two") if n in names), names[0])])
    proof = verify.verify(toy, brief=True)
    assert proof.problems[1:] == [not_caught] and proof.problems[0].startswith(
        "wrong/two: fails says_it, knows_the_number"
    )
    tried = ["starter", "solution", "solution, warm", "right/by-awk", "wrong/two", "wrong/empty", "wrong/written-down"]
    assert list(proof.seconds) == tried
    monkeypatch.setattr(verify, "_drawn", lambda names: [next((n for n in ("empty", "two") if n in names), names[0])])
    assert verify.verify(toy, brief=True).problems == [not_caught], (
        "by its own check alone, the other is as it should be"
    )


def test_a_lab_that_knows_too_few_right_answers_is_not_proven(places):
    toy = spoiled(places)
    shutil.rmtree(toy.folder / "right" / "by-sed")
    assert "unfinished: fewer than 4 right answers beside the solution" in verify.verify(toy).problems


def test_a_solution_that_fails_and_a_failure_that_does_not_help_are_problems(places):
    spoiled(
        places,
        {"solution/answer.txt": "hello\necho 1\n"},
        toy_lab.CHECKS.replace('next="say hello"', 'next=""'),
    )
    result = boxlab("verify", "01")
    assert result.exit_code == 1 and "not proven" in result.output
    assert "PROBLEM solution: knows_the_number: fail" in result.output
    assert "PROBLEM starter: says_it does not say 'next'" in result.output


def test_what_a_check_leaves_is_found(places):
    leaves = (
        "    (work.folder.parent.parent / ('stray-' + os.environ['BOXLAB_RUN'])).write_text('')\n    same(\"hello\""
    )
    toy = spoiled(places, checks="import os\n" + toy_lab.CHECKS.replace('    same("hello"', leaves))
    assert any(problem.startswith("solution: left file ") for problem in verify.verify(toy).problems)


def test_a_machine_in_the_way_proves_nothing(places):
    spoiled(places, checks=toy_lab.CHECKS.replace("same(", "nonsense("))
    result = boxlab("verify", "01")
    assert result.exit_code == 3 and "BLOCKED" in result.output


def test_each_check_that_is_taken_out_is_noticed(toy):
    """Also where what comes after it then breaks: the check of an empty answer keeps the others from it."""
    proof = verify.mutants(toy)
    assert (proof.problems, proof.blocked) == ([], [])
    assert set(proof.seconds) == {"without says_it", "without not_empty", "without knows_the_number"}


def test_a_proof_that_does_not_look_is_found_out(toy, monkeypatch):
    monkeypatch.setattr(verify, "_prove_wrong", lambda *_, **__: None)
    result = boxlab("verify", "--mutants", "01")
    assert result.exit_code == 1 and "PROBLEM without says_it: not noticed" in result.output


@pytest.mark.parametrize("command", [("verify", "01"), ("verify", "--mutants", "01")])
def test_no_two_at_once(toy, command):
    from boxlab.labs import workspace

    with workspace.lock("01-toy"):
        result = boxlab(*command)
    assert result.exit_code == 3 and "another command works on 01-toy" in result.output


def test_a_new_lab_runs_and_is_unfinished_until_its_author_has_finished_it(places):
    made = boxlab("new-lab", "42-towel")
    assert made.exit_code == 0 and "_toc.yml" in made.output, made.output
    result = boxlab("verify", "42")
    assert result.exit_code == 1 and result.output.endswith("it is unfinished\n"), result.output
    problems = [line for line in result.output.splitlines() if "PROBLEM" in line]
    assert problems and all("PROBLEM unfinished: " in line for line in problems) and "BLOCKED" not in result.output
    folder = paths.LABS / "42-towel"
    assert any("README.md:" in line for line in problems) and "42" in (folder / "README.md").read_text()
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace("TODO: ", ""))
    for name in range(verify.RIGHT):
        shutil.copytree(folder / "solution", folder / "right" / str(name))
    for name in ("two", "three"):
        shutil.copytree(folder / "wrong" / "written-down", folder / "wrong" / name)
        (folder / "lab.toml").write_text((folder / "lab.toml").read_text() + f'{name} = "greets"\n')
    result = boxlab("verify", "42")
    assert result.exit_code == 0 and result.output.endswith("all is as it should be\n"), result.output
    (folder / "solution" / "answer.py").write_text("TODO: no Python\n")
    assert boxlab("verify", "42").output.endswith("not proven\n")


@pytest.mark.parametrize("name", ["towel", "4-towel", "42", "42-", "42-Towel", "../42-towel", "42-a/b", "01-toy"])
def test_a_new_lab_needs_a_name_of_its_own(toy, name):
    result = boxlab("new-lab", name)
    assert result.exit_code != 0 and not (paths.LABS / "42-towel").exists() and len(list(paths.LABS.iterdir())) == 1
