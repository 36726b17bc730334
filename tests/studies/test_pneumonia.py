from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.engine import tasks
from gdshare.errors import UsageError
from gdshare.method import Settings
from studies import pneumonia
from studies.pneumonia import (
    FULL,
    QUICK,
    Distilling,
    answer,
    balanced_accuracy,
    batches,
    behind,
    cells_of,
    report_of,
    teams,
)
from studies.runner import Needed, Piece, Store, run
from studies.tables import Difference, resamples

TINY = replace(
    QUICK,
    distilling=Distilling(batch=8, outer_steps=2, score_every=1),
    trials=tuple(replace(trial, epochs=1) for trial in QUICK.trials),
    networks=2,
    synthetic=6,
)
TRUTH = np.array([0, 0, 1, 1, 1, 1, 1, 1], np.uint8)


class World:
    """A whole tiny comparison of two seeds."""

    def __init__(self, out):
        self.store = Store("pneumonia", out)
        self.cells = cells_of(TINY, out, range(2), self.store)
        run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tests below look at it, and none spoils it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "SCORE_INITS", 2)
        yield World(tmp_path_factory.mktemp("pneumonia"))


def test_all_rows_are_reported_and_go_to_json(world):
    report = report_of(TINY, range(2), world.cells, world.results)
    for words in ("2 distilled, k = 1", "2 distilled, k = 2", "12 real", "Target", "patient"):
        assert words in report.text
    rows = report.figures["tables"][0]["rows"]
    for seed in range(2):
        arrays = world.results[f"judge-{seed}"].arrays
        assert arrays["distilled"].shape == (2, 12)
        alone = [balanced_accuracy(one, arrays["truth"]) for one in arrays["distilled"]]
        assert rows[0][2][seed] == pytest.approx(np.mean(alone))
        assert rows[2][2][seed] == balanced_accuracy(arrays["real"], arrays["truth"])
    value, low, high = rows[1][3]
    assert low <= value <= high
    assert rows[0][3][0] == pytest.approx(100 * (rows[0][1] - rows[2][1]))


def test_choices_are_made_by_validation_images(world):
    for seed in range(2):
        scores = {
            trial: world.results[f"real-{seed}-{trial.name}"].number("score")
            for trial in TINY.trials
        }
        best = max(scores, key=scores.get)
        facts = world.results[f"judge-{seed}"].facts
        assert (facts["batches"], facts["rate"]) == (best.batches, best.rate)


def test_a_distillation_that_was_killed_goes_on_to_the_same_images(world, tmp_path):
    (cell,) = [one for one in world.cells if one.name == "distil-0"]

    class Killed(Exception):  # noqa: N818 - no error of the code's
        pass

    class Dying(Piece):
        def keep(self):
            if len(kept) == 1:
                raise Killed
            kept.append(1)

    kept = []
    with pytest.raises(Killed):
        cell.function(Dying(tmp_path), cell.parameters)
    again = cell.function(Piece(tmp_path), cell.parameters)
    assert again.facts == world.results["distil-0"].facts
    whole = world.store.folder(cell) / "best.safetensors"
    assert (tmp_path / "best.safetensors").read_bytes() == whole.read_bytes()


def test_the_test_images_are_shown_to_the_best_scored_state(world, tmp_path):
    (cell,) = [one for one in world.cells if one.name == "judge-1"]
    needs = {
        role: Needed(world.store.folder(need), world.store.read(need))
        for role, need in cell.needs.items()
    }
    again = cell.function(Piece(tmp_path, cell.seed, needs), cell.parameters)
    first = world.results["judge-1"]
    assert all((again.arrays[name] == first.arrays[name]).all() for name in first.arrays)


def test_balanced_accuracy_weighs_both_classes_alike():
    assert balanced_accuracy(np.ones(8, np.uint8), TRUTH) == 0.5
    assert balanced_accuracy(TRUTH, TRUTH) == 1.0
    assert balanced_accuracy(np.array([0, 1, 1, 1, 1, 0, 0, 0], np.uint8), TRUTH) == 0.5


def test_most_votes_decide_and_what_makes_no_team_is_left_out():
    called = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], np.uint8)
    assert teams(called, 5).tolist() == [[1, 1, 0]]
    assert teams(called, 2).tolist() == [[1, 0, 0], [0, 0, 0]]  # a tie is normal
    assert teams(called, 1).tolist() == called.tolist()


def test_the_gap_is_that_of_mean_accuracies_on_the_same_resamples():
    generator = np.random.default_rng(1)
    ours = [generator.integers(0, 2, 8).astype(np.uint8) for _ in range(3)]
    theirs = [TRUTH, generator.integers(0, 2, 8).astype(np.uint8)]
    drawn = resamples(TRUTH, np.arange(8), generator, 40)
    assert (drawn[:, TRUTH == 0].sum(1) == 2).all()
    assert (drawn[:, TRUTH == 1].sum(1) == 6).all()

    def points(truth, rows):
        first, second = (
            np.mean([balanced_accuracy(one[rows], truth[rows]) for one in models])
            for models in (ours, theirs)
        )
        return 100 * (first - second)

    found = behind(ours, theirs, TRUTH, drawn)
    assert found.value == pytest.approx(points(TRUTH, np.arange(8)))
    each = [points(TRUTH, np.repeat(np.arange(8), times.astype(int))) for times in drawn]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(each, [2.5, 97.5])))
    assert behind(ours, ours, TRUTH, drawn) == Difference(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("points", "low", "words"),
    [
        (-2.0, -2.9, ("come within 3", "wholly above")),
        (-2.0, -4.0, ("come within 3", "not wholly above")),
        (-3.1, -5.0, ("NOT within 3", "not wholly above")),
    ],
)
def test_the_answer_says_whether_the_target_is_reached(points, low, words):
    for word in words:
        assert word in answer(4708, Difference(points, low, 0.0))


def test_a_plain_pass_shows_each_image_once_and_a_balanced_one_each_class_alike():
    classes = torch.tensor([0] * 5 + [1] * 15)
    plain = list(batches("plain", classes, 8, 0, 1))
    assert sorted(torch.cat(plain).tolist()) == list(range(20))
    balanced = list(batches("balanced", classes, 8, 0, 1))
    assert len(balanced) == len(plain) == 3
    assert all((classes[rows] == 1).sum() == 4 for rows in balanced)
    for way in ("plain", "balanced"):
        first, again, other = (
            torch.cat(list(batches(way, classes, 8, 0, epoch))).tolist() for epoch in (1, 1, 2)
        )
        assert first == again != other


def test_the_full_plan_is_the_target_of_one_image_a_class():
    told_nothing, plan = Settings(network="convnet"), FULL.distilling
    assert (plan.steps, plan.batch) == (told_nothing.trajectory, told_nothing.batch)
    assert plan.outer_steps == told_nothing.outer_steps
    assert (FULL.networks, FULL.team) == (10, 5)
    tried = {(trial.batches, trial.rate) for trial in FULL.trials}
    assert tried == {(way, rate) for way in ("plain", "balanced") for rate in (1e-3, 3e-4)}


def test_missing_images_are_told_with_the_option_that_names_them(tmp_path):
    store = Store("pneumonia", tmp_path / "out")
    with pytest.raises(UsageError, match=r"medmnist/pneumoniamnist\.npz.*--data"):
        pneumonia.study(Namespace(quick=False, seeds=1, data=tmp_path), store)
    assert not (tmp_path / "out").exists()
