import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from gdshare.errors import UsageError
from gdshare.networks import INITIALISERS, build, draw, forward


def random_network(name, side=32, seed=0):
    module = build(name, side)
    return module, draw(name, module, torch.Generator().manual_seed(seed))


def test_resnet18_is_torchvisions_except_channels_classes_and_norms():
    reference = resnet18(num_classes=3, norm_layer=lambda channels: nn.GroupNorm(8, channels))
    ours = {name: p.shape for name, p in build("resnet18", 32).named_parameters()}
    theirs = {name: p.shape for name, p in reference.named_parameters()}
    assert theirs.pop("conv1.weight") == (64, 3, 7, 7)
    assert ours.pop("conv1.weight") == (64, 1, 7, 7)
    assert ours == theirs


def test_resnet18_computes_what_torchvisions_computes():
    module, theta = random_network("resnet18")
    theta = {name: w + 0.01 * torch.randn_like(w) for name, w in theta.items()}
    reference = resnet18(num_classes=3, norm_layer=lambda channels: nn.GroupNorm(8, channels))
    reference.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    reference.load_state_dict(theta)
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(forward(module, theta, x), reference(x))


def test_near_identity_start_has_identity_blocks_and_small_logits():
    module, theta = random_network("resnet18")
    scales = {name: w for name, w in theta.items() if name.endswith("bn2.weight")}
    silent = {name for name, weight in scales.items() if bool((weight == 0).all())}
    halving = {f"layer{stage}.0.bn2.weight" for stage in (2, 3, 4)}
    assert len(scales) == 8
    assert silent == scales.keys() - halving
    assert all(bool((scales[name] == 1).all()) for name in halving)
    assert theta["fc.weight"].std().item() == pytest.approx(0.01, rel=0.1)
    assert forward(module, theta, torch.randn(8, 1, 32, 32)).abs().max() < 0.5


@pytest.mark.parametrize("name", sorted(INITIALISERS))
def test_initial_logits_depend_on_the_whole_patch_and_not_on_a_corner(name):
    module, theta = random_network(name)
    draws = torch.Generator().manual_seed(1)
    head = list(theta)[-2]  # a head of zeros would depend on nothing
    theta[head] = 0.01 * torch.randn(theta[head].shape, generator=draws)
    x = torch.randn(64, 1, 32, 32, generator=draws).requires_grad_()
    forward(module, theta, x).square().sum().backward()
    slope = x.grad.abs().mean((0, 1))
    quarters = [part.sum() for half in slope.split(16, 0) for part in half.split(16, 1)]
    assert min(quarters) > 0.15 * slope.sum()


def test_he_deviation_of_the_convolutions():
    _, theta = random_network("resnet18")
    weight = theta["layer3.0.conv2.weight"]
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


def test_convnet_starts_with_torchs_convolutions_and_without_class_bias():
    module, theta = random_network("convnet")
    torch.manual_seed(0)
    for prefix, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            reference = nn.Conv2d(layer.in_channels, layer.out_channels, 3)
            for leaf in ("weight", "bias"):
                ours, theirs = theta[f"{prefix}.{leaf}"], getattr(reference, leaf)
                bound = 1 / reference.weight[0].numel() ** 0.5
                assert ours.abs().max() <= bound
                assert theirs.abs().max() <= bound
                if ours.numel() > 1000:
                    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)
    assert not forward(module, theta, torch.randn(8, 1, 32, 32)).any()


@pytest.mark.parametrize("name", sorted(INITIALISERS))
def test_a_draw_is_decided_by_its_generator_alone(name):
    torch.manual_seed(1)
    _, first = random_network(name)
    torch.manual_seed(2)
    _, again = random_network(name)
    _, other = random_network(name, seed=1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = name != "scattering"  # whose only weights start at zero
    assert any(not torch.equal(first[key], other[key]) for key in first) == drawn


@pytest.mark.parametrize("name", sorted(INITIALISERS))
def test_a_draw_leaves_the_global_generator_alone(name):
    before = torch.get_rng_state()
    random_network(name)
    assert torch.equal(before, torch.get_rng_state())


def test_unknown_network_is_refused():
    with pytest.raises(UsageError, match=r"'vgg'.*resnet18, convnet"):
        build("vgg", 32)


def test_convnet_refuses_a_side_it_cannot_halve_three_times():
    with pytest.raises(UsageError, match="multiple of 8"):
        build("convnet", 36)
