from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gdshare import patches
from gdshare.errors import FilmError
from gdshare.films import Film
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
    with pytest.raises(FilmError, match=r"tiny\.png.*too small for a window of 16 px"):
        Grid.on(Film(np.zeros((10, 10), np.uint8), "tiny.png"), Protocol(patch=16))


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
    fractions = inside_fractions(mask, grid)
    assert fractions.shape == (grid.rows, grid.columns)
    for row in range(grid.rows):
        for column in range(grid.columns):
            top, left = row * stride, column * stride
            assert fractions[row, column] == mask[top : top + patch, left : left + patch].mean()


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


def film(side=100, spacing=(0.2, 0.2)):
    return Film(np.zeros((side, side), np.uint8), "film.dcm", spacing)


def test_window_covers_the_same_area_of_the_patient_at_any_pixel_size():
    protocol = Protocol(patch=20, stride=10, resample_mm=0.2)
    grids = [Grid.on(film(side, (mm, mm)), protocol) for side, mm in ((100, 0.2), (200, 0.1))]
    assert [(grid.patch, grid.stride) for grid in grids] == [(20, 10), (40, 20)]
    assert grids[0].rows == grids[1].rows == 9


def test_pixel_size_does_not_matter_if_the_protocol_sets_none():
    protocol = Protocol(patch=20, stride=10)
    assert Grid.on(film(100, None), protocol) == Grid.on(film(100, (0.1, 0.3)), protocol)


def test_film_of_unknown_pixel_size_is_refused_if_the_protocol_sets_one():
    with pytest.raises(FilmError, match=r"film\.dcm: has no known pixel size.*spacing_mm"):
        Grid.on(film(100, None), Protocol(patch=20, resample_mm=0.2))


def test_pixels_that_are_not_square_are_refused_if_the_protocol_sets_a_size():
    with pytest.raises(FilmError, match="not square"):
        Grid.on(film(100, (0.1, 0.2)), Protocol(patch=20, resample_mm=0.2))


def test_patches_of_a_film_with_finer_pixels_look_the_same():
    coarse = np.add.outer(np.arange(64.0), np.arange(64.0)).astype(np.float32) / 128
    fine = np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    protocol = Protocol(patch=16, stride=8, side=8, resample_mm=0.2)
    cut = [
        np.concatenate(list(cut_rows(pixels, Grid.over(pixels.shape, protocol, scale), 8)))
        for pixels, scale in ((coarse, 1.0), (fine, 2.0))
    ]
    assert cut[0].shape == cut[1].shape
    np.testing.assert_allclose(cut[0], cut[1], atol=2e-3)


def test_films_become_patches_in_one_place_only():
    root = Path(patches.__file__).parents[1]
    packages = ("gdshare", "hospital_node", "aggregator", "studies", "benchmarks", "examples")
    sources = [path for package in packages for path in (root / package).rglob("*.py")]
    cutting = [path.name for path in sources if "cut_rows" in path.read_text(encoding="utf-8")]
    assert cutting == ["patches.py"]
