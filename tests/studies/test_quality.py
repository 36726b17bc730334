import re
from argparse import Namespace
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from gdshare import pooling
from gdshare.distill.score_record import CHANCE
from gdshare.errors import DivergedError, RunError, UsageError
from gdshare.method import Settings
from studies import quality
from studies.hospitals import Phantoms, hospitals_of
from studies.quality import networks
from studies.quality.cross import read_crossed
from studies.quality.figures import READINGS
from studies.quality.plan import FULL, QUICK, Crossing
from studies.quality.report import CROSS, Reader
from studies.quality.schedule import cells_of
from studies.runner import Needed, Piece, Store, run
from studies.tables import mean

TINY = replace(
    QUICK,
    protocol=QUICK.protocol.model_copy(update={"patch": 24, "stride": 12}),
    arms=tuple(
        arm.model_copy(update={"outer_steps": steps, "epochs": 1, "steps": 2, "score_inits": 1})
        for arm, steps in zip(QUICK.arms, (4, 2), strict=True)
    ),
    training=replace(QUICK.training, epochs=1),
    sizes=(10,),
    film_stride=24,
    networks=2,
    teams=(1, 2),
    schemes=pooling.SCHEMES,
    crossing=Crossing(factors=(0.3, 1.0), choosing=1, judging=2, folds=2),
    score_patches=10,
    phantoms=Phantoms(hospitals=2, per_diagnosis=4, size=128),
)
OURS = [f"distilled on {network}, k = {k}" for network in ("ConvNet", "ResNet18") for k in (1, 2)]
BETTER = "30 real, ResNet18 better norm"
THEIRS = [BETTER, "30 real, ResNet18 GroupNorm", "30 real, ResNet18 BatchNorm", "30 real, ConvNet"]


