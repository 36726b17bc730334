from typing import get_args

import numpy as np
import pytest
import torch
from film_kit import PROTOCOL, small_cohort, write_films

from gdshare.errors import FilmError
from gdshare.films import Film, read_film
from gdshare.model import Model
from gdshare.networks import build, draw, forward
from gdshare.patches import Grid, cut_rows, normalise
from gdshare.protocol import Tone
from gdshare.vote import Votes, film_votes, predictor


def test_ratio_leaves_i_votes_out():
    assert Votes(i=90, n=6, p=4).ratio == 0.4
    assert Votes(i=90, n=6, p=4).positive_at(0.4)
    assert not Votes(i=90, n=7, p=3).positive_at(0.4)


def test_film_without_an_n_or_p_vote_is_indeterminate_and_negative_at_any_threshold():
    votes = Votes(i=100, n=0, p=0)
    assert votes.indeterminate
    assert votes.ratio == 0
    assert not votes.positive_at(0.0)


def test_every_network_votes_once_on_every_window_whatever_the_mask():
    film = Film(np.zeros((64, 72), np.uint8), "blank")
    protocol = PROTOCOL.model_copy(update={"tone": "none"})
    batches = []

    def predict(patches):
        batches.append(patches)
        return np.stack([np.arange(len(patches)) % 3, np.full(len(patches), 2)])

    votes = film_votes(film, protocol, predict)
    grid = Grid.over(film.shape, protocol)
    assert votes.i + votes.n + votes.p == 2 * grid.count == 2 * sum(map(len, batches))
    assert (votes.i, votes.n, votes.p) == (grid.rows * 3, grid.rows * 3, grid.rows * (2 + 8))
    np.testing.assert_allclose(batches[0], -2)  # black, normalised by mean 0.5 and deviation 0.25


def test_predictor_gives_the_class_of_every_network(tmp_path):
    write_films(tmp_path)
    film = read_film(tmp_path / "1.png")
    module = build("convnet", 16)
    generator = torch.Generator().manual_seed(0)
    ensemble = tuple(draw("convnet", module, generator) for _ in range(2))
    model = Model("convnet", PROTOCOL, ensemble)
    grid = Grid.over(film.shape, PROTOCOL)
    patches = np.concatenate(list(cut_rows(film.scaled(), grid, 16)))
    normal = normalise(patches, PROTOCOL)
    x = torch.from_numpy(normal)[:, None]
    expected = [forward(module, parameters, x).argmax(1).numpy() for parameters in ensemble]
    np.testing.assert_array_equal(predictor(model)(normal), expected)


def test_film_smaller_than_a_patch_is_refused_by_name():
    with pytest.raises(FilmError, match="tiny"):
        film_votes(Film(np.zeros((4, 4), np.uint8), "tiny"), PROTOCOL, len)


@pytest.mark.parametrize("tone", get_args(Tone))
def test_a_model_votes_on_the_patches_that_training_saw(tmp_path, tone):
    protocol = PROTOCOL.model_copy(update={"tone": tone})
    cohort = small_cohort(tmp_path, protocol=protocol)
    film = read_film(cohort.films_of("train")[0].image)
    voted = []

    def predict(patches):
        voted.append(patches)
        return np.zeros((1, len(patches)), np.int64)

    film_votes(film, protocol, predict)
    patches = cohort.patches("train")
    own = np.flatnonzero(patches.films == cohort.films.index(cohort.films_of("train")[0]))
    windows = np.concatenate(voted)
    for seen in normalise(patches.scaled(own), protocol):
        assert np.abs(windows - seen).max((1, 2)).min() < 1e-4
    as_it_is = np.concatenate(list(cut_rows(film.scaled(), Grid.on(film, protocol), 16)))
    assert (tone == "none") == np.allclose(windows, normalise(as_it_is, protocol), atol=0.01)
