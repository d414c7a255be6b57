"""What lab 15 starts: a learner's model, held and labeled, with a database that is slow; and the ways to wait that are measured."""

import importlib.util
import json
import subprocess
from importlib import import_module

import pytest

from boxlab import engine, paths
from boxlab.labs import BoxlabError, Mismatch, compose

waits = import_module("boxlab.experiments.waits")  # the package has the function of that name
_spec = importlib.util.spec_from_file_location("lab_15", paths.LABS / "15-compose" / "checks.py")
lab_15 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_15)


def model(**db):
    return {
        "name": "lab",
        "services": {
            "web": {"image": "web", "ports": [{"target": 8000, "published": "8000"}], "labels": {"mine": "1"}},
            "db": {"image": "db", "healthcheck": {"test": ["CMD", "true"], "interval": "1h0m0s"}} | db,
        },
        "networks": {"default": {"name": "lab_default"}},
        "volumes": {"data": {"name": "lab_data"}},
    }


def test_a_database_is_made_slow_and_starts_as_it_would(tmp_path):
    own = model(command=["postgres", "-c", "fsync=off"], configs=[{"source": "own"}])
    db = lab_15.slow(own, tmp_path, 2, 3)["services"]["db"]
    assert db["entrypoint"][-1] == "docker-entrypoint.sh" and "sleep 2" in db["entrypoint"][2]
    assert db["command"] == ["postgres", "-c", "fsync=off"] and len(db["configs"]) == 2
    assert db["healthcheck"] == {"test": ["CMD", "true"]} | lab_15.OFTEN
    assert lab_15.slow(model(entrypoint=["sh", "own.sh"]), tmp_path, 1, 1)["services"]["db"]["entrypoint"][-2:] == [
        "sh",
        "own.sh",
    ]
    assert "entrypoint" not in own["services"]["db"], "the learner's model stays as it was"


def test_a_service_without_a_check_gets_none(tmp_path):
    assert "healthcheck" not in lab_15.slow(model(), tmp_path, 1, 1)["services"]["web"]


@pytest.mark.parametrize(
    ("health", "early"),
    [
        ({}, {}),  # three times thirty seconds
        ({"interval": "1s"}, {"db": 3}),
        ({"interval": "1s", "start_period": "1m0s"}, {}),
        ({"interval": "1.5s", "retries": 20}, {"db": 30}),
        ({"interval": "5s", "retries": 12}, {}),
        ({"interval": "500ms", "start_period": "1m0.5s"}, {}),
    ],
)
def test_a_check_that_gives_up_before_the_database_may_be_there_is_told(health, early):
    own = model(healthcheck={"test": ["CMD", "true"]} | health)
    own["services"]["web"]["depends_on"] = {"db": {"condition": "service_healthy"}}
    assert lab_15.impatient(own) == early


def test_who_waits_within_must_have_a_check_that_is_patient():
    own = model()
    own["services"]["web"] |= {
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s"},
        "depends_on": {"db": {"condition": "service_started"}},
    }
    assert lab_15.impatient(own) == {"web": 3}


def test_who_waits_for_the_end_of_another_may_have_a_check_that_is_brisk():
    own = model()
    own["services"] |= {"ready": {"image": "db", "depends_on": {"db": {"condition": "service_started"}}}}
    own["services"]["web"] |= {
        "healthcheck": {"test": ["CMD", "true"], "interval": "2s"},
        "depends_on": {"ready": {"condition": "service_completed_successfully"}},
    }
    assert lab_15.impatient(own) == {}


def test_who_sleeps_in_a_script_of_the_file_waits_by_the_clock():
    own = model()
    assert lab_15.least(own) == lab_15.SOON_S
    assert lab_15.least(own | {"configs": {"start": {"content": "sleep 15"}}}) == lab_15.BY_THE_CLOCK_S


@pytest.fixture
def lived(monkeypatch):
    """Let a project live as it is said; no engine."""

    def let(control=lambda work: None, **life):
        monkeypatch.setattr(lab_15, "model", lambda work: model())
        monkeypatch.setattr(lab_15, "require_control", control)
        monkeypatch.setattr(lab_15, "life", lambda work: lab_15.Life(word="word", stored=True, **life))

    return let


