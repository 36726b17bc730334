"""The benchmark of verification, in small."""

import json

import pytest

from benchmarks import bundle


def test_table_has_rates_and_memory(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bundle, "SITES", 2)
    monkeypatch.setattr(bundle, "SIDE", 8)
    words = ["bundle", "--bundles", "20", "--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr("sys.argv", words)
    bundle.main()
    assert capsys.readouterr().out.startswith("20 bundles of 0.0")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["rate"] > 0 < figures["refusals"]
    assert figures["late"] >= figures["early"] > 0


def test_altered_bundle_that_passes_ends_the_benchmark(monkeypatch):
    monkeypatch.setattr(bundle, "SITES", 1)
    monkeypatch.setattr(bundle, "_flip", lambda path: None)
    with pytest.raises(SystemExit, match="altered, and not refused"):
        bundle.measure(10)


@pytest.mark.parametrize(("rate", "late", "word"), [(199, 50, "NO"), (201, 59, "NO")])
def test_figure_that_misses_its_bound_says_so(rate, late, word):
    figures = {"bundles": 10, "megabytes": 1.0, "rate": rate, "refusals": 100}
    assert word in bundle.table(figures | {"early": 50, "late": late})
