import numpy as np
import pytest

from gdshare.films import Film
from gdshare.patches import Grid
from gdshare.protocol import PatchClass
from gdshare.report.vote_map import COLOURS, FOOT, SIDE, draw_map
from gdshare.vote import VoteMap

OUT, N, P = PatchClass.I, PatchClass.N, PatchClass.P


def a_map(*networks, patch=20, stride=20):
    called = np.array(networks, np.uint8)
    return VoteMap(Grid(*called.shape[1:], patch, stride), called)


def a_film(height=60, width=60):
    return Film(np.full((height, width), 100, np.uint8), "film")


def at(picture, row, column, cells=3):
    """The colour in the middle of a cell of a square film."""
    step = SIDE / cells
    return picture.getpixel((round((column + 0.5) * step), round((row + 0.5) * step)))


def towards(colour, ground, share):
    """Whether a pixel lies so far from the ground to the colour."""
    return tuple(round(g + share * (c - g)) for c, g in zip(colour, ground, strict=True))


def test_windows_have_the_colour_of_their_class_where_they_lie():
    seen = a_map([[OUT, N, P], [OUT, OUT, OUT], [P, OUT, N]])
    picture = draw_map(a_film(), seen, 0.5)
    ground = at(picture, 1, 1)
    assert ground == at(picture, 0, 0) == at(picture, 2, 1)
    for row, column, label in ((0, 1, N), (0, 2, P), (2, 0, P), (2, 2, N)):
        expected = towards(COLOURS[label], ground, 0.45)
        assert at(picture, row, column) == pytest.approx(expected, abs=2)


def test_windows_that_networks_disagree_on_are_fainter():
    seen = a_map([[P, P, OUT]] * 3, [[P, OUT, OUT]] * 3)
    picture = draw_map(a_film(), seen, 0.5)
    ground, sure, unsure = (at(picture, 1, column) for column in (2, 0, 1))
    assert unsure == pytest.approx(towards(sure, ground, 0.5), abs=2)


def test_windows_that_overlap_colour_the_step_around_their_centre():
    seen = a_map([[OUT, OUT, OUT], [OUT, P, OUT], [OUT, OUT, OUT]], patch=30, stride=15)
    picture = draw_map(a_film(), seen, 0.5)
    painted = [x for x in range(SIDE) if picture.getpixel((x, SIDE // 2)) != at(picture, 0, 0)]
    centre, step = SIDE * 30 / 60, SIDE * 15 / 60
    assert (min(painted), max(painted) + 1) == pytest.approx(
        (centre - step / 2, centre + step / 2), abs=1
    )


def test_the_bar_ends_at_the_ratio_and_the_threshold_stands_on_it():
    picture = draw_map(a_film(), a_map([[P, N, N], [N, OUT, OUT], [OUT, OUT, OUT]]), 0.6)
    below = picture.crop((0, SIDE, picture.width, SIDE + FOOT))
    row = [below.getpixel((x, 16 + 36 + 7)) for x in range(below.width)]
    bar = [x for x, colour in enumerate(row) if colour == COLOURS[P]]
    width = below.width - 2 * 16
    assert max(bar) == pytest.approx(16 + 0.25 * width, abs=1)
    tick = [x for x, colour in enumerate(row) if colour == (17, 17, 17)]
    assert tick[1] == pytest.approx(16 + 0.6 * width, abs=1)


def test_a_film_without_votes_inside_has_no_bar_and_a_narrow_one_has_room_for_words():
    picture = draw_map(a_film(600, 60), a_map([[OUT]], patch=60), 0.4)
    assert picture.size == (640, SIDE + FOOT)
    assert COLOURS[P] not in {picture.getpixel((x, SIDE + 59)) for x in range(640)}


def test_the_picture_names_nobody():
    assert draw_map(a_film(), a_map([[P]], patch=60), 0.4).info == {}
