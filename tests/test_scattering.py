import pytest
import torch

from gdshare.errors import UsageError
from gdshare.scattering import CELLS, DIRECTIONS, Scattering, wavelets

CPU = torch.device("cpu")


def stripes(side, period, angle):
    """Waves that run at ``angle`` degrees from the rows' direction."""
    down, right = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    turned = torch.tensor(angle).deg2rad()
    phase = 2 * torch.pi / period * (right * turned.cos() + down * turned.sin())
    return phase.sin()[None, None]  # [1, 1, side, side]


@pytest.mark.parametrize(("side", "features"), [(8, 144), (16, 1296), (32, 3472), (64, 6672)])
def test_number_of_features_follows_the_side(side, features):
    network = Scattering(side)
    assert network.features == features
    assert network(torch.randn(2, 1, side, side)).shape == (2, features)


@pytest.mark.parametrize("side", [4, 30, 33])
def test_side_without_room_for_whole_cells_is_refused(side):
    with pytest.raises(UsageError, match="multiple of 4, and at least 8"):
        Scattering(side)


def test_no_wavelet_sees_mean_brightness():
    assert wavelets(32, 3, CPU)[:, :, 0, 0].abs().max() == 0


@pytest.mark.parametrize("direction", [0, 2, 5])
def test_strongest_response_is_of_the_stripes_direction(direction):
    x = stripes(32, 8 / 3, 180 / DIRECTIONS * direction)
    first = Scattering(32)(x)[0, CELLS**2 :][: DIRECTIONS * CELLS**2].view(DIRECTIONS, -1).mean(1)
    assert int(first.argmax()) == direction


@pytest.mark.parametrize(("scale", "period"), [(0, 8 / 3), (1, 16 / 3), (2, 32 / 3)])
def test_strongest_response_is_of_the_stripes_scale(scale, period):
    network, x = Scattering(32), stripes(32, period, 0)
    sizes = [(1 + DIRECTIONS * (2 - own)) * DIRECTIONS * CELLS**2 for own in range(3)]
    parts = torch.split(network(x)[0, CELLS**2 :], sizes)
    strongest = [float(part[: DIRECTIONS * CELLS**2].max()) for part in parts]
    assert strongest.index(max(strongest)) == scale


def test_brightness_moves_the_means_alone():
    network, x = Scattering(32), torch.randn(1, 1, 32, 32)
    moved = network(x + 0.5) - network(x)
    torch.testing.assert_close(moved[:, : CELLS**2], torch.full((1, CELLS**2), 0.5))
    assert moved[:, CELLS**2 :].abs().max() < 1e-4


def test_a_shift_of_one_pixel_changes_features_less_than_pixels():
    network = Scattering(32)
    noise = torch.nn.functional.avg_pool2d(torch.randn(8, 1, 34, 34), 3, stride=1)
    x, shifted = noise, noise.roll(1, -1)
    pixels = (x - shifted).norm() / x.norm()
    a, b = network(x), network(shifted)
    assert (a - b).norm() / (a - a.mean(0)).norm() < pixels / 2


def test_derivatives_are_finite_where_nothing_is():
    x = torch.zeros(1, 1, 16, 16, requires_grad=True)
    Scattering(16)(x).sum().backward()
    assert bool(x.grad.isfinite().all())


def test_features_do_not_depend_on_how_many_patches_come_together():
    network, x = Scattering(16), torch.randn(150, 1, 16, 16)
    torch.testing.assert_close(network(x), torch.cat([network(part) for part in x.split(7)]))


def test_derivatives_exist_though_wavelets_were_first_asked_for_without_them():
    wavelets.cache_clear()
    with torch.inference_mode():
        Scattering(16)(torch.zeros(1, 1, 16, 16))
    x = torch.randn(1, 1, 16, 16, requires_grad=True)
    Scattering(16)(x).sum().backward()
    assert x.grad is not None
