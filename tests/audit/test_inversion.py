"""Gradient inversion gives a window back from the update that it made."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gdshare.audit.canaries import canaries
from gdshare.audit.inversion import Update, invert, own_update
from gdshare.audit.readback import look
from gdshare.distill.head import Head, body_of
from gdshare.method import Method
from gdshare.networks import build
from gdshare.theta0 import announced_theta0

SIDE = 16


def pixels(x):
    """A last layer that reads the pixels themselves."""
    return x.flatten(1)


def update_of_nothing(features, size):
    return Update(features, torch.zeros(3, size), torch.zeros(3), torch.zeros(3, size))


def window(seed=0):
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    smooth = sum(np.roll(noise, (a, b), (0, 1)) for a in range(3) for b in range(3)) / 3
    return torch.from_numpy(smooth[None, None].astype(np.float32))


@pytest.mark.parametrize("label", [0, 2])
def test_window_is_given_back_by_its_own_update_where_pixels_are_read(label):
    x = window()
    seen = own_update(update_of_nothing(pixels, SIDE**2), x, label)
    back = invert(seen, SIDE)
    assert back.shape == (3, SIDE, SIDE)
    assert np.corrcoef(back[label].ravel(), x.numpy().ravel())[0, 1] > 0.95


@pytest.fixture(scope="module")
def scattering():
    method = Method(network="scattering")
    body = body_of("scattering", 32, announced_theta0(method, build("scattering", 32)))
    before = Head.zeros(body)
    return Update(body.features, before.weight, before.bias, before.weight)


def test_grating_is_given_back_by_its_own_update_through_scattering(scattering):
    """Which of the eight, though not its phase."""
    listed = canaries()
    for number in (10, 11):
        planted = listed[number].planted(np.full((1, 32, 32), 0.5, np.float32))
        x = torch.from_numpy((planted - 0.5) / 0.25)[:, None]
        seen = own_update(scattering, x, 1)
        back = invert(seen, 32)
        found = seen.alignment(torch.from_numpy(back[1:2])[:, None], torch.tensor([1]))
        assert float(found[0]) > 0.95
        assert look(back, listed)[8:].argmax() == number - 8


def test_update_that_says_nothing_gives_gray_noise_and_no_error():
    back = invert(update_of_nothing(pixels, SIDE**2), SIDE, steps=5)
    assert np.isfinite(back).all()
    nonsense = replace(
        update_of_nothing(pixels, SIDE**2), moved=torch.full((3, SIDE**2), torch.nan)
    )
    assert np.isfinite(invert(nonsense, SIDE, steps=5)).all()


def test_inversion_is_the_same_every_time(scattering):
    x = window()
    seen = own_update(update_of_nothing(pixels, SIDE**2), x, 0)
    assert np.array_equal(invert(seen, SIDE, 10), invert(seen, SIDE, 10))