class World:
    """A whole tiny study."""

    def __init__(self, out):
        self.store = Store("quality", out)
        self.hospitals = hospitals_of(TINY.phantoms, out, self.store)
        self.cells = cells_of(TINY, self.hospitals)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pooling, "UNION_STEPS", 3)
            run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)
        self.report = self.reported(self.results)

    def reported(self, results):
        return Reader(TINY, self.hospitals, results, 50).report(self.cells)

    def piece(self, name, folder=None):
        """The cell of a name, at work again in its own folder or in another."""
        (cell,) = [one for one in self.cells if one.name == name]
        needs = {
            role: Needed(self.store.folder(need), self.store.read(need))
            for role, need in cell.needs.items()
        }
        return cell, Piece(folder or self.store.folder(cell), cell.seed, needs)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tests below look at it, and none spoils it."""
    return World(tmp_path_factory.mktemp("quality"))


def table(report, title):
    """The rows of the table whose title begins so, the first entry of a row -> the others."""
    (found,) = [one for one in report.figures["tables"] if one["title"].startswith(title)]
    return {row[0]: row[1:] for row in found["rows"]}


def test_every_model_has_a_row_in_every_reading(world):
    films = [one for one in world.report.figures["tables"] if ": films by" in one["title"]]
    assert len(films) == len(READINGS)
    for one in films:
        names = [row[0].removesuffix(" (primary)") for row in one["rows"]]
        assert [name for name in names if not name.startswith("  ±")] == OURS + THEIRS
        assert one["columns"] == ["model", "ε by fold", "all", "phantom-0", "phantom-1"]
        counts = one["rows"][0][2][-1]
        assert len(counts) == 2  # of each of two networks
        assert sum(counts[0][cell] for cell in ("tp", "fn", "tn", "fp")) == 16  # every film, once
    pairs = table(world.report, "Secondary: differences by votes, the source's ε")
    assert list(pairs) == [f"{ours} - {theirs}" for ours in OURS for theirs in THEIRS]
    assert list(table(world.report, "HM of validation films")) == OURS + THEIRS
    assert list(table(world.report, "Patch score on test")) == OURS[::2] + THEIRS
    assert "Not told" not in world.report.text
    assert world.report.figures["missing"] == []


def test_the_primary_figures_are_marked_and_no_others(world):
    lines = world.report.text.splitlines()
    assert sum(line.startswith("Primary: ") for line in lines) == 2
    assert "k = 2 networks" in lines[0]
    marked = [line.split(" (primary)")[0] for line in lines if " (primary)" in line]
    assert marked == [OURS[1], BETTER, f"{OURS[1]} - {BETTER}"]
    assert world.report.figures["primary"] == {"way": "votes", "rule": "coarse", "k": 2}


def test_images_of_each_network_are_tried_on_each(world):
    rows = table(world.report, CROSS.capitalize())
    names = [f"images of {a} train {b}" for a, b in product(("ConvNet", "ResNet18"), repeat=2)]
    assert sorted(rows) == sorted([*names, "chance"])
    crossings = [world.results[one.name] for one in world.cells if one.kind == "cross"]
    assert len(crossings) == 4  # 2 folds of 2 hospitals
    own = [mean(read_crossed(one)[0].values) for one in crossings]
    assert rows["images of ConvNet train ConvNet"][0] == mean(own)


def test_stopped_early_it_reports_what_is_complete_and_what_is_missing(world):
    lost = {"fold-1/films-resnet18", "fold-1/films-real-30-batch", "fold-1/cross-phantom-0"}
    report = world.reported({n: one for n, one in world.results.items() if n not in lost})
    names = [name for name in table(report, "Primary: films") if not name.startswith("  ±")]
    assert names == [OURS[0], f"{OURS[1]} (primary)", THEIRS[1], THEIRS[3]]
    complete = table(world.report, "Primary: films")
    assert table(report, "Primary: films")[OURS[0]] == complete[OURS[0]]
    assert report.figures["missing"] == [
        ("distilled on ResNet18", 1, 2),
        ("30 real, ResNet18 BatchNorm", 1, 2),
        (CROSS, 3, 4),
    ]
    assert f"ResNet18 (1 of 2), 30 real, ResNet18 BatchNorm (1 of 2), {CROSS}" in report.text
    assert "images of ConvNet train" not in report.text
    with pytest.raises(RunError, match="no model is complete"):
        world.reported({})


def test_a_film_cell_that_was_killed_shows_only_the_films_it_lacks(world):
    cell, piece = world.piece("fold-0/films-real-30-convnet")
    before = {path.name: path.stat().st_mtime_ns for path in piece.folder.glob("0*.npz")}
    (piece.folder / "00003.npz").unlink()
    again = cell.function(piece, cell.parameters)
    after = {path.name: path.stat().st_mtime_ns for path in piece.folder.glob("0*.npz")}
    assert {name for name in after if after[name] != before[name]} == {"00003.npz"}
    first = world.results[cell.name]
    assert again.facts == first.facts
    assert all((again.arrays[name] == first.arrays[name]).all() for name in first.arrays)


def test_a_distillation_that_was_killed_goes_on_to_the_same_bytes(world, tmp_path):
    name = "fold-1/distil-convnet-phantom-0"

    class Killed(Exception):  # noqa: N818 - no error of the code's
        pass

    class Dying(Piece):
        def keep(self):
            raise Killed

    cell, piece = world.piece(name, tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.lost").touch()  # killed before, while writing its record
    with pytest.raises(Killed):
        cell.function(Dying(tmp_path, piece.seed, piece.needs), cell.parameters)
    result = Path("run") / "distilled.safetensors"
    assert not (tmp_path / result).exists()
    assert cell.function(piece, cell.parameters).facts == world.results[name].facts
    kept = world.store.folder(cell) / result
    assert (tmp_path / result).read_bytes() == kept.read_bytes()


def test_a_way_of_pooling_that_leaves_the_numbers_scores_chance(world, monkeypatch):
    kept = networks.train_pooled

    def only_sequential(brought, protocol, scheme, seed):
        if scheme != "sequential":
            raise DivergedError("not finite")
        return kept(brought, protocol, scheme, seed)

    monkeypatch.setattr(networks, "train_pooled", only_sequential)
    cell, piece = world.piece("fold-0/scheme-convnet")
    scores = cell.function(piece, cell.parameters).facts["scores"]
    assert scores.pop("sequential") != [CHANCE]
    assert scores
    assert all(values == pytest.approx([CHANCE]) for values in scores.values())


def test_no_two_distillations_share_a_seed():
    runs = [FULL.settings_of(*one) for one in product(FULL.arms, "abc", range(3))]
    assert len({run.seed for run in runs}) == 18
    assert FULL.settings_of(FULL.arms[0], "a", 0) == runs[0]


def test_all_kinds_of_baseline_get_the_same_patches_in_the_same_order():
    group, batch, convnet = (FULL.training_of(one, 1) for one in FULL.baselines[-3:])
    assert group == batch == replace(convnet, network="resnet18")
    assert (group.network, convnet.network) == ("resnet18", "convnet")
    assert FULL.training_of(FULL.baselines[0], 0).seed != group.seed


def test_the_full_plan_is_the_sources_experiment():
    assert [one.patches for one in FULL.baselines] == [3000] * 2 + [6000] * 2 + [9000] * 3
    assert [arm.network for arm in FULL.arms] == ["convnet", "resnet18"]
    assert [arm.images for arm in FULL.arms] == [3, 3]
    assert (FULL.protocol.stride, FULL.film_stride) == (13, 52)
    told_nothing = Settings(network="convnet")
    assert FULL.arms[0].method() == told_nothing.method()


def test_what_matters_most_comes_first_and_nothing_ever_waits():
    cells = cells_of(FULL, hospitals_of(Phantoms(), Path(), Store("quality", Path("nowhere"))))[3:]
    names = [cell.name for cell in cells]
    # cohorts; two arms of distillations, scheme, films; trainings, films; one fold crossed
    assert len(names) == len(set(names)) == 3 * (3 + 2 * (3 + 1 + 1) + 7 * 2) + 3

    def turn(cell):
        if cell.kind == "cross" or re.search("fold-0/distil-resnet18", cell.name):
            return 1
        if "9000-convnet" in cell.name:
            return 2
        return 3 if "-resnet18" in cell.name else 0

    turns = [turn(cell) for cell in cells]
    assert turns == sorted(turns)
    assert [turns.count(one) for one in range(4)] == [3 * (3 + 5 + 6 * 2), 3 + 3, 3 * 2, 2 * 3 + 6]
    for place, cell in enumerate(cells):
        assert {one.name for one in cell.needs.values() if one.kind != "cohorts"} <= set(
            names[:place]
        )


def test_missing_films_are_told_with_the_option_that_names_them(tmp_path):
    with pytest.raises(UsageError, match="--data"):
        quality.study(Namespace(quick=False, data=tmp_path), Store("quality", tmp_path))
