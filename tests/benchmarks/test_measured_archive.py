"""The committed archives: of the plans that are in the code, with nothing private in them."""

import json
from pathlib import Path

import pytest

from benchmarks.engine.race import COURSES
from benchmarks.engine.runs import plan_of

ARCHIVES = Path(__file__).parents[2] / "benchmarks" / "archive"
PLANS = {"engine": plan_of(COURSES)}


def test_every_archive_is_known():
    assert {path.name for path in ARCHIVES.iterdir()} == set(PLANS)


@pytest.mark.parametrize("name", PLANS)
def test_it_is_of_the_plan_that_is_in_the_code(name):
    folder = ARCHIVES / name
    assert json.loads((folder / "plan.json").read_text())["plan"] == PLANS[name]
    assert any(folder.rglob("done.json"))


def test_they_hold_facts_alone():
    files = [path for path in ARCHIVES.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"plan.json", "done.json"}
