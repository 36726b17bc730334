import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.engine.problem import drawn_from, gaussian
from benchmarks.engine.recipe import Recipe
from benchmarks.engine.run_folder import SCORES, Plan, RunFolder
from benchmarks.engine.tasks import QualityTask
from benchmarks.engine.timed_run import Race, read_task
from gdshare.errors import CohortError, RunError, UsageError

PLAN = Plan(task="pneumonia", cohort=None, rival="recipe", seed=0, batch=3, score_every=3.0)


class KilledError(Exception):
    pass


class Mortal(Recipe):
    """A rival whose process is killed at a training step, or whose loss runs away."""

    def __init__(self, problem, dies_at=None, diverges_at=None):
        super().__init__(problem)
        self._dies_at, self._diverges_at = dies_at, diverges_at

    def outer_step(self):
        if self.done == self._dies_at:
            raise KilledError
        loss = super().outer_step()
        return float("nan") if self.done == self._diverges_at else loss


@pytest.fixture(scope="module")
def task():
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    theta0 = drawn_from("convnet", problem.module, 0, "score-theta0")
    return QualityTask(problem, [theta0(i) for i in range(2)], problem.minibatch(99))


def race(folder, task, **fate):
    """Every training step takes a CPU-second, whatever it takes."""
    ticks = itertools.count()
    engine = Mortal(task.problem, **fate)
    return Race(RunFolder(folder), task, engine, PLAN.score_every, clock=lambda: next(ticks))


def lines(folder):
    return [json.loads(line) for line in (folder / SCORES).read_text().splitlines()]


def test_scores_come_at_the_start_every_so_many_cpu_seconds_and_at_the_end(tmp_path, task):
    race(tmp_path, task).go_on(PLAN, budget=7)
    assert [(line["cpu_seconds"], line["step"]) for line in lines(tmp_path)] == [
        (0, 0),
        (3, 3),
        (6, 6),
        (7, 7),
    ]
    assert all(0 <= line["score"] <= 1 and line["deviation"] >= 0 for line in lines(tmp_path))
    assert (tmp_path / "distilled-000006.safetensors").exists()


def test_a_killed_run_goes_on_to_the_same_scores(tmp_path, task):
    race(tmp_path / "straight", task).go_on(PLAN, budget=7)
    with pytest.raises(KilledError):
        race(tmp_path / "killed", task, dies_at=5).go_on(PLAN, budget=7)
    race(tmp_path / "killed", task).go_on(PLAN, budget=7)
    assert lines(tmp_path / "killed") == lines(tmp_path / "straight")


def test_a_larger_budget_prolongs_a_run(tmp_path, task):
    race(tmp_path, task).go_on(PLAN, budget=3)
    race(tmp_path, task).go_on(PLAN, budget=4)
    assert [line["step"] for line in lines(tmp_path)] == [0, 3, 4]


def test_a_loss_that_is_not_finite_ends_the_run_for_good(tmp_path, task):
    for _ in range(2):
        race(tmp_path, task, diverges_at=2).go_on(PLAN, budget=7)
        assert lines(tmp_path)[-1] == {"cpu_seconds": 2, "step": 2, "diverged": True}
        assert len(lines(tmp_path)) == 2


def test_another_run_in_the_folder_is_refused(tmp_path, task):
    race(tmp_path, task).go_on(PLAN, budget=1)
    with pytest.raises(RunError, match="is another run"):
        race(tmp_path, task).go_on(PLAN.model_copy(update={"seed": 1}), budget=1)


def test_pneumonia_is_read_padded_balanced_and_has_two_classes(tmp_path):
    folder = tmp_path / "medmnist"
    folder.mkdir()
    labels = np.array([0] + [1] * 9, np.uint8)[:, None]
    images = np.full((10, 28, 28), 255, np.uint8) * labels[:, :, None]
    arrays = {
        f"{split}_{what}": array
        for split in ("train", "val")
        for what, array in (("images", images), ("labels", labels))
    }
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    read = read_task("pneumonia", tmp_path, None, 4, 0)
    x, y = read.problem.minibatch(0)
    assert x.shape == (4, 1, 32, 32)
    assert sorted(y.tolist()) == [0, 0, 1, 1]
    assert x[y == 0].unique().tolist() == [-2.0]
    assert x[y == 1].unique().tolist() == [2.0]
    assert read.problem.steps_per_epoch == 3
    assert read.problem.start_images().shape == (2, 1, 32, 32)
    small = replace(read.problem, steps=1)
    assert Recipe(small).gradient().images.shape == (2, 1, 32, 32)


def test_missing_data_is_named_with_its_remedy(tmp_path):
    with pytest.raises(CohortError, match=r"medmnist/pneumoniamnist\.npz.*--data"):
        read_task("pneumonia", tmp_path, None, 4, 0)
    with pytest.raises(UsageError, match="--cohort"):
        read_task("tb", tmp_path, None, 4, 0)
