import pytest
import torch
from layer_kit import (
    probe,
    require_four_passes,
    require_left_alone,
    tangent_of_still_input,
)
from torch import nn

WITHOUT_WEIGHTS = [
    pytest.param(nn.ReLU(), 5, id="relu"),
    pytest.param(nn.MaxPool2d(2), 6, id="maximum of windows that do not overlap"),
    pytest.param(nn.MaxPool2d(3, 2, 1), 7, id="maximum of windows that overlap"),
    pytest.param(nn.MaxPool2d(3, 2, 1), 8, id="maximum, a row left over"),
    pytest.param(nn.AvgPool2d(2), 6, id="mean of windows"),
    pytest.param(nn.AvgPool2d(3), 6, id="mean of larger windows"),
    pytest.param(nn.AdaptiveAvgPool2d(1), 5, id="mean of all"),
]


@pytest.mark.parametrize(("module", "side"), WITHOUT_WEIGHTS)
def test_layer_has_torchs_value_gradient_and_tangents(module, side):
    require_four_passes(probe(module, 3, side))
    require_left_alone(probe(module, 3, side))


def test_derivative_of_a_tied_maximum_goes_where_torchs_goes():
    case = probe(nn.MaxPool2d(3, 2, 1), 2, 6)
    case.x.copy_(torch.randint(0, 2, case.x.shape))
    require_four_passes(case)


def test_derivative_of_the_rectifier_at_0_is_0():
    case = probe(nn.ReLU(), 1, 3)
    case.x.zero_()
    require_four_passes(case)


@pytest.mark.parametrize(("module", "side"), WITHOUT_WEIGHTS[:5])
def test_layer_without_weights_as_the_first_is_refused(module, side):
    with pytest.raises(ValueError, match="must begin with a convolution"):
        tangent_of_still_input(probe(module, 3, side))