def busy(work):
    raise BoxlabError("a project that is right does not come up here", "")


@pytest.mark.parametrize("life", [{"later": ""}, {"later": "(0, 'timed out')"}, {"again": "has not ended within 90 s"}])
def test_what_is_gone_is_the_learners_where_a_project_that_is_right_comes_up(lived, life):
    lived(**life)
    with pytest.raises(Mismatch) as caught:
        lab_15.keeps(None)
    assert caught.value.actual == (life.get("again") or life["later"] or "(nothing)")
    lived(busy, **life)
    with pytest.raises(BoxlabError):
        lab_15.keeps(None)


@pytest.mark.parametrize(
    ("told", "life", "next"),
    [
        ('FATAL:  password authentication failed for user "postgres"', {}, "read password.txt as the secret"),
        ("fe_sendauth: no password supplied", {}, "read password.txt as the secret"),
        ("container x-db-1 has no healthcheck configured", {}, "a `healthcheck` with a `test`"),
        ("connection refused", {}, "until `db` is healthy"),
        ("", {"restarts": {"web": 2}}, "until `db` is healthy"),
        ("can't open file '/app/other.py'", {}, "docker compose logs"),
    ],
)
def test_what_to_do_follows_from_what_was_said(told, life, next):
    assert next in lab_15.advice(lab_15.Life(**life), told)[1]


def test_what_is_kept_needs_no_control(lived):
    lived(busy, later="word")
    lab_15.keeps(None)


def box(running=True, code=0, health=None, *outputs):
    log = {"Health": {"Status": health, "Log": [{"Output": output} for output in outputs]}} if health else {}
    return {"State": {"Running": running, "ExitCode": code, **log}}


@pytest.mark.parametrize(
    ("boxes", "sick"),
    [
        ({"web": box(True, 0, "unhealthy", "", "curl: not found"), "db": box(True, 0, "healthy", "")}, ["web"]),
        ({"web": box(False), "db": box(True, 0, "starting", "no response")}, ["db"]),  # created, and not started
        ({"web": box(False, 1), "db": box(True, 0, "starting", "no response")}, []),  # it has not waited
        ({"web": box(), "db": box(True, 0, "none")}, []),
        ({"web": box(), "ready": box(False), "db": box()}, []),
    ],
)
def test_of_a_service_that_is_not_healthy_the_last_check_is_told(boxes, sick):
    assert list(lab_15.sick(boxes)) == sick


def test_a_check_that_cannot_run_is_told_with_what_it_has_printed(lived):
    lived(up="container lab-web-1 is unhealthy", sick={"web": "sh: 1: curl: not found\n"})
    with pytest.raises(Mismatch) as caught:
        lab_15.waits(None)
    assert "curl: not found" in caught.value.actual and "docker compose exec web" in caught.value.next


def test_what_is_started_is_ours_reaches_nobody_and_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    compose.Project(model(deploy={"resources": {"limits": {"memory": "64g"}}}), tmp_path)
    [path] = tmp_path.glob("lab-*.json")
    started = json.loads(path.read_text())
    for service in started["services"].values():
        assert service["labels"].items() >= engine.labels().items()
        assert "ports" not in service and "deploy" not in service and service["mem_limit"] == "256m"
    assert started["services"]["web"]["labels"]["mine"] == "1"
    assert started["networks"]["default"]["internal"] is True
    assert all(started[kind][name]["labels"] for kind, name in (("networks", "default"), ("volumes", "data")))


def test_names_become_the_projects_and_what_contradicts_how_it_is_held_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    networks = {"default": {"aliases": ["data"]}}
    own = model(container_name="words", networks=networks, mem_reservation="512m", cpu_quota=50_000, scale=500)
    own["networks"]["default"]["name"] = own["volumes"]["data"]["name"] = "words"
    compose.Project(own, tmp_path)
    [path] = tmp_path.glob("lab-*.json")
    started = json.loads(path.read_text())
    assert not {"container_name", "mem_reservation", "cpu_quota", "scale"} & started["services"]["db"].keys()
    assert started["services"]["db"]["networks"] == {"default": {"aliases": ["data", "words"]}}
    assert [started[kind][name]["name"] for kind, name in (("networks", "default"), ("volumes", "data"))] == [
        "lab_default",
        "lab_data",
    ]


