"""The source's experiments: what is distilled, what is shown, and the source's figures beside."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from gdshare.metrics import SOURCE_TABLE, THRESHOLDS
from studies.hospitals import Phantoms, hospitals_of
from studies.rivals.schedule import cells_of as cells_of_rivals
from studies.runner import Result, Store, run
from studies.source.plan import DEFAULTS, FULL, QUICK, VARIANTS, Plan, Variant, source_cells
from studies.source.report import Reader

SHARED = QUICK.shared.shared
TINY = Plan(
    replace(
        QUICK.shared,
        shared=replace(
            SHARED,
            protocol=SHARED.protocol.model_copy(update={"patch": 24, "stride": 24, "side": 8}),
            film_stride=52,
            phantoms=Phantoms(hospitals=2, per_diagnosis=4, size=128),
        ),
        attacked=0,
    ),
    (*VARIANTS[:1], VARIANTS[2]),
)


class World:
    """A whole tiny study, with what it takes from that of the rivals."""

    def __init__(self, out):
        self.store = Store("source", out)
        self.hospitals = hospitals_of(TINY.shared.shared.phantoms, out, self.store)
        self.cells = source_cells(TINY, self.hospitals)
        run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)
        rivals = cells_of_rivals(TINY.shared, self.hospitals)
        rivals = [own for own in rivals if any(w in own.name for w in ("distil", "coh", "phantom"))]
        run(rivals, self.store, lambda line: None)
        self.rivals = self.store.results(rivals)

    def report(self, results=None, rivals=None, quality=None):
        given = (self.results if results is None else results), self.rivals, quality or {}
        if rivals is not None:
            given = given[0], rivals, given[2]
        return Reader(TINY, self.hospitals, *given, 50).report(self.cells)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tests below look at it, and none spoils it."""
    return World(tmp_path_factory.mktemp("source"))


def table(report, beginning):
    (own,) = [t for t in report.figures["tables"] if t["title"].startswith(beginning)]
    return {row[0]: row[1:] for row in own["rows"]}


def test_every_experiment_has_its_table(world):
    report = world.report()
    titles = [own["title"] for own in report.figures["tables"]]
    beginnings = ("Experiment II", "M,", "Figure 3", "Patch score", "HM by ε", "One option", "CPU")
    assert [any(t.startswith(b) for t in titles) for b in beginnings] == [True] * len(beginnings)
    assert list(table(report, "One option")) == [
        "defaults",
        "--labels hard",
        "--epochs 3 --steps 3",
        "--images 6",
    ]
    assert report.figures["missing"] == []
    assert len(table(report, "HM by ε")) == len(THRESHOLDS)


def test_sources_figures_stand_beside_and_say_that_they_are_of_other_data(world):
    report = world.report()
    rows = table(report, "Experiment II: soft labels against hard ones; ")
    assert [row[-3:] for row in rows.values()] == [list(own[2:]) for own in SOURCE_TABLE[:2]]
    assert "the source (other data, for orientation)" in report.text
    assert table(report, "M, and other options; ")["6 distilled, soft labels"][-3:] == [""] * 3


def test_hard_labels_stay_one_hot_and_soft_ones_move(world):
    rows = table(world.report(), "Figure 3")
    for place, name in enumerate("INP"):
        hard = [own[0] for own in rows[f"--labels hard, image of {name}"][:3]]
        assert hard == [float(own == place) for own in range(3)]
    assert rows["defaults, image of I"][0][0] < 1


def test_a_variant_starts_where_the_defaults_do(world):
    by_name = {cell.name: cell for cell in world.cells}
    for site in world.hospitals:
        base = by_name[f"fold-0/distil-scattering-head-{site.name}"]
        hard = by_name[f"fold-0/distil-hard-{site.name}"]
        given = base.parameters.model_dump()
        assert hard.parameters.model_dump() == given | {"labels": "hard"}
        assert hard.needs == base.needs


def test_scores_by_step_are_those_of_the_runs(world):
    rows = table(world.report(), "Patch score")
    names = [f"fold-{n}/runs-{DEFAULTS.name}" for n in range(2)]
    last = [own for n in names for own in world.results[n].arrays["scores"][:, -1]]
    assert rows["4"][0][0] == pytest.approx(np.mean(last))
    assert list(rows) == ["2", "4"]


def test_real_patches_are_taken_from_the_study_of_quality(world):
    films = {n: world.results[f"fold-{n}/films-hard"] for n in range(2)}
    quality = {}
    for fold, size, kind in product(range(2), (30, 60), ("group", "batch")):
        quality[f"fold-{fold}/films-real-{size}-{kind}"] = films[fold]
        score = 0.5 + 0.1 * (kind == "batch")
        quality[f"fold-{fold}/real-{size}-{kind}"] = Result({"patch_score": score})
    report = world.report(quality=quality)
    rows = table(report, "Experiment I: distilled images against ResNet18; ")
    assert "60 real, ResNet18 better norm" in rows
    hard = table(report, "Experiment II: soft labels against hard ones; ")
    assert rows["30 real, ResNet18 BatchNorm"][1:-3] == hard["3 distilled, --labels hard"][1:-3]


def test_what_is_not_complete_is_left_out_and_named(world):
    kept = {n: own for n, own in world.results.items() if n != "fold-1/films-hard"}
    report = world.report(kept)
    assert "Not complete in all folds: films-hard." in report.text
    assert "Experiment II" not in report.text
    alone = world.report(rivals={})
    assert "no figures of films" in alone.text
    assert list(table(alone, "One option")) == ["defaults", "--labels hard", "--epochs 3 --steps 3"]


def test_the_defaults_of_the_full_plan_are_the_images_of_the_claim():
    hospitals = hospitals_of(Phantoms(), Path(), Store("source", Path("nowhere")))
    cells = {cell.name: cell for cell in source_cells(FULL, hospitals)}
    rivals = {cell.name: cell for cell in cells_of_rivals(FULL.shared, hospitals)}
    shared = [name for name in cells if name in rivals]
    assert all(cells[name].digest == rivals[name].digest for name in shared)
    assert sum("/distil-scattering-head-" in name for name in shared) == 9
    assert FULL.settings(Variant("nine", {"epochs": 3, "steps": 3})).trajectory == 9
