import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.engine.recipe import Recipe
from benchmarks.engine.tasks import PNEUMONIA, QualityTask, drawn_from, gaussian, pneumonia
from benchmarks.engine.timed_run import CHECKPOINT, TimedRun
from gdshare.errors import CohortError, RunError


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


def finish(folder, task, steps=None, keep=lambda: None, over=lambda: False, **fate):
    """A run of seven CPU-seconds; every training step takes one, whatever it takes."""
    ticks = itertools.count()
    engine = Mortal(task.problem, **fate)
    run = TimedRun(folder, task, engine, 7, steps, 3, clock=lambda: next(ticks))
    return run.finish(keep, over)


def test_scores_come_at_the_start_every_so_many_cpu_seconds_and_at_the_end(tmp_path, task):
    lines = finish(tmp_path, task)
    assert [(line["cpu_seconds"], line["step"]) for line in lines] == [
        (0, 0),
        (3, 3),
        (6, 6),
        (7, 7),
    ]
    assert all(0 <= line["score"] <= 1 and line["deviation"] >= 0 for line in lines)


def test_planned_steps_end_a_run_before_its_budget(tmp_path, task):
    assert [line["step"] for line in finish(tmp_path, task, steps=4)] == [0, 3, 4]
    assert [line["step"] for line in finish(tmp_path / "due", task, steps=3)] == [0, 3]


def test_a_killed_run_goes_on_to_the_same_scores(tmp_path, task):
    straight = finish(tmp_path / "straight", task)
    with pytest.raises(KilledError):
        finish(tmp_path / "killed", task, dies_at=5)
    assert finish(tmp_path / "killed", task) == straight


def test_a_run_whose_piece_is_over_goes_on_to_the_same_scores(tmp_path, task):
    straight = finish(tmp_path / "straight", task)
    checkpoints = []

    def keep():
        checkpoints.append(1)
        if len(checkpoints) % 2 == 0:
            raise KilledError

    for _ in range(5):
        with pytest.raises(KilledError):
            finish(tmp_path / "pieces", task, keep=keep, over=lambda: True)
    assert finish(tmp_path / "pieces", task, keep=keep, over=lambda: True) == straight


def test_a_finished_run_is_not_trained_further(tmp_path, task):
    assert finish(tmp_path, task) == finish(tmp_path, task, dies_at=7)


def test_a_loss_that_is_not_finite_ends_the_run_for_good(tmp_path, task):
    for _ in range(2):
        lines = finish(tmp_path, task, diverges_at=2)
        assert lines[-1] == {"cpu_seconds": 2, "step": 2, "diverged": True}
        assert len(lines) == 2


def test_a_damaged_checkpoint_is_named(tmp_path, task):
    finish(tmp_path, task)
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(RunError, match=CHECKPOINT):
        finish(tmp_path, task)


def test_pneumonia_is_read_padded_balanced_and_has_two_classes(tmp_path):
    file = tmp_path / PNEUMONIA
    file.parent.mkdir()
    labels = np.array([0] + [1] * 9, np.uint8)[:, None]
    images = np.full((10, 28, 28), 255, np.uint8) * labels[:, :, None]
    arrays = {
        f"{split}_{what}": array
        for split in ("train", "val")
        for what, array in (("images", images), ("labels", labels))
    }
    np.savez(file, **arrays)
    problem = pneumonia(file, batch=4, steps=1, seed=0).problem
    x, y = problem.minibatch(0)
    assert x.shape == (4, 1, 32, 32)
    assert sorted(y.tolist()) == [0, 0, 1, 1]
    assert x[y == 0].unique().tolist() == [-2.0]
    assert x[y == 1].unique().tolist() == [2.0]
    assert problem.steps_per_epoch == 3
    assert problem.start_images().shape == (2, 1, 32, 32)
    assert Recipe(replace(problem, steps=2)).gradient().images.shape == (2, 1, 32, 32)


def test_missing_images_are_named_with_the_remedy(tmp_path):
    with pytest.raises(CohortError, match=r"medmnist/pneumoniamnist\.npz.*--data"):
        pneumonia(tmp_path / PNEUMONIA, 4, 9, 0)
