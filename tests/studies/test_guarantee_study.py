from pathlib import Path

import pytest

from gdshare.private.account import Spending
from studies import features
from studies.guarantee import QUICK, cells_of, name_of, report_of
from studies.hospitals import hospitals_of
from studies.readings import IMAGES
from studies.runner import Store, run


def test_the_study_prints_what_is_done_and_leaves_out_what_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(
        features, "spend", lambda budget, shares: Spending((1.3, 0.7), 7.9, "a test")
    )
    features.multipliers_of.cache_clear()
    store = Store("guarantee", tmp_path / "out", tmp_path / "archive")
    hospitals = hospitals_of(QUICK.phantoms, Path(), store)
    cells = cells_of(QUICK, hospitals, store, Path())
    sites = [hospitals[0].name, IMAGES]
    wanted = {name_of(site, epsilon, 0) for site in sites for epsilon in (8.0, 0.0, None)}
    kept = [cell for cell in cells if cell.kind not in sites or cell.name in wanted]
    run(kept, store, lambda line: None)
    results = store.results(kept)
    report = report_of(QUICK, hospitals, results)
    score, _ = report.figures["tables"]
    assert [row[0] for row in score["rows"]] == [
        "ε = 8",
        "without noise",
        "no guarantee, defaults",
        "least squares on patches",
    ]
    for row, epsilon in zip(score["rows"], (8.0, 0.0, None), strict=False):
        name = name_of(hospitals[0].name, epsilon, 0)
        assert row[1] == [pytest.approx(results[name].number("test"))]
        images = name_of(IMAGES, epsilon, 0)
        assert row[2] == [pytest.approx(results[images].number("test"))]
        assert results[images].number("test") in [n / 24 for n in range(25)]  # of N and P alone
    empty = report_of(QUICK, hospitals, {})
    assert "-" in empty.text
