"""Whole runs: what decides their bytes, what they report, how they end."""

import errno
import math
import shutil
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from film_kit import small_cohort, write_films
from run_kit import SETTINGS, TINY, BrokenOffError, break_off_after, contents, metrics, settings

from gdshare.cohort import label_cohort, open_cohort
from gdshare.distill import loop
from gdshare.distill.loop import SKIPS_IN_A_ROW, LostError, distill
from gdshare.distill.run_folder import read_record, read_result
from gdshare.distill.score_record import CHANCE, read_score
from gdshare.distill.state import initial_unknowns, load_checkpoint
from gdshare.distill.unroll import full
from gdshare.errors import CohortError, RunError, UsageError


def test_one_seed_decides_every_byte(cohort, whole, tmp_path):
    torch.manual_seed(99)
    distill(cohort, tmp_path / "again", SETTINGS)
    assert contents(tmp_path / "again") == contents(whole)
    distill(cohort, tmp_path / "other", settings(seed=1))
    assert contents(tmp_path / "other") != contents(whole)


def test_outer_loss_falls_and_three_images_beat_guessing(tmp_path):
    larger = small_cohort(tmp_path)
    outcome = distill(
        larger, tmp_path / "run", settings(outer_steps=30, score_every=10, score_inits=3, batch=24)
    )
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert len(losses) == 30
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert outcome.score.lower > CHANCE
    assert not outcome.at_chance


