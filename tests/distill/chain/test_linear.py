import pytest
from layer_kit import (
    probe,
    require_four_passes,
    require_left_alone,
    tangent_of_still_input,
)
from torch import nn


@pytest.mark.parametrize("side", [1, 3])
def test_linear_reads_a_map_as_the_flattened_module_does(side):
    case = probe([nn.Flatten(), nn.Linear(4 * side * side, 3)], 4, side)
    require_four_passes(case)
    require_left_alone(case)


def test_linear_layers_in_a_row_have_torchs_value_gradient_and_tangents():
    require_four_passes(probe([nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)], 2, 2))


def test_linear_as_the_first_layer_is_refused():
    with pytest.raises(ValueError, match="must begin with a convolution"):
        tangent_of_still_input(probe([nn.Flatten(), nn.Linear(4, 3)], 4, 1))
