import torch
from film_kit import small_cohort

from gdshare.training import TrainingPlan, train_on_real

PLAN = TrainingPlan(network="convnet", per_class=40, epochs=3, batch=20, rates=(1e-3, 1e-2))


def test_baseline_learns_an_easy_task_and_is_decided_by_its_seed(tmp_path):
    cohort = small_cohort(tmp_path)
    first = train_on_real([cohort], PLAN)
    assert first.score > 0.8
    torch.manual_seed(3)
    again = train_on_real([cohort], PLAN)
    assert (again.score, again.rate, again.epoch) == (first.score, first.rate, first.epoch)
    before, after = first.model.ensemble[0], again.model.ensemble[0]
    assert all(torch.equal(before[name], after[name]) for name in before)
