"""The committed archive of ``benchmarks.quality``: of today's plan, with nothing private in it."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.plan import FULL

ARCHIVE = Path(__file__).parents[2] / "benchmarks" / "archive" / "quality"
PIECES = sorted(path.parent for path in ARCHIVE.rglob("done.json"))


def test_it_is_of_the_plan_that_is_in_the_code():
    assert json.loads((ARCHIVE / "plan.json").read_text())["plan"] == FULL.as_data()
    assert PIECES


def test_it_holds_counts_and_facts_alone():
    names = {path.name for path in ARCHIVE.rglob("*") if path.is_file()}
    assert names <= {"plan.json", "done.json", "seen.npz"}
    assert sum(path.stat().st_size for path in ARCHIVE.rglob("*") if path.is_file()) < 2**21


@pytest.mark.parametrize("piece", [one for one in PIECES if one.name.startswith("films-")])
def test_films_are_numbered_and_their_votes_counted(piece):
    with np.load(piece / "seen.npz", allow_pickle=False) as seen:
        assert set(seen) == {"split", "site", "patient", "votes", "sums"}
        films = json.loads((piece / "done.json").read_text())["films"]
        assert seen["votes"].shape[1:] == seen["sums"].shape[1:] == (films, 3)
        windows = seen["votes"].sum(2)
        assert (windows == windows[0]).all()  # every network saw every window of a film
