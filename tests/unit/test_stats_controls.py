"""Null controls: what does not differ is not said to differ, and what does is found. On recorded container starts."""

import numpy as np
import pytest

from boxlab import paths, records, stats

REPEATS = 200


@pytest.fixture(scope="module")
def recorded():
    """Seconds of many starts of one and the same container, measured in one run."""
    run = records.load(paths.ROOT / "tests" / "recorded" / "null-container.json")
    return np.array(
        [run.kept("a")[r] for r in sorted(run.kept("a"))] + [run.kept("b")[r] for r in sorted(run.kept("b"))]
    )


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 499)


def halves(recorded, rng, n):
    drawn = rng.permutation(recorded)[: 2 * n]
    return drawn[:n], drawn[n:]


def test_a_against_a_shows_no_difference_about_as_often_as_stated(recorded):
    rng = np.random.default_rng(1)
    found = [stats.ratio(*halves(recorded, rng, 30)) for _ in range(REPEATS)]
    covered = np.mean([e.low <= 1 <= e.high for e in found])
    assert covered > 0.9
    assert np.mean([e.high - e.low for e in found]) < 0.3  # an interval wide enough for anything would cover 1 as well


def test_independent_runs_of_the_same_show_no_difference_about_as_often_as_stated(recorded):
    rng = np.random.default_rng(2)
    found = [stats.independent_ratio(*halves(recorded, rng, 30)) for _ in range(REPEATS)]
    assert np.mean([e.low <= 1 <= e.high for e in found]) > 0.9


def test_a_slowdown_of_a_fifth_is_found(recorded):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(REPEATS):
        one, other = halves(recorded, rng, 30)
        found.append(stats.ratio(other * 1.2, one))
    assert np.mean([e.low > 1 for e in found]) > 0.9
    assert np.mean([e.low <= 1.2 <= e.high for e in found]) > 0.9


def test_the_two_arms_of_the_recorded_null_control_do_not_differ():
    run = records.load(paths.ROOT / "tests" / "recorded" / "null-container.json")
    ratio = run.ratio("b", "a")
    assert ratio.low <= 1 <= ratio.high
