import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gdshare.films.outlines.polygons import rasterise
from gdshare.films.outlines.trace import trace

MASKS = arrays.arrays(bool, st.tuples(st.integers(0, 8), st.integers(0, 8)))


def area(ring):
    x, y = ring.T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


@settings(max_examples=120, deadline=None)
@given(MASKS)
def test_rasterised_trace_equals_the_mask(mask):
    np.testing.assert_array_equal(rasterise(trace(mask), mask.shape), mask)


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_borders_turn_one_way_holes_the_other_and_the_area_equals_the_pixels(mask):
    polygons = trace(mask)
    assert sum(area(ring) for polygon in polygons for ring in polygon.rings) == mask.sum()
    for border, *holes in (polygon.rings for polygon in polygons):
        assert area(border) > 0
        assert all(area(hole) < 0 for hole in holes)


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_no_ring_touches_itself_and_no_vertex_is_redundant(mask):
    for ring in (ring for polygon in trace(mask) for ring in polygon.rings):
        assert len({tuple(vertex) for vertex in ring}) == len(ring)
        edges = np.roll(ring, -1, axis=0) - ring
        assert ((edges == 0).sum(axis=1) == 1).all(), "every edge is horizontal or vertical"
        assert ((edges[:, 0] == 0) != (np.roll(edges, -1, axis=0)[:, 0] == 0)).all()


def test_pixels_that_touch_at_a_corner_are_two_parts():
    assert len(trace(np.eye(2, dtype=bool))) == 2
    assert len(trace(np.eye(2, dtype=bool)[::-1])) == 2


def test_ring_closed_only_at_a_corner_has_a_hole_that_touches_it():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    (polygon,) = trace(mask)
    assert [area(ring) for ring in polygon.rings] == [8, -1]


def test_part_within_a_hole_is_a_separate_polygon():
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    assert [len(polygon.rings) for polygon in trace(mask)] == [2, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 3)])
def test_empty_mask_has_no_polygons(shape):
    assert trace(np.zeros(shape, bool)) == []
