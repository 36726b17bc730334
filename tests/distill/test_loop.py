import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from film_kit import small_cohort, write_films

from gdshare.cohort import label_cohort, open_cohort
from gdshare.distill.folder import read_record, read_result
from gdshare.distill.loop import distill
from gdshare.distill.score import CHANCE, PatchScore
from gdshare.distill.settings import Settings
from gdshare.distill.state import initial_state, initial_unknowns
from gdshare.distill.unroll import full
from gdshare.errors import CohortError, RunError, UsageError
from gdshare.protocol import Protocol

SETTINGS = Settings(
    network="convnet",
    outer_steps=12,
    score_every=5,
    score_inits=2,
    checkpoint_every=3,
    batch=9,
    epochs=2,
    steps=2,
    inner_rate=0.02,
)
SAME = ("run.json", "metrics.jsonl", "distilled.safetensors", "checkpoint.safetensors")


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in SAME}


def test_one_seed_decides_every_byte(cohort, tmp_path):
    distill(cohort, tmp_path / "a", SETTINGS)
    torch.manual_seed(99)
    distill(cohort, tmp_path / "b", SETTINGS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    other = SETTINGS.model_copy(update={"seed": 1})
    distill(cohort, tmp_path / "c", other)
    assert contents(tmp_path / "c") != contents(tmp_path / "a")


def test_run_stopped_anywhere_and_resumed_ends_with_the_same_bytes(cohort, tmp_path):
    distill(cohort, tmp_path / "whole", SETTINGS)

    for attempt, stop in enumerate((1, 4, 5, 11)):

        def break_off(tick, stop=stop):
            if tick.step >= stop:
                raise StoppedError

        with pytest.raises(StoppedError):
            distill(cohort, tmp_path / "parts", SETTINGS, resume=attempt > 0, progress=break_off)
    distill(cohort, tmp_path / "parts", SETTINGS, resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.loop import distill
from gdshare.distill.settings import Settings
def die(tick):
    if tick.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
settings = Settings.model_validate_json(sys.argv[3])
distill(open_cohort(Path(sys.argv[1])), Path(sys.argv[2]), settings, progress=die)
"""


def test_run_ended_by_kill_9_and_resumed_ends_with_the_same_bytes(cohort, tmp_path):
    distill(cohort, tmp_path / "whole", SETTINGS)
    arguments = [str(cohort.path), str(tmp_path / "parts"), SETTINGS.model_dump_json()]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "parts" / "distilled.safetensors").exists()
    distill(cohort, tmp_path / "parts", SETTINGS, resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def listen_to_ctrl_c():
    """A shell's background job, as tests may be, hands down SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_how_to_go_on_and_leaves_with_130(cohort, tmp_path):
    command = [sys.executable, "-m", "gdshare", "distill", str(cohort.path)]
    command += ["--out", str(tmp_path / "run"), "--network", "convnet", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--outer-steps", "100000"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - no threads in this test's process
    ) as process:
        try:
            while not (tmp_path / "run" / "checkpoint.safetensors").exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said


def test_outer_loss_falls_and_three_images_beat_guessing(cohort, tmp_path):
    settings = SETTINGS.model_copy(
        update={"outer_steps": 30, "score_every": 10, "score_inits": 3, "batch": 24}
    )
    outcome = distill(cohort, tmp_path / "run", settings)
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 30
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert outcome.score.lower > CHANCE
    assert not outcome.at_chance


def test_result_is_the_best_scored_state_and_sound(cohort, tmp_path):
    outcome = distill(cohort, tmp_path / "run", SETTINGS)
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["score"] for line in lines if "score" in line}
    assert set(scores) == {5, 10, 12}
    assert scores[outcome.step] == max(scores.values())
    assert len(outcome.score.values) == 2
    result = read_result(tmp_path / "run")
    assert result.problem() is None
    assert result.images.shape == (3, 1, 16, 16)
    assert result.learning_rates.shape == (4,)
    assert read_record(tmp_path / "run").settings == SETTINGS


def test_hard_labels_stay_one_hot(cohort, tmp_path):
    settings = SETTINGS.model_copy(update={"labels": "hard", "inner_rates": "shared"})
    distilled = distill(cohort, tmp_path / "run", settings).distilled
    np.testing.assert_array_equal(distilled.labels, np.eye(3, dtype=np.float32))
    assert distilled.learning_rates.shape == (1,)


def test_soft_labels_move(cohort, tmp_path):
    distilled = distill(cohort, tmp_path / "run", SETTINGS).distilled
    start = torch.softmax(initial_unknowns(SETTINGS, 16).logits, 1).numpy()
    assert np.abs(distilled.labels - start).max() > 1e-3


def test_start_is_noise_scaled_one_hot_and_the_asked_rate():
    unknowns = initial_state(Settings(images=6, inner_rate=0.03), 16).unknowns
    assert unknowns.images.shape == (6, 1, 16, 16)
    assert abs(unknowns.images.std().item() - 1) < 0.1
    assert unknowns.logits.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    rates = torch.nn.functional.softplus(unknowns.rates)
    torch.testing.assert_close(rates, torch.full((9,), 0.03))


def test_a_run_never_overwrites_another(cohort, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS)
    with pytest.raises(RunError, match="not empty"):
        distill(cohort, tmp_path / "run", SETTINGS)


def test_resuming_with_other_settings_names_what_differs(cohort, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS)
    other = SETTINGS.model_copy(update={"batch": 12})
    with pytest.raises(RunError, match="batch 9 -> 12"):
        distill(cohort, tmp_path / "run", other, resume=True)


def test_resuming_where_there_is_no_run_is_refused(cohort, tmp_path):
    with pytest.raises(RunError, match="no run here"):
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "metrics.jsonl"])
def test_damaged_run_is_refused_not_continued(cohort, tmp_path, name):
    distill(cohort, tmp_path / "run", SETTINGS)
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match=name):
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)


