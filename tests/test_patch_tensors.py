import pytest
import torch
from film_kit import PROTOCOL, small_cohort

from gdshare.errors import UsageError
from gdshare.networks import build, draw
from gdshare.patch_tensors import patch_accuracy, sample_patches


def test_patch_accuracy_gives_each_class_the_same_weight():
    module = build("convnet", 16)
    parameters = draw("convnet", module, torch.Generator().manual_seed(0))
    for name in parameters:
        parameters[name].zero_()
    parameters["13.bias"][1] = 1.0  # calls everything N
    classes = torch.tensor([1] * 8 + [0, 2])
    accuracy = patch_accuracy(module, parameters, torch.zeros(10, 1, 16, 16), classes)
    assert accuracy == pytest.approx(1 / 3)


def test_sample_is_balanced_over_classes_and_sites(tmp_path):
    cohorts = [small_cohort(tmp_path / name) for name in ("a", "b")]
    x, y = sample_patches(cohorts, "train", 20, 0)
    assert torch.bincount(y).tolist() == [20, 20, 20]
    assert x.shape == (60, 1, 16, 16)


def test_cohorts_of_different_protocols_are_not_mixed(tmp_path):
    other = PROTOCOL.model_copy(update={"stride": 4})
    cohorts = [small_cohort(tmp_path / "a"), small_cohort(tmp_path / "b", protocol=other)]
    with pytest.raises(UsageError, match="stride 4 instead of 8"):
        sample_patches(cohorts, "train", 20, 0)
