"""Whose a thing with a declared name is: on an engine that only pretends."""

import json
import os
import re
import socket
import time

import IPython
import nbformat
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell

from boxlab import engine, marks, names, paths, transcript, turns, waiting
from boxlab.errors import BoxlabError


class Pretended:
    """An engine, and what is on it."""

    def __init__(self, ahead=0.0):
        self.things, self.ahead = [], ahead

    def info(self):
        now = names.datetime.fromtimestamp(time.time() + self.ahead).astimezone()
        return {"ID": "pretended", "SystemTime": now.isoformat()}

    def add(self, kind, name, id="", at=0.0, project="", owner="", ports=()):
        created = time.time() + self.ahead + at

        def remove():
            self.things.remove(thing)

        thing = names._Thing(kind, name, id or name, created, project, owner, "", remove, ports)
        self.things.append(thing)
        return thing


@pytest.fixture
def there(tmp_path, monkeypatch):
    pretended = Pretended()
    monkeypatch.setattr(engine, "connect", lambda: pretended)
    monkeypatch.setattr(names, "_things", lambda: list(pretended.things))
    monkeypatch.setattr(paths, "NAMES", tmp_path / "names")
    yield pretended
    names.release()


def dies(monkeypatch, run="later"):
    """What was this run has ended; from now on this process is another."""
    monkeypatch.setattr(names._Ledger, "lives", lambda ledger: ledger.run == run)
    monkeypatch.setattr(marks, "RUN", run)


def left():
    return {(item.kind, item.name) for item in names.made()}


def test_where_a_name_is_taken_no_cell_runs_until_it_is_free(there, monkeypatch, capsys):
    """As the next cells would remove what has that name, whoever goes on past the error, nbval among them."""
    shell = InteractiveShell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    there.add("container", "server")
    first = "from boxlab import names\nnames.declare(containers=['server'])"
    for cell in (first, first, "ran = True"):
        assert not shell.run_cell(cell, silent=True).success
    assert "ran" not in shell.user_ns
    assert capsys.readouterr().out.splitlines()[-1].startswith("not run, as the container server is there already")
    there.things.clear()
    assert shell.run_cell(first, silent=True).success and shell.run_cell("ran = True", silent=True).success
    assert shell.user_ns["ran"]


def test_what_has_a_declared_name_is_the_runs_and_nothing_else(there):
    there.add("container", "readers")
    names.declare(containers=["train"], images=["py"], volumes=["models"], networks=["inner"], projects=["shop"])
    assert left() == set()
    for kind, name in (("container", "train"), ("image", "py:latest"), ("volume", "models"), ("network", "inner")):
        there.add(kind, name)
    there.add("container", "shop-web-1", project="shop")
    there.add("container", "shop-like")
    there.add("volume", "train")
    assert len(left()) == 5
    names.release()
    assert {(t.kind, t.name) for t in there.things} == {
        ("container", "readers"),
        ("container", "shop-like"),
        ("volume", "train"),
    }
    assert list(paths.NAMES.iterdir()) == []


def test_a_name_that_is_taken_is_refused_in_one_line_that_says_by_what(there):
    there.add("container", "train", project="shop")
    there.add("image", "py:latest")
    there.add("network", "shop_default", project="shop")
    with pytest.raises(BoxlabError) as caught:
        names.declare(containers=["train", "free"], images=["py"], projects=["shop"])
    message, fix = caught.value.args[0], caught.value.fix
    assert "the container train is there already (made 20" in message and "Compose project shop)" in message
    assert "the image py:latest is there already" in message and "the network shop_default" in message
    assert "docker rename train train-kept" in fix and "docker compose --project-name shop down" in fix
    assert "\n" not in message + fix
    assert left() == set() and not list(paths.NAMES.glob("*"))
    there.things.clear()
    names.declare(containers=["train", "free"])


