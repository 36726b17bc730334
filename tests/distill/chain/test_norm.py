import pytest
from layer_kit import (
    probe,
    require_four_passes,
    require_left_alone,
    tangent_of_still_input,
)
from torch import nn


@pytest.mark.parametrize("groups", [1, 2, 6], ids=["all channels", "groups", "each channel"])
@pytest.mark.parametrize("side", [1, 4])
def test_norm_has_torchs_value_gradient_and_tangents(groups, side):
    require_four_passes(probe(nn.GroupNorm(groups, 6), 6, side, n=3))


def test_zero_scales_of_a_near_identity_start_pass_only_their_own_derivative():
    case = probe(nn.GroupNorm(2, 4), 4, 3)
    case.theta["0.weight"].zero_()
    require_four_passes(case)


def test_epsilon_is_the_modules():
    require_four_passes(probe(nn.GroupNorm(2, 4, eps=0.5), 4, 3))


def test_scale_0_moves_no_weight():
    require_left_alone(probe(nn.GroupNorm(2, 4), 4, 3))


def test_norm_as_the_first_layer_is_refused():
    with pytest.raises(ValueError, match="must begin with a convolution"):
        tangent_of_still_input(probe(nn.GroupNorm(2, 4), 4, 3))
