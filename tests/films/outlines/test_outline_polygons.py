from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdshare.errors import FilmError
from gdshare.films.outlines.polygons import MAX_VERTICES, Polygon, bounds, rasterise
from gdshare.films.outlines.rings import box, ellipse, polygon

HEIGHT, WIDTH = 7, 9
# Eighths, also beyond the film: many pixel centres lie on borders, and floats are exact.
POINT = st.tuples(st.integers(-16, 90), st.integers(-16, 72)).map(lambda p: (p[0] / 8, p[1] / 8))
RING = st.lists(POINT, max_size=7)
RINGS = st.lists(RING, max_size=3)


def as_polygon(rings):
    return Polygon(tuple(np.array(ring, dtype=np.float64).reshape(-1, 2) for ring in rings))


def enclosed(rings, x, y):
    """By definition: a ray to the left crosses the rings an odd number of times; exact."""
    inside = False
    for ring in rings:
        for (ax, ay), (bx, by) in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            ax, ay, bx, by = map(Fraction, (ax, ay, bx, by))  # noqa: PLW2901
            if min(ay, by) <= y < max(ay, by):
                inside ^= ax + (y - ay) * (bx - ax) / (by - ay) <= x
    return inside


def reference(polygons, shape):
    half = Fraction(1, 2)
    mask = np.zeros(shape, bool)
    for row, column in np.ndindex(*shape):
        mask[row, column] = any(enclosed(rings, column + half, row + half) for rings in polygons)
    return mask


@settings(max_examples=60, deadline=None)
@given(st.lists(RINGS, max_size=3))
def test_pixels_are_those_whose_centres_are_enclosed(polygons):
    mask = rasterise([as_polygon(rings) for rings in polygons], (HEIGHT, WIDTH))
    np.testing.assert_array_equal(mask, reference(polygons, (HEIGHT, WIDTH)))


@settings(max_examples=60, deadline=None)
@given(cut=st.lists(st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)), max_size=6))
def test_neighbours_neither_overlap_nor_leave_a_gap(cut):
    cut = sorted(cut, key=lambda point: point[1])  # from the upper edge to the lower
    line = [(WIDTH / 2, 0.0), *cut, (WIDTH / 2, float(HEIGHT))]
    left = polygon((0, 0), *line, (0, HEIGHT))
    right = polygon((WIDTH, HEIGHT), *line[::-1], (WIDTH, 0))
    left_mask, right_mask = (rasterise([part], (HEIGHT, WIDTH)) for part in (left, right))
    assert (left_mask ^ right_mask).all()


def test_hole_is_outside_and_a_part_within_it_inside():
    def square(a, b):
        return [(a, a), (b, a), (b, b), (a, b)]

    mask = rasterise([as_polygon([square(0, 9), square(2, 7)]), as_polygon([square(4, 5)])], (9, 9))
    assert mask.sum() == 81 - 25 + 1
    assert mask[4, 4]
    assert not mask[3, 3]


def test_overlapping_polygons_are_united():
    mask = rasterise([box((0, 0), (4, 4)), box((2, 2), (6, 6))], (6, 6))
    assert mask.sum() == 16 + 16 - 4


def test_parts_beyond_the_film_are_cut_off():
    mask = rasterise([box((-1e6, -1e6), (3, 1e6))], (4, 5))
    np.testing.assert_array_equal(mask, [[True] * 3 + [False] * 2] * 4)
    assert not rasterise([box((6, 0), (9, 4))], (4, 5)).any()


def test_rings_of_fewer_than_three_vertices_enclose_nothing():
    assert not rasterise([], (3, 3)).any()
    assert not rasterise([as_polygon([[], [(1, 1)], [(0, 0), (3, 3)]])], (3, 3)).any()
    assert np.isnan(bounds([as_polygon([[]])])).all()


def test_bands_of_a_wide_film_fit_together():
    tall = np.array([(0.2, 0.0), (3000, 40.0), (0.2, 700.0)])
    mask = rasterise([Polygon((tall,))], (700, 3000))
    for row in (0, 39, 40, 86, 87, 88, 350, 699):
        y = row + 0.5
        edge = 0.2 + 2999.8 * (y / 40 if y < 40 else (700 - y) / 660)
        assert mask[row].sum() == round(edge), row


def test_ellipse_has_its_area_and_rotates_clockwise():
    mask = rasterise([ellipse((50.0, 50.0), (40.0, 20.0))], (100, 100))
    assert mask.sum() == pytest.approx(np.pi * 40 * 20, rel=0.005)
    rotated = rasterise([ellipse((50.0, 50.0), (40.0, 20.0), 30)], (100, 100))
    assert rotated[50 + 17, 50 + 30], "the right end moves down"
    assert not rotated[50 - 17, 50 + 30]


def test_box_rotated_by_a_quarter_stands_upright():
    mask = rasterise([box((4, 8), (16, 12), 90)], (20, 20))
    assert mask[4:16, 8:12].all()
    assert mask.sum() == 48


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -2e9])
def test_vertex_that_is_not_a_position_on_a_film_is_refused(value):
    with pytest.raises(FilmError, match="not a position on a film"):
        rasterise([polygon((0, 0), (value, 1), (1, 1))], (4, 4))


def test_outline_of_too_many_vertices_is_refused():
    with pytest.raises(FilmError, match="vertices"):
        rasterise([Polygon((np.zeros((MAX_VERTICES + 1, 2)),))], (4, 4))


def test_outline_that_crosses_too_often_is_refused_before_it_takes_memory():
    zigzag = np.zeros((400_000, 2))
    zigzag[::2, 1] = 2000
    with pytest.raises(FilmError, match=r"crosses the film's rows 800,000,000 times"):
        rasterise([Polygon((zigzag,))], (2000, 10))
