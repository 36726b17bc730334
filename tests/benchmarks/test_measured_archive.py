"""The committed archives: of the plans that are in the code, with nothing private in them."""

import json
from pathlib import Path

import numpy as np
import pytest

from studies.options import variants
from studies.quality import plan

ARCHIVES = Path(__file__).parents[2] / "benchmarks" / "archive"
QUALITY = ARCHIVES / "quality"
PLANS = {
    "options": variants.FULL.as_data(),
    "quality": plan.FULL.as_data(),
}
PIECES = sorted(path.parent for path in QUALITY.rglob("done.json"))


def test_every_archive_is_known():
    assert {path.name for path in ARCHIVES.iterdir()} == {*PLANS, "engine"}


@pytest.mark.parametrize("name", PLANS)
def test_it_is_of_the_plan_that_is_in_the_code(name):
    folder = ARCHIVES / name
    assert json.loads((folder / "plan.json").read_text())["plan"] == PLANS[name]
    assert any(folder.rglob("done.json"))


def test_they_hold_counts_and_facts_alone():
    files = [path for path in ARCHIVES.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"plan.json", "done.json", "seen.npz", "races.json"}
    assert all(path.is_relative_to(QUALITY) for path in files if path.name == "seen.npz")
    assert sum(path.stat().st_size for path in files) < 2**21


@pytest.mark.parametrize("piece", [one for one in PIECES if one.name.startswith("films-")])
def test_films_are_numbered_and_their_votes_counted(piece):
    with np.load(piece / "seen.npz", allow_pickle=False) as seen:
        assert set(seen) == {"split", "site", "patient", "votes", "sums"}
        films = json.loads((piece / "done.json").read_text())["films"]
        assert seen["votes"].shape[1:] == seen["sums"].shape[1:] == (films, 3)
        windows = seen["votes"].sum(2)
        assert (windows == windows[0]).all()  # every network saw every window of a film