def test_unfinished_run_has_no_result_to_publish(cohort, tmp_path):
    def break_off(tick):
        raise StoppedError

    with pytest.raises(StoppedError):
        distill(cohort, tmp_path / "run", SETTINGS, progress=break_off)
    with pytest.raises(RunError, match="not finished"):
        read_result(tmp_path / "run")


def test_cohort_without_validation_windows_is_refused(tmp_path):
    table = write_films(tmp_path / "films")
    label_cohort(table, tmp_path / "c", Protocol(patch=16, stride=8, side=8), (1.0, 0.0, 0.0), 0)
    with pytest.raises(CohortError, match="no validation window"):
        distill(open_cohort(tmp_path / "c"), tmp_path / "run", SETTINGS)


def test_device_that_is_not_there_is_refused(cohort, tmp_path):
    with pytest.raises(UsageError, match="--device meteor"):
        distill(cohort, tmp_path / "run", SETTINGS, device="meteor")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_step_that_is_not_finite_ends_the_run_with_the_remedy(cohort, tmp_path, monkeypatch, bad):
    def explode(*arguments):
        loss, (by_images, by_logits, by_rates) = full(*arguments)
        return loss, (by_images, by_logits, by_rates * bad)

    monkeypatch.setattr("gdshare.distill.loop.full", explode)
    with pytest.raises(RunError, match=r"not finite; start again.*smaller --inner-rate"):
        distill(cohort, tmp_path / "run", SETTINGS)


def test_rates_driven_to_nothing_are_refused_not_published(cohort, tmp_path):
    settings = SETTINGS.model_copy(update={"outer_rate": 100.0, "inner_rate": 100.0})
    with pytest.raises(RunError, match="a learning rate is not positive; distil again"):
        distill(cohort, tmp_path / "run", settings)


def test_score_cannot_claim_more_than_its_spread_allows():
    assert PatchScore((0.4, 0.4, 0.4)).lower > CHANCE
    assert PatchScore((0.2, 0.6)).lower < CHANCE
    assert PatchScore((0.5,)).deviation == 0
    assert PatchScore((0.9,)).lower == -math.inf, "one θ0 shows no spread"
    # Student's t for three values, 4.303: the normal 1.96 would be less than half as wide.
    assert PatchScore((0.4, 0.5, 0.6)).half_width == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_folder_of_a_run_is_for_its_owner_alone(cohort, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS)
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
