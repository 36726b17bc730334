"""``gdshare audit``: the attacks are printed and written to the run."""

import json

import pytest
from command_kit import gdshare
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.distill.loop import distill


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    distill(small_cohort(folder, 30, protocol=TINY), folder / "run", SETTINGS)
    return folder


def test_attacks_are_printed_and_written_to_the_run(site):
    run = gdshare("audit", site / "run", "--cohort", site / "cohort")
    assert run.status == 0
    assert "membership-loss/1" in run.out
    assert "nearest-patch/1" in run.out
    assert str(site / "run" / "audit.json") in run.out
    assert "\r" not in run.err  # no progress bar in a pipe


def test_attacks_are_available_as_json(site):
    run = gdshare("audit", site / "run", "--cohort", site / "cohort", "--json")
    assert run.status == 0
    attacks = json.loads(run.out)
    written = (site / "run" / "audit.json").read_text(encoding="utf-8")
    assert attacks == json.loads(written)["attacks"]
    assert set(attacks[0]) == {"name", "figure", "low", "high", "unrelated"}


def test_unfinished_run_is_refused(site, tmp_path):
    run = gdshare("audit", tmp_path, "--cohort", site / "cohort")
    assert run.status == 2
    assert run.err.count("\n") == 1
