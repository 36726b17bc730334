import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gdshare.errors import FilmError
from gdshare.patches import Grid, cut_rows, inside_fractions, normalise, resize_matrix
from gdshare.protocol import Protocol


def test_the_sources_geometry_gives_1225_windows():
    grid = Grid.over((2048, 2048), Protocol(patch=299, stride=50))
    assert (grid.rows, grid.columns, grid.count) == (35, 35, 1225)


def test_window_that_does_not_fit_is_dropped():
    protocol = Protocol(patch=16, stride=8)
    assert Grid.over((16, 23), protocol).count == 1
    assert Grid.over((16, 24), protocol).count == 2
    assert Grid.over((15, 400), protocol).count == 0


def test_film_too_small_for_a_window_is_refused_by_name():
    with pytest.raises(FilmError, match=r"tiny\.png.*no window of 16 px"):
        Grid.over((10, 10), Protocol(patch=16)).require_windows("tiny.png")


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    patch=st.integers(8, 20),
    stride=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_inside_fraction_is_the_plain_mean_of_each_window(height, width, patch, stride, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    grid = Grid.over(mask.shape, Protocol(patch=patch, stride=stride))
    found = inside_fractions(mask, grid)
    assert found.shape == (grid.rows, grid.columns)
    for row in range(grid.rows):
        for column in range(grid.columns):
            top, left = row * stride, column * stride
            assert found[row, column] == mask[top : top + patch, left : left + patch].mean()


@pytest.mark.parametrize("side", [8, 20, 37, 50])
def test_resizing_equals_torchs_antialiased_bilinear(side):
    scaled = np.random.default_rng(0).random((60, 70), dtype=np.float32)
    protocol = Protocol(patch=37, stride=11, side=side)
    grid = Grid.over(scaled.shape, protocol)
    rows = list(cut_rows(scaled, grid, side))
    assert len(rows) == grid.rows
    for row, windows in enumerate(rows):
        assert windows.dtype == np.float32
        cut = np.stack(
            [scaled[row * 11 : row * 11 + 37, c * 11 : c * 11 + 37] for c in range(grid.columns)]
        )
        expected = functional.interpolate(
            torch.from_numpy(cut)[:, None], size=(side, side), mode="bilinear", antialias=True
        )[:, 0].numpy()
        np.testing.assert_allclose(windows, expected, atol=3e-5)


def test_resizing_keeps_a_flat_film_flat():
    np.testing.assert_allclose(resize_matrix(299, 64).sum(1), 1, atol=1e-6)


def test_normalisation_is_the_protocols():
    protocol = Protocol(mean=0.5, std=0.25)
    patches = np.array([0.0, 0.5, 1.0], np.float32)
    np.testing.assert_allclose(normalise(patches, protocol), [-2, 0, 2])
    assert normalise(patches, protocol).dtype == np.float32