@pytest.mark.parametrize("does", ["releases", "declares more"])
def test_what_a_run_does_with_its_names_while_another_process_looks_is_not_undone(there, monkeypatch, does):
    names.declare(containers=["train"])
    there.add("container", "train")
    [path] = paths.NAMES.glob("*.json")
    declared = path.read_text()

    def things():
        if does == "releases":
            path.unlink()
        else:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"names": {"container": ["train", "test"]}}))
        return list(there.things)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(names, "_things", things)
        names.made()
    assert path.exists() == (does != "releases")
    for ledger in names._ledgers():
        assert ledger.names == {"container": ["train", "test"]} and ledger.ids == {"container train": ["train"]}
    path.write_text(declared)  # which is what this run has still to release


def test_declared_twice_by_one_run_is_fine(there):
    names.declare(containers=["train"])
    there.add("container", "train")
    names.declare(containers=["train", "more"])
    there.add("container", "more")
    assert left() == {("container", "train"), ("container", "more")}


def test_a_second_run_is_refused_while_the_first_lives(there, monkeypatch):
    names.declare(volumes=["models"])
    first = marks.RUN
    monkeypatch.setattr(marks, "RUN", "second")
    with pytest.raises(BoxlabError, match=f"the volume models is declared by the checkout {paths.ROOT}, process"):
        names.declare(volumes=["models"])
    monkeypatch.setattr(marks, "RUN", first)


def test_an_id_beats_a_name(there, monkeypatch):
    names.declare(containers=["train"])
    run, thing = marks.RUN, there.add("container", "train", id="first")
    assert left() == {("container", "train")}
    dies(monkeypatch)
    assert left() == {("container", "train")}
    there.things.remove(thing)
    there.add("container", "train", id="the reader's")
    assert left() == set()
    monkeypatch.setattr(marks, "RUN", run)


def test_what_was_made_after_an_idle_run_had_ended_is_the_readers(there, monkeypatch):
    names.declare(containers=["train"], projects=["shop"])
    run = marks.RUN
    names._after_cell()
    dies(monkeypatch)
    there.add("container", "train", at=60)
    there.add("volume", "shop_data", at=60, project="shop")
    assert left() == set()
    monkeypatch.setattr(marks, "RUN", run)


def test_what_a_run_made_that_was_killed_in_a_cell_is_its_own(there, monkeypatch):
    names.declare(containers=["train"])
    run = marks.RUN
    names._after_cell()
    names._before_cell()
    there.add("container", "train", at=1)
    dies(monkeypatch)
    assert left() == {("container", "train")}
    monkeypatch.setattr(marks, "RUN", run)


def test_what_compose_made_anew_for_a_run_that_was_killed_in_a_cell_is_its_own(there, monkeypatch):
    names.declare(projects=["shop"])
    run, first = marks.RUN, there.add("container", "shop-web-1", project="shop")
    names._after_cell()
    names._before_cell()
    there.things.remove(first)
    there.add("container", "shop-web-1", id="second", at=1, project="shop")
    dies(monkeypatch)
    there.add("container", "shop-web-2", at=60, project="shop")  # the reader's
    assert left() == {("container", "shop-web-1")}
    monkeypatch.setattr(marks, "RUN", run)


def test_a_run_that_lives_touches_its_ledger(there, monkeypatch):
    monkeypatch.setattr(names, "BEAT_S", 0.01)
    names.declare(containers=["train"])
    [path] = paths.NAMES.glob("*.json")
    os.utime(path, (0, 0))
    waiting.until(lambda: path.stat().st_mtime > 0)
    names.release()
    assert not names._beats


def test_a_run_that_has_ended_is_forgotten_and_its_names_are_free(there, monkeypatch):
    names.declare(containers=["train"])
    for handle in names._held.values():
        os.close(handle)
    names._held.clear()
    dies(monkeypatch)
    names.forget_dead()
    assert list(paths.NAMES.iterdir()) == []
    names.declare(containers=["train"])


def test_a_run_that_has_ended_holds_no_turn_whichever_engine_answers(there, monkeypatch):
    names.declare(containers=["train"])
    for handle in names._held.values():
        os.close(handle)
    names._held.clear()
    dies(monkeypatch)
    monkeypatch.setattr(there, "info", lambda: {"ID": "another"})
    names.forget_dead()
    assert os.listdir(turns.PLACES[0]) == []
    assert list(paths.NAMES.iterdir()), "what it made is on its own engine"


