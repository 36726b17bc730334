"""A training on real patches that was interrupted ends with the bits of one that was not."""

import inspect
import json
import os
import signal
from contextlib import contextmanager

import pytest
from command_kit import gdshare
from film_kit import small_cohort

from gdshare import training_folder
from gdshare.cli import train as command
from gdshare.errors import RunError
from gdshare.training import TrainingPlan, train_on_real, training_record
from gdshare.training_folder import CHECKPOINT, load_snapshot, open_training, save_snapshot

PLAN = TrainingPlan(network="convnet", per_class=40, epochs=2, batch=20, rates=(1e-3, 1e-2))
OPTIONS = ("--network", "convnet", "--per-class", 40, "--epochs", 2, "--device", "cpu")


class PowerCutError(Exception):
    """Ends a training where a power cut would."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def whole(cohort):
    return train_on_real([cohort], PLAN)


def cut_after(batches, folder):
    """Keeps the state after this many batches, and ends there."""
    done = 0

    def checkpoint(snapshot):
        nonlocal done
        done += 1
        if done == batches:
            save_snapshot(folder, snapshot())
            raise PowerCutError

    return checkpoint


@pytest.mark.parametrize(
    "batches", [1, 5, 6, 9, 13, 20], ids=lambda number: f"after {number} batches"
)
def test_resumed_training_gives_the_same_bits(cohort, whole, tmp_path, batches):
    """Six batches an epoch, two epochs a rate: in an epoch, at its end, and in the second rate."""
    with pytest.raises(PowerCutError):
        train_on_real([cohort], PLAN, checkpoint=cut_after(batches, tmp_path))
    again = train_on_real([cohort], PLAN, start=load_snapshot(tmp_path))
    assert again.model.to_bytes() == whole.model.to_bytes()
    assert (again.score, again.rate, again.epoch) == (whole.score, whole.rate, whole.epoch)


def test_training_interrupted_twice_gives_the_same_bits(cohort, whole, tmp_path):
    for batches in (7, 4):
        start = load_snapshot(tmp_path)
        with pytest.raises(PowerCutError):
            train_on_real([cohort], PLAN, start=start, checkpoint=cut_after(batches, tmp_path))
    again = train_on_real([cohort], PLAN, start=load_snapshot(tmp_path))
    assert again.model.to_bytes() == whole.model.to_bytes()


def test_progress_goes_on_where_it_stopped(cohort, tmp_path):
    with pytest.raises(PowerCutError):
        train_on_real([cohort], PLAN, checkpoint=cut_after(9, tmp_path))
    seen = []
    train_on_real(
        [cohort], PLAN, progress=lambda *done: seen.append(done), start=load_snapshot(tmp_path)
    )
    assert seen[0] == (10, 24)
    assert seen[-1] == (24, 24)


def test_ctrl_c_stops_after_the_batch_and_resume_needs_no_option(cohort, tmp_path, monkeypatch):
    words = ("train", cohort.path, "--out", tmp_path / "whole", *OPTIONS)
    gdshare(*words, check=True)
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    steps = 0
    keep = command._Keeper.__call__

    def interrupt_third(self, snapshot):
        nonlocal steps
        steps += 1
        if steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        keep(self, snapshot)

    monkeypatch.setattr(command._Keeper, "__call__", interrupt_third)
    stopped = gdshare("train", cohort.path, "--out", tmp_path / "parts", *OPTIONS)
    assert stopped.status == 130
    assert f"gdshare train {cohort.path} --out {tmp_path / 'parts'} --resume" in stopped.err
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    again = ("train", cohort.path, "--out", tmp_path / "parts")
    refused = gdshare(*again)
    assert refused.status == 2
    assert "go on with its training by --resume" in refused.err
    gdshare(*again, "--resume", check=True)
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == whole
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    assert "the training is finished" in gdshare(*again, "--resume").err


def test_state_is_saved_at_least_once_a_minute(cohort, tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 20))  # a batch takes 20 seconds
    saved = []
    monkeypatch.setattr(command.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(
        "gdshare.training_folder.save_snapshot", lambda out, snapshot: saved.append(snapshot.place)
    )
    gdshare("train", cohort.path, "--out", tmp_path / "m", *OPTIONS, check=True)
    assert len(saved) >= 2
    assert command.CHECKPOINT_S <= 60


def test_other_options_or_cohorts_are_refused(cohort, tmp_path):
    with open_training(tmp_path / "m", training_record([cohort], PLAN, "cpu"), resume=False):
        pass
    again = ("train", cohort.path, "--out", tmp_path / "m", "--resume")
    assert "another training (per_class differ)" in gdshare(*again, "--per-class", 7).err
    other = small_cohort(tmp_path / "other", patients=9)
    refused = gdshare("train", other.path, "--out", tmp_path / "m", "--resume")
    assert "another training (cohorts differ)" in refused.err


def test_second_process_in_the_folder_is_refused(cohort, tmp_path):
    record = training_record([cohort], PLAN, "cpu")
    with (
        open_training(tmp_path / "m", record, resume=False),
        pytest.raises(RunError, match="another process trains here"),
        open_training(tmp_path / "m", record, resume=True),
    ):
        pass


def test_damaged_checkpoint_is_refused(cohort, tmp_path):
    with pytest.raises(PowerCutError):
        train_on_real([cohort], PLAN, checkpoint=cut_after(3, tmp_path))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match="damaged"):
        load_snapshot(tmp_path)


def test_resume_without_a_training_is_refused(cohort, tmp_path):
    refused = gdshare("train", cohort.path, "--out", tmp_path / "m", "--resume")
    assert refused.status == 2
    assert "no training to resume here" in refused.err
    assert not (tmp_path / "m").exists()


def test_command_offers_the_plans_own_defaults():
    plan, defaults = TrainingPlan(), inspect.signature(command.train).parameters
    for name in ("network", "per_class", "epochs", "seed"):
        assert defaults[name].default == getattr(plan, name)


def test_record_of_the_model_says_how_it_was_trained(cohort, tmp_path):
    words = ("train", cohort.path, "--out", tmp_path / "m", *OPTIONS, "--json")
    told = json.loads(gdshare(*words, check=True).out)
    assert told["trained_on"] == "real patches"
    assert told["patches"] == 120


def test_training_that_another_process_ended_meanwhile_is_not_overwritten(
    cohort, tmp_path, monkeypatch
):
    out, record = tmp_path / "model", training_record([cohort], PLAN, "cpu")
    lock = training_folder.lock

    @contextmanager
    def lock_after_the_other(path, timeout_s):
        (out / training_folder.MODEL).write_text("the other's")
        with lock(path, timeout_s):
            yield

    monkeypatch.setattr(training_folder, "lock", lock_after_the_other)
    with pytest.raises(RunError, match="already exists"), open_training(out, record, resume=False):
        pytest.fail("began")
    assert not (out / training_folder.RECORD).exists()
