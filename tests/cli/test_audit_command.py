"""``gdshare audit``: what was tried is told, written down, and goes with what is published."""

import json

import pytest
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.cli.main import main
from gdshare.distill.loop import distill


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    distill(small_cohort(folder, 30, protocol=TINY), folder / "run", SETTINGS)
    return folder


def gdshare(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_attacks_are_told_and_written_down(place, capsys):
    assert gdshare("audit", place / "run", "--cohort", place / "cohort") == 0
    told = capsys.readouterr()
    assert "membership-loss/1" in told.out
    assert "nearest-patch/1" in told.out
    assert str(place / "run" / "audit.json") in told.out
    assert told.err == ""  # no bar into a pipe


def test_attacks_as_json(place, capsys):
    words = ("audit", place / "run", "--cohort", place / "cohort", "--json")
    assert gdshare(*words) == 0
    attacks = json.loads(capsys.readouterr().out)
    assert attacks == json.loads((place / "run" / "audit.json").read_text())["attacks"]
    assert set(attacks[0]) == {"name", "figure", "low", "high", "unrelated"}


def test_unfinished_run_is_refused(place, tmp_path, capsys):
    assert gdshare("audit", tmp_path, "--cohort", place / "cohort") == 2
    assert capsys.readouterr().err.count("\n") == 1