def test_a_ledger_of_another_version_is_read_as_far_as_it_is_known(there):
    names.declare(containers=["train"])
    there.add("container", "train")
    [path] = paths.NAMES.glob("*.json")
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | {"later": 1}))
    (path.parent / "older.json").write_text(json.dumps({"run": "older", "owner": known["owner"]}))
    (path.parent / "broken.json").write_text('{"run": ')
    assert left() == {("container", "train")}
    names.forget_dead()


def test_a_container_that_was_renamed_to_a_declared_name_is_the_readers(there):
    names.declare(containers=["train"])
    there.add("container", "train", at=-600)
    assert left() == set()


def test_an_image_that_was_there_before_stays(there):
    """Under another name it got a declared one, which alone goes; without a name it is left."""
    there.add("image", "readers:latest", id="old")
    names.declare(images=["py"])
    there.add("image", "py:latest", id="old")
    names._after_cell()
    there.things.pop(0)
    there.things[0] = there.add("image", "", id="old")
    there.things.pop()
    assert left() == set()


def test_an_image_that_lost_its_declared_name_to_the_next_goes_as_well(there):
    names.declare(images=["py"])
    there.add("image", "py:latest", id="first", at=-3600)  # from a cache
    names._after_cell()
    there.things.clear()
    there.add("image", "", id="first")
    there.add("image", "", id="the reader's")
    there.add("image", "py:latest", id="second")
    assert left() == {("image", "first"), ("image", "py:latest")}


def test_an_engines_clock_that_is_ahead_or_behind_does_no_harm(there):
    for ahead in (7200, -7200):
        there.ahead = ahead
        names.declare(containers=["train"])
        there.add("container", "train")
        names._after_cell()
        assert left() == {("container", "train")}
        names.release()


def test_an_engine_that_is_gone_after_a_cell_leaves_the_end_open(there, monkeypatch):
    names.declare(containers=["train"])

    def gone():
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(names, "_things", gone)
    names._after_cell()
    assert next(names._ledgers()).until is None
    monkeypatch.setattr(names, "_things", list)


@pytest.mark.parametrize(
    ("image", "full"),
    [("py", "py:latest"), ("py:1", "py:1"), ("localhost:5000/py", "localhost:5000/py:latest"), ("a/b:c", "a/b:c")],
)
def test_an_image_has_a_tag(image, full):
    assert names._full(image) == full


def test_another_owners_ledger_is_not_ours(there, monkeypatch):
    names.declare(containers=["train"])
    there.add("container", "train")
    real = marks.owner()
    monkeypatch.setattr(marks, "owner", lambda: "another")
    assert left() == set()
    monkeypatch.setattr(marks, "owner", lambda: real)
    assert left() == {("container", "train")}


GIVES = (
    r"docker .*--tag (?P<name>[\w./:-]+)",
    r"docker tag \S+ (?P<name>\S+)",
    r"docker .*--name (?P<name>[\w-]+)",
    r"docker (?:volume|network) create (?:-\S+ )*(?P<name>[\w-]+)$",
    r"docker commit \S+ (?P<name>\S+)",
    r"^docker run .*(?:-p|--publish) 127\.0\.0\.1:(?P<name>\d+):",
    r"^curl .*localhost:(?P<name>\d+)",
)
"""How a command gives a name, or takes a port."""


