import pytest
from layer_kit import probe, require_four_passes, require_left_alone
from torch import nn
from torchvision.models.resnet import BasicBlock


def norm(channels):
    return nn.GroupNorm(2, channels)


def halving_block():
    downsample = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), norm(6))
    return BasicBlock(4, 6, 2, downsample, norm_layer=norm)


CHAINS = [
    pytest.param(lambda: BasicBlock(4, 4, norm_layer=norm), 5, id="identity shortcut"),
    pytest.param(halving_block, 5, id="convolution in the shortcut"),
    pytest.param(halving_block, 1, id="map of one pixel"),
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3, 1, 1), norm(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        6,
        id="layers in series",
    ),
    pytest.param(
        lambda: nn.Sequential(halving_block(), BasicBlock(6, 6, norm_layer=norm)),
        7,
        id="two blocks",
    ),
]


@pytest.mark.parametrize(("build_module", "side"), CHAINS)
def test_composed_layers_have_torchs_value_gradient_and_tangents(build_module, side):
    case = probe(build_module(), 4, side)
    require_four_passes(case)
    require_left_alone(case)
