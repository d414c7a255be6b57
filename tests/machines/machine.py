"""What the table of machines says of one, and what holds on it.

machine.py list
machine.py describe NAME                      as assignments of a shell
machine.py try NAME CHECKOUT WHAT WORD...     by the words that run a shell command there; writes results/NAME.json, and each
                                              record that was made as results/NAME-RECORD.json, as soon as it is there. WHAT
                                              names some of the tries, with commas between, and then nothing is written; or it
                                              is empty; or it is "left": what has not held in results/NAME.json
machine.py readme                             write the README's table of results anew
"""

import datetime
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import yaml

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TABLE = yaml.safe_load((HERE / "machines.yml").read_text(encoding="utf-8"))
USUAL = {
    "guest": True,
    "by": "",
    "architecture": "amd64",
    "network": "open",
    "suite": "",
    "packages": "",
    "least": "true",
    "as_29": False,
    "login": "root",
    "sudo": False,
    "processors": 2,
    "memory_mib": 6144,
    "before": "true",
    "images": "none",
}

IN_THE_WAY, NO_VM = 3, "no virtual machine boots here"
"""The status, and what is said, where the book needs a virtual machine: in an emulated guest, that says nothing of the machine."""

README = HERE.parents[1] / "README.md"

LEFT = "left"
"""What stands for all that has not held yet."""

LOST = 255
"""ssh's status where it was not the command that ended."""

FACTS = {
    "virtualization": "systemd-detect-virt",  # "qemu" where QEMU emulates, "kvm" where it does not
    "kernel": "uname --kernel-release",
    "release": ". /etc/os-release && echo $PRETTY_NAME",
    "control_groups": "stat --file-system --format=%T /sys/fs/cgroup",
    "python": "python3 --version",
    "engine": "docker version --format '{{(index .Server.Components 0).Name}} {{.Server.Version}}' ||"
    " podman version --format 'Podman Engine {{.Client.Version}}' || echo no engine that answers this user",
    "commit": "git rev-parse HEAD",
}
"""What is asked of a machine after the tries."""


def describe(name: str) -> str:
    """A machine's row as assignments of a shell, one a line."""
    row = USUAL | {key: value for key, value in TABLE["machines"][name].items() if key != "tries"}
    texts = {key.upper(): str(value).lower() if isinstance(value, bool) else str(value) for key, value in row.items()}
    return "\n".join(f"{key}={shlex.quote(text)}" for key, text in texts.items())


def kind(what: str) -> str:
    """The name of a try in the table, where NN stands for a lab's number."""
    return what if what in TABLE["tries"] else what.replace(what[-2:], "NN")


def expected(what: str) -> dict:
    """A try as the table has it, with its lab's number."""
    asked = {"status": 0, "says": ""} | TABLE["tries"][kind(what)]
    return asked | {"command": asked["command"].replace("NN", what[-2:])}


def attempt(name: str, checkout: str, by: list[str], tries: list[str]) -> tuple[dict, dict[str, str]]:
    """Run what is to be tried on a machine that runs, each in a login of its own.

    What a lost machine leaves untried says nothing of it: then there is no result.

    Args:
        by: the words that run a shell command there.

    Returns:
        What it was, and for each try whether it held (None: it needs a virtual machine, and none boots there), its status, its
        seconds (`s`), its last line, its day and its commit; and the records that were made, by name.
    """

    def there(command: str) -> tuple[int, str]:
        words = [*by, f"cd {shlex.quote(checkout)} && {{ {command}\n}} 2>&1"]
        ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if ran.returncode == LOST:
            raise SystemExit(
                f"machines: {name} cannot be reached any more: {ran.stderr.strip()}\n  fix: see its console.log"
            )
        return ran.returncode, ran.stdout.strip()

    found, made = {}, {}
    for what in tries:
        asked = expected(what)
        began = time.monotonic()
        status, said = there(asked["command"])
        as_asked = status == asked["status"] and asked["says"] in said
        found[what] = {
            "held": None if not as_asked and status == IN_THE_WAY and NO_VM in said else as_asked,
            "status": status,
            "s": round(time.monotonic() - began),
            "last": said.rpartition("\n")[2],
        }
        held = {
            True: "held",
            False: f"did not hold:\n{said[-2000:]}",
            None: "not tried: no virtual machine boots in it",
        }
        print(
            f"machines: {name}, {what}, {found[what]['s']} s: {held[found[what]['held']]}", file=sys.stderr, flush=True
        )
        if "record" in asked and found[what]["held"]:
            made[asked["record"]] = there(f"cat notebooks/results/{asked['record']}.local.json")[1]
    in_one_login = "; echo; echo --; ".join(f"( {command} )" for command in FACTS.values())
    answers = there(in_one_login)[1].split("\n--\n")
    facts = {fact: answer.strip().rpartition("\n")[2] for fact, answer in zip(FACTS, answers, strict=True)}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for one in found.values():
        one |= {"tried": now, "commit": facts["commit"]}
    return facts | {"tries": found}, made