@pytest.fixture
def linked(tmp_path, monkeypatch):
    """A project, one of whose containers has put a link to elsewhere in the place of a folder that it mounts."""
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    (tmp_path / "work" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    mounts = [{"type": "bind", "source": str(tmp_path / "work" / name), "target": "/x"} for name in ("", "a")]
    project = compose.Project(model(volumes=mounts), tmp_path / "work")
    (tmp_path / "work" / "a").rmdir()
    (tmp_path / "work" / "a").symlink_to(tmp_path / "elsewhere")
    return project


def test_a_folder_that_became_a_link_is_started_no_more(linked, monkeypatch):
    monkeypatch.setattr(compose.engine, "docker_command", lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(Mismatch) as caught:
        linked.up(1)
    assert caught.value.actual.startswith("volumes: ") and caught.value.actual.endswith("work/a")


def test_a_folder_that_became_a_link_is_not_opened(linked, tmp_path, monkeypatch):
    box = {"Mounts": [{"Type": "bind", "Source": str(tmp_path / "work" / "a")}]}
    monkeypatch.setattr(linked, "containers", lambda: {"db": box})
    monkeypatch.setattr(
        compose.engine, "docker_command", lambda *call, **_: subprocess.CompletedProcess(call, 0, "", "")
    )
    monkeypatch.setattr(compose.engine, "connect", lambda: pytest.fail("it was opened"))
    linked.remove()


def test_a_folder_that_holds_what_is_mounted_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    mounts = [{"type": "bind", "source": str(tmp_path / name), "target": "/x"} for name in ("", "a", "a/b", "c")]
    own = model(volumes=mounts)
    own["secrets"] = {"key": {"file": str(tmp_path / "c" / "key.txt")}}
    compose.Project(own, tmp_path)
    assert [mount["read_only"] for mount in mounts] == [True, True, False, True]


def test_the_engines_own_network_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    own = model(network_mode="bridge")
    own["services"]["web"]["network_mode"] = "service:db"
    compose.Project(own, tmp_path)
    assert [service["network_mode"] for service in own["services"].values()] == ["service:db", "none"]


def test_services_without_end_are_refused(tmp_path):
    own = {"services": {f"s{number}": {"image": "web"} for number in range(compose.MOST + 1)}}
    assert [key for key, _value in compose._Model(tmp_path).of(own)] == ["services"]
    del own["services"]["s0"]
    assert not [*compose._Model(tmp_path).of(own)]


def test_a_project_without_networks_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    own = model()
    del own["networks"]
    compose.Project(own, tmp_path)


def test_a_project_that_does_not_come_up_in_time_is_told_and_is_no_trouble_of_the_engines(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexec sleep 60\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "0.1 s" in compose.Project(model(), tmp_path).up(0.1)


@pytest.mark.parametrize("knows", [True, False])
def test_an_engine_before_25_is_not_asked_for_what_it_does_not_know(knows, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    monkeypatch.setattr(compose.engine, "knows_start_interval", lambda: knows)
    compose.Project(model(healthcheck={"test": "true", "start_interval": "1s"}), tmp_path)
    [path] = tmp_path.glob("lab-*.json")
    health = [service.get("healthcheck", {}) for service in json.loads(path.read_text())["services"].values()]
    assert any("test" in each for each in health) and any("start_interval" in each for each in health) is knows


@pytest.mark.parametrize("kind", waits.ARMS)
def test_each_way_to_wait_is_what_it_is_called(kind):
    service = waits.model(kind, "web", "db", "volume")["services"]["web"]
    healthy = service["depends_on"]["db"]["condition"] == "service_healthy"
    assert healthy == (kind in ("healthy", "wait"))
    assert ("healthcheck" in service) == (kind == "wait")
    assert ("restart" in service) == ("exits" in service["command"]) == (kind == "exits")
