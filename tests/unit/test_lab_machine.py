"""What a check asks a machine, without one: the program that answers is a process, and its pipe the console."""

import subprocess
import sys

import pytest

from boxlab.labs import machine

PROGRAM = """
def answer(question):
    return question
"""


class Box:
    """As much of a box as `Machine.ask` needs."""

    def __init__(self, process):
        self.process = process

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        while True:
            _, found, answer = self.process.stdout.readline().partition("workload: answer ")
            if found:
                return answer


@pytest.fixture
def asked():
    command = [sys.executable, *machine.answering(PROGRAM)[1:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield machine.Machine(Box(process))


@pytest.mark.parametrize("text", [" " * (3 * machine.PIECE), "\n" * machine.PIECE, "\t é \r" * machine.PIECE])
def test_a_question_arrives_as_it_was_asked(asked, text):
    """Wherever it is cut into pieces, and whatever stands at their ends."""
    assert asked.ask(text) == text
