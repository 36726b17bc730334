import pytest
from layer_kit import probe, require_four_passes, require_left_alone
from torch import nn
from torchvision.models.resnet import BasicBlock


def norm(channels):
    return nn.GroupNorm(2, channels)


def narrowing():
    around = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), norm(6))
    return BasicBlock(4, 6, 2, around, norm_layer=norm)


CHAINS = [
    pytest.param(lambda: BasicBlock(4, 4, norm_layer=norm), 5, id="a block around itself"),
    pytest.param(narrowing, 5, id="a block with a shortcut of its own"),
    pytest.param(narrowing, 1, id="a block on one pixel"),
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3, 1, 1), norm(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        6,
        id="layers in a row",
    ),
    pytest.param(
        lambda: nn.Sequential(narrowing(), BasicBlock(6, 6, norm_layer=norm)), 7, id="two blocks"
    ),
]


@pytest.mark.parametrize(("made", "side"), CHAINS)
def test_layers_together_have_torchs_value_gradient_and_tangents(made, side):
    one = probe(made(), 4, side)
    require_four_passes(one)
    require_left_alone(one)
