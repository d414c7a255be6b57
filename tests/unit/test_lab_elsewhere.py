"""Lab 01's checks: what is drawn differs in every elsewhere."""

import contextlib
from random import Random
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from boxlab import paths
from boxlab.labs import checks

CHECKS = checks.load(paths.ROOT / "labs" / "01-elsewhere" / "checks.py")[1]


@pytest.mark.parametrize("zone", CHECKS.ZONES)
def test_in_another_time_zone_the_answer_is_another(zone, monkeypatch):
    rows = CHECKS.sales(SimpleNamespace(random=Random(1)))
    right = CHECKS.right(rows, 20)
    monkeypatch.setattr(CHECKS, "UTC", ZoneInfo(zone))
    assert CHECKS.right(rows, 20) != right


def test_the_right_answer_sums_by_day_and_city_and_adds_the_tax():
    rows = [(CHECKS.SOME_DAY + second, "Zürich", 10) for second in (0, CHECKS.DAY - 1, CHECKS.DAY)]
    assert CHECKS.right(rows, 20) == "2026-01-01 Zürich 2400\n2026-01-02 Zürich 1200"


def test_no_city_is_spelled_in_ascii_alone():
    cities = [city for _stamp, city, _cents in CHECKS.sales(SimpleNamespace(random=Random(2)))]
    assert cities and not any(city.isascii() for city in cities)


def test_who_does_not_end_is_held_against_a_python_program_with_less_time():
    asked = []

    @contextlib.contextmanager
    def lasting(image, command, **options):
        yield SimpleNamespace(start=lambda: asked.append(command[0]), status=asked.append)

    CHECKS.require_control.__wrapped__(SimpleNamespace(lasting=lasting))
    assert asked[0] == "python3" and asked[1] < CHECKS.ENDS_S


def test_what_shows_a_mistake_by_hand_has_sales_to_read(monkeypatch):
    told = []
    monkeypatch.setattr(CHECKS, "told", lambda work, next, **session: told.append(next))
    for check in (CHECKS.any_folder, CHECKS.any_user, CHECKS.any_clock, CHECKS.any_language, CHECKS.any_settings):
        check(SimpleNamespace(random=Random(1)))
    assert len(told) == 5 and all("docker run --rm --volume ./work/01-elsewhere:/data --" in next for next in told)
