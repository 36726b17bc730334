from dataclasses import replace

import pytest
import torch
from command_kit import gdshare
from film_kit import small_cohort

from gdshare.cli import train as command
from gdshare.last_layer import PENALTIES
from gdshare.model import load_model
from gdshare.networks import build
from gdshare.patch_tensors import patch_accuracy, sample_patches
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


def test_the_last_layer_of_scattering_is_solved_and_scores_as_its_network_does(tmp_path):
    cohort, told = small_cohort(tmp_path), []
    plan = replace(PLAN, network="scattering")
    trained = train_on_real([cohort], plan, progress=lambda *done: told.append(done))
    assert trained.score > 0.9
    assert trained.penalty in PENALTIES
    x, classes = sample_patches([cohort], "val", 300, plan.seed)
    (weights,) = trained.model.ensemble
    module = build("scattering", cohort.protocol.side)
    assert patch_accuracy(module, weights, x, classes) == pytest.approx(trained.score, abs=0.01)
    assert told[-1][0] == told[-1][1] == len(told)
    again = train_on_real([cohort], plan)
    assert again.model.to_bytes() == trained.model.to_bytes()


def test_an_interrupted_solution_begins_again_and_ends_the_same(tmp_path, monkeypatch):
    cohort = small_cohort(tmp_path / "films")
    words = ("train", cohort.path, "--network", "scattering", "--per-class", 8, "--device", "cpu")
    gdshare(*words, "--out", tmp_path / "whole", check=True)
    keep = command._Keeper.__call__

    def stop(self, snapshot):
        self.stopping = lambda: True
        keep(self, snapshot)

    monkeypatch.setattr(command._Keeper, "__call__", stop)
    stopped = gdshare(*words, "--out", tmp_path / "parts")
    assert stopped.status == 130
    monkeypatch.undo()
    again = stopped.err.split("continue with: gdshare ")[1].split()
    assert "already exists" in gdshare(*words, "--out", tmp_path / "parts").err
    gdshare(*again, check=True)
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "parts")]
    assert weights[0] == weights[1]
    origin = load_model(tmp_path / "parts")[1].origin
    assert origin["penalty"] in PENALTIES
    assert "epoch" not in origin


def test_epochs_of_what_is_solved_at_once_are_refused(tmp_path):
    cohort = small_cohort(tmp_path / "films")
    words = ("train", cohort.path, "--network", "scattering", "--epochs", 3)
    refused = gdshare(*words, "--out", tmp_path / "m")
    assert refused.status == 2
    assert "--epochs has no effect on scattering" in refused.err
    assert not (tmp_path / "m").exists()