@pytest.mark.parametrize("path", sorted((paths.ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_a_notebooks_commands_name_is_declared_before_the_first(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    [declared] = [cell for cell in cells if "names.declare(" in cell]
    commands = [line for cell in cells if cell.startswith("%%") for line in cell.splitlines()]
    given = {found["name"] for line in commands for way in GIVES if (found := re.search(way, line))}
    assert {name for name in given if name.rpartition(":")[2] not in declared} == set()


def test_podman_whose_id_is_another_each_time_is_one_engine(there, monkeypatch):
    said = there.info()
    monkeypatch.setattr(there, "info", lambda: said | {"ID": os.urandom(8).hex(), "BuildahVersion": "1.39.3"})
    names.declare(images=["report"])
    there.add("image", "report:latest", id="sha256:1")
    assert [item.name for item in names.made()] == ["report:latest"]
    names.release()
    assert not list(paths.NAMES.glob("*")) and names.made() == []


def taken_port():
    """A port of this machine on which this process listens, and what holds it."""
    server = socket.create_server(("127.0.0.1", 0))
    return server.getsockname()[1], server


def test_a_port_that_is_taken_is_refused_in_one_line_that_says_by_whom(there):
    port, server = taken_port()
    with server, pytest.raises(BoxlabError) as caught:
        names.declare(containers=["web"], ports=[port])
    said = caught.value.args[0]
    assert said.startswith(f"port {port} is taken by ") and f"process {os.getpid()}" in said
    assert "\n" not in said + caught.value.fix
    assert not list(paths.NAMES.glob("*"))
    names.declare(containers=["web"], ports=[port])  # nobody listens there anymore


def test_a_port_that_a_container_is_published_at_is_refused_with_its_name(there):
    port, server = taken_port()
    server.close()
    there.add("container", "readers-web", ports=(port,))
    with pytest.raises(BoxlabError, match=f"port {port} is taken by the container readers-web") as caught:
        names.declare(ports=[port])
    assert caught.value.fix.startswith(f"`docker stop readers-web`, or take another port by `%env BOXLAB_PORT_{port}=")


def test_another_port_can_be_given_and_all_cells_take_it(there, monkeypatch):
    port, server = taken_port()
    other, second = taken_port()
    second.close()
    shell = InteractiveShell()
    transcript.load_ipython_extension(shell)
    cell = f"urlopen('http://localhost:{port}/{port}0')\n%env BOXLAB_PORT_{port}={other}\n"
    with server:
        with pytest.raises(BoxlabError) as caught:
            names.declare(ports=[port])
        line = re.search(r"`%env (BOXLAB_PORT_\d+)=(\d+)`", caught.value.fix)
        assert line[1] == f"BOXLAB_PORT_{port}" and int(line[2]) != port
        assert f":{port}/" in shell.transform_cell(cell)
        monkeypatch.setenv(line[1], str(other))
        names.declare(ports=[port])
        [ledger] = paths.NAMES.glob("*")
        assert json.loads(ledger.read_text())["names"]["port"] == [str(other)]
    assert shell.transform_cell(cell).startswith(f"urlopen('http://localhost:{other}/{port}0')")
    assert shell.transform_cell(f"%%shell\ncurl localhost:{port}\n").rstrip().endswith(f"curl localhost:{other}\\n')")


def test_where_the_other_port_is_taken_as_well_the_same_variable_names_a_third(there, monkeypatch):
    port, server = taken_port()
    monkeypatch.setenv("BOXLAB_PORT_8015", str(port))
    with server, pytest.raises(BoxlabError, match=f"port {port} is taken") as caught:
        names.declare(ports=[8015])
    assert "`%env BOXLAB_PORT_8015=" in caught.value.fix


@pytest.mark.parametrize("given", ["0", "65536", "web", "-1"])
def test_what_is_no_port_is_refused_in_one_line(there, monkeypatch, given):
    monkeypatch.setenv("BOXLAB_PORT_8015", given)
    with pytest.raises(BoxlabError, match=f"BOXLAB_PORT_8015 is '{given}', which is no port"):
        names.declare(ports=[8015])


def test_a_listener_that_may_not_be_looked_at_is_another_program(there, monkeypatch):
    def refused(_kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refused)
    port, server = taken_port()
    with server, pytest.raises(BoxlabError, match=f"port {port} is taken by another program"):
        names.declare(ports=[port])


def test_a_second_run_is_refused_a_declared_port(there, monkeypatch):
    port, server = taken_port()
    server.close()
    names.declare(ports=[port])
    first = marks.RUN
    monkeypatch.setattr(marks, "RUN", "second")
    with pytest.raises(BoxlabError, match=f"the port {port} is declared by the checkout"):
        names.declare(ports=[port])
    monkeypatch.setattr(marks, "RUN", first)