def test_result_is_the_best_scored_state_and_sound(cohort, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    outcome = distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    scores = {line["step"]: line["score"] for line in metrics(whole) if "score" in line}
    assert set(scores) == {5, 10, 12}
    assert scores[outcome.step] == max(scores.values())
    assert len(outcome.score.values) == 2
    result = read_result(whole)
    assert result.problem() is None
    assert result.images.shape == (3, 1, 8, 8)
    assert result.learning_rates.shape == (4,)
    assert read_record(whole).settings == SETTINGS


def test_score_of_the_result_is_kept_in_run_and_metrics_and_can_be_measured_again(
    cohort, whole, tmp_path
):
    shutil.copytree(whole, tmp_path / "run")
    outcome = distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    distilled, record = read_result(whole), read_score(whole, read_result(whole))
    assert (record.score, record.deviation) == (outcome.score.mean, outcome.score.deviation)
    assert record.low == max(0.0, outcome.score.lower)
    assert record.at_chance == outcome.at_chance
    assert metrics(whole)[-1] == {
        "step": outcome.step,
        "final_score": outcome.score.mean,
        "final_deviation": outcome.score.deviation,
    }
    again = loop.score_run(read_record(whole), distilled, cohort)
    assert again == record.model_copy(update={"run_sha256": None})


def test_score_is_not_measured_on_another_cohort(whole, tmp_path):
    other = small_cohort(tmp_path, protocol=TINY, patients=9)
    with pytest.raises(UsageError, match="distilled from another cohort"):
        loop.score_run(read_record(whole), read_result(whole), other)


def test_usage_example_runs(cohort, tmp_path, monkeypatch):
    shutil.copytree(cohort.path, tmp_path / "cohort")
    monkeypatch.chdir(tmp_path)
    example = textwrap.dedent(loop.__doc__.split("::\n\n")[1].split("\nA training step")[0])
    variables = {}
    exec(example, variables)
    distilled = variables["outcome"].distilled
    assert distilled.images.shape == (3, 1, TINY.side, TINY.side)
    np.testing.assert_allclose(distilled.labels.sum(1), 1, atol=1e-6)
    assert read_result(tmp_path / "run").to_bytes() == distilled.to_bytes()


def test_outer_rate_is_that_of_the_training_step(cohort, tmp_path, monkeypatch):
    rates = []
    step = loop.adam_step

    def spy(state, gradients, rate):
        rates.append(rate)
        return step(state, gradients, rate)

    monkeypatch.setattr(loop, "adam_step", spy)
    falling = settings(outer_steps=3, unroll="greedy", outer_decay="cosine")
    distill(cohort, tmp_path / "run", falling)
    assert rates == [falling.outer_rate_at(step) for step in range(3) for _ in range(4)]


def test_gradient_of_several_draws_is_their_mean(cohort, tmp_path, monkeypatch):
    means, gradients = [], []
    step = loop.adam_step

    def spy_on_step(state, mean, rate):
        means.append(mean)
        return step(state, mean, rate)

    def spy_on_full(*arguments):
        gradients.append(full(*arguments))
        return gradients[-1]

    monkeypatch.setattr(loop, "adam_step", spy_on_step)
    monkeypatch.setattr(loop, "full", spy_on_full)
    distill(cohort, tmp_path / "run", settings(draws=3, outer_steps=1))
    for index, mean in enumerate(means[0]):
        torch.testing.assert_close(mean, sum(g.tensors()[index] for g in gradients) / 3)
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert losses == [pytest.approx(sum(g.loss for g in gradients) / 3)]


def test_hard_labels_stay_one_hot(cohort, tmp_path):
    hard = settings(labels="hard", inner_rates="shared")
    distilled = distill(cohort, tmp_path / "run", hard).distilled
    np.testing.assert_array_equal(distilled.labels, np.eye(3, dtype=np.float32))
    assert distilled.learning_rates.shape == (1,)


def test_soft_labels_move(cohort, whole):
    start = torch.softmax(initial_unknowns(SETTINGS, 8).logits, 1).numpy()
    assert np.abs(read_result(whole).labels - start).max() > 1e-3


def test_a_run_never_overwrites_another(cohort, whole):
    with pytest.raises(RunError, match="not empty"):
        distill(cohort, whole, SETTINGS)


def test_a_kill_while_a_run_is_opened_does_not_block_its_folder(cohort, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.x7k2").write_bytes(b'{"half":')
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", SETTINGS, progress=break_off_after(1))
    assert (tmp_path / "run" / "run.json").exists()


def test_disk_that_is_full_from_the_start_is_an_error_with_a_remedy(cohort, tmp_path, monkeypatch):
    def write_to_full_disk(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gdshare.distill.run_folder.write_json", write_to_full_disk)
    message = r"run: cannot be written \(No space left on device\); make room, then start again$"
    with pytest.raises(RunError, match=message):
        distill(cohort, tmp_path / "run", SETTINGS)


def test_unfinished_run_has_no_result_to_publish(cohort, tmp_path):
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", SETTINGS, progress=break_off_after(1))
    with pytest.raises(RunError, match="not finished"):
        read_result(tmp_path / "run")


def test_cohort_without_validation_windows_is_refused(tmp_path):
    table = write_films(tmp_path / "films")
    label_cohort(table, tmp_path / "c", TINY, (1.0, 0.0, 0.0), 0)
    with pytest.raises(CohortError, match="no validation window"):
        distill(open_cohort(tmp_path / "c"), tmp_path / "run", SETTINGS)


def test_device_that_is_not_there_is_refused(cohort, tmp_path):
    with pytest.raises(UsageError, match="--device meteor"):
        distill(cohort, tmp_path / "run", SETTINGS, device="meteor")
    assert not (tmp_path / "run").exists()


def spoil_gradients(monkeypatch, at, bad=math.nan):
    """Make the derivative by the rates bad at these training steps, numbered from 1."""
    calls = iter(range(1, 10**6))

    def spoil(*arguments):
        gradient = full(*arguments)
        if next(calls) not in at:
            return gradient
        return replace(gradient, rates=gradient.rates * bad)

    monkeypatch.setattr(loop, "full", spoil)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_bad_gradients_are_skipped_counted_and_reported(cohort, tmp_path, monkeypatch, bad):
    spoil_gradients(monkeypatch, {2, 4, 5}, bad)
    ticks = []
    outcome = distill(cohort, tmp_path / "run", SETTINGS, progress=ticks.append)
    assert [tick.skipped for tick in ticks] == [0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    lines = metrics(tmp_path / "run")
    skipped = {line["step"]: line["skipped"] for line in lines if "skipped" in line}
    assert skipped == {2: 1, 4: 1, 5: 1}
    progress = load_checkpoint(tmp_path / "run", SETTINGS, 8).progress
    assert (progress.step, progress.updates) == (12, 9)
    assert (progress.skipped, progress.skipped_in_a_row) == (3, 0)
    assert outcome.distilled.problem() is None


def test_loss_that_is_not_a_number_is_left_out_of_the_metrics(cohort, tmp_path, monkeypatch):
    def full_without_loss(*arguments):
        return replace(full(*arguments), loss=math.nan)

    monkeypatch.setattr(loop, "full", full_without_loss)
    ticks = []
    distill(cohort, tmp_path / "run", settings(outer_steps=2), progress=ticks.append)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 2, 2]
    assert not any("loss" in line for line in metrics(tmp_path / "run"))
    assert all(math.isnan(tick.loss) for tick in ticks)


def test_many_bad_gradients_in_a_row_end_the_run_with_the_remedy(cohort, tmp_path, monkeypatch):
    spoil_gradients(monkeypatch, range(3, 100))
    ticks = []
    last = 2 + SKIPS_IN_A_ROW
    with pytest.raises(
        LostError,
        match=rf"the last {SKIPS_IN_A_ROW} gradients up to step {last} were not finite or "
        "exploded; start again in a new folder with a smaller --inner-rate or --outer-rate",
    ):
        distill(
            cohort,
            tmp_path / "run",
            settings(outer_steps=100, score_every=100),
            progress=ticks.append,
        )
    assert len(ticks) == last - 1


def test_count_of_bad_gradients_in_a_row_survives_an_interruption(cohort, tmp_path, monkeypatch):
    longer = settings(outer_steps=100, score_every=100)
    spoil_gradients(monkeypatch, range(1, 100))
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", longer, progress=break_off_after(9))
    ticks = []
    with pytest.raises(LostError, match=f"up to step {SKIPS_IN_A_ROW} were"):
        distill(cohort, tmp_path / "run", longer, resume=True, progress=ticks.append)
    assert ticks[0].step == 10


def test_rates_driven_to_zero_are_refused_not_published(cohort, tmp_path):
    with pytest.raises(RunError, match="a learning rate is not positive; distil again"):
        distill(cohort, tmp_path / "run", settings(outer_rate=100.0, inner_rate=100.0))


def test_only_its_owner_can_read_a_run(whole):
    assert whole.stat().st_mode & 0o077 == 0
