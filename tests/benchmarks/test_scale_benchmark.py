import json
import sys

import pytest

from benchmarks import scale
from benchmarks.scale_sites import HOSTILE


def test_hostile_tenth_of_a_hundred_sites_is_kept_out_and_the_honest_are_not():
    figures = scale.hold_round(100, "scattering")
    outcomes = figures["outcomes"]
    assert {kind: outcomes[kind] for kind in HOSTILE} == {kind: [0, 2] for kind in HOSTILE}
    admitted, honest = outcomes["honest"]
    assert honest == 60
    assert admitted >= 58


def test_each_bundle_is_shown_to_ten_sites_and_the_model_to_all():
    figures = scale.hold_round(30, "scattering")
    admitted = sum(let_in for let_in, _ in figures["outcomes"].values())
    assert figures["answers"] == 21
    assert figures["questions"]["query.collect"] == 30
    judged = figures["questions"]["evaluate.counts"] - 2 * admitted
    assert 10 * admitted <= judged <= 10 * (admitted + 3)


def test_quickest_run_gives_a_column_a_round_and_the_same_as_data(tmp_path, monkeypatch, capsys):
    out = tmp_path / "figures.json"
    words = ["scale", "--sites", "10", "--network", "scattering", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    scale.main()
    [figures] = json.loads(out.read_text())["rounds"]
    steps = {name: own for name, own in figures["steps"].items() if not name.startswith("(")}
    assert figures["cpu"] == pytest.approx(sum(own["cpu"] for own in steps.values()))
    shown = capsys.readouterr().out
    assert all(name in shown for name in steps)
    assert "10 scattering" in shown