def left(name: str) -> list[str]:
    """What of a machine's row has not held yet, as it failed or was not tried."""
    file = RESULTS / f"{name}.json"
    tries = json.loads(file.read_text(encoding="utf-8"))["tries"] if file.exists() else {}
    return [what for what in TABLE["machines"][name]["tries"] if tries.get(what, {"held": False})["held"] is False]


def together(name: str, result: dict, made: dict[str, str]) -> tuple[dict, dict[str, str]]:
    """What was found on a machine now, with what had held there before, in the order of its row; and the records of both."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return result, made
    before = json.loads(file.read_text(encoding="utf-8"))
    tries = before["tries"] | result["tries"]
    others = [
        TABLE["tries"][kind(what)] for what in tries.keys() - result["tries"].keys() if kind(what) in TABLE["tries"]
    ]
    kept = {each["record"]: RESULTS / f"{name}-{each['record']}.json" for each in others if "record" in each}
    made = made | {record: file.read_text(encoding="utf-8").rstrip() for record, file in kept.items() if file.exists()}
    ordered = {what: tries[what] for what in TABLE["machines"][name]["tries"] if what in tries}
    return result | {"tries": ordered}, made


def keep(name: str, result: dict, made: dict[str, str]) -> None:
    """Write down what was found on a machine, with its day or the first and the last of them; its records replace former ones."""
    RESULTS.mkdir(exist_ok=True)
    days = sorted(one["tried"][:10] for one in result["tries"].values())
    result = {"days": " to ".join(dict.fromkeys([days[0], days[-1]]))} | result
    for old in RESULTS.glob(f"{name}-*.json"):
        if old.stem.removeprefix(f"{name}-") in {asked.get("record") for asked in TABLE["tries"].values()}:
            old.unlink()
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for record, text in made.items():
        nobodys = text.replace(str(README.parent), ".")  # the engine of a row without a guest lies in this checkout
        (RESULTS / f"{name}-{record}.json").write_text(nobodys + "\n", encoding="utf-8")


def readme() -> str:
    """The results as a table of Markdown: a machine, what held on it, what did not, and the day."""
    lines = ["| machine | held | did not hold | needs a virtual machine in it | tried |", "|---|---|---|---|---|"]
    for name, row in TABLE["machines"].items():
        file = RESULTS / f"{name}.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"tries": {}, "days": "–"}
        lists = [[what for what, one in found["tries"].items() if one["held"] is held] for held in (True, False, None)]
        cells = [row["says"], *(", ".join(names) or "–" for names in lists), found["days"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_readme() -> None:
    """Put the table as it is now in the README in place of the one there."""
    before, _title, old = README.read_text(encoding="utf-8").partition("| machine | held |")
    README.write_text(before + readme() + old[old.index("\n\n") + 1 :], encoding="utf-8")


def main(words: list[str]) -> int:
    match words:
        case ["list"]:
            width = max(map(len, TABLE["machines"]))
            for name, row in TABLE["machines"].items():
                print(f"{name:{width}}  {row['says']}")
        case ["describe", name]:
            if name not in TABLE["machines"]:
                return 1
            print(describe(name))
        case ["try", name, checkout, some, *by]:
            row = TABLE["machines"][name]["tries"]
            if strange := set(filter(None, some.split(","))) - {*row, LEFT}:
                print(
                    f"machines: not tried on {name}: {', '.join(sorted(strange))}\n  fix: {', '.join(row)}",
                    file=sys.stderr,
                )
                return 2
            if some and some != LEFT:
                result, _made = attempt(name, checkout, by, some.split(","))
                return 1 if any(tried["held"] is False for tried in result["tries"].values()) else 0
            # Each is kept at once: together they may take longer than somebody has.
            for what in left(name) if some == LEFT else row:
                keep(name, *together(name, *attempt(name, checkout, by, [what])))
                write_readme()
            return 1 if left(name) else 0
        case ["readme"]:
            write_readme()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
