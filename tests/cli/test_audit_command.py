"""``gdshare audit``: what was tried is told, written down, and goes with what is published."""

import json

import pytest
from command_kit import gdshare
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.distill.loop import distill


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    distill(small_cohort(folder, 30, protocol=TINY), folder / "run", SETTINGS)
    return folder


def test_attacks_are_told_and_written_down(place):
    _, out, err = gdshare("audit", place / "run", "--cohort", place / "cohort", check=True)
    assert "membership-loss/1" in out
    assert "nearest-patch/1" in out
    assert str(place / "run" / "audit.json") in out
    assert err == ""  # no bar into a pipe


def test_attacks_as_json(place):
    words = ("audit", place / "run", "--cohort", place / "cohort", "--json")
    attacks = json.loads(gdshare(*words, check=True).out)
    assert (
        attacks == json.loads((place / "run" / "audit.json").read_text(encoding="utf-8"))["attacks"]
    )
    assert set(attacks[0]) == {"name", "figure", "low", "high", "unrelated"}


def test_unfinished_run_is_refused(place, tmp_path):
    status, _, err = gdshare("audit", tmp_path, "--cohort", place / "cohort")
    assert (status, err.count("\n")) == (2, 1)
