import numpy as np
import pytest
from store_kit import square, stored

from gdshare.label_page import grid
from gdshare.label_page.grid import film_labels, window_counts
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, inside_fractions
from gdshare.protocol import PatchClass, Protocol
from gdshare.store.outline import Drawing

PROTOCOL = Protocol(patch=16, stride=8, side=16)
FILM = stored(0)
ORGAN = ((square(4, 4, 60, 40), square(10, 10, 20, 20)),)
LETTERS = {**{member: member.name for member in PatchClass}, DISCARDED: "-"}


@pytest.mark.parametrize("diagnosis", ["negative", "positive"])
def test_labels_are_those_of_the_command_line(diagnosis):
    drawing = Drawing(polygons=ORGAN, diagnosis=diagnosis)
    fractions = inside_fractions(drawing.inside((64, 64)), Grid.over((64, 64), PROTOCOL))
    labels = label_windows(fractions, diagnosis == "positive", PROTOCOL)
    result = film_labels(FILM, drawing, PROTOCOL)
    assert result.letters == tuple("".join(LETTERS[label] for label in row) for row in labels)
    assert result.counts.i == np.sum(labels == PatchClass.I)
    assert result.counts.discarded == np.sum(labels == DISCARDED)
    assert result.problem == ""


def test_film_without_an_outline_has_a_grid_but_no_labels():
    result = film_labels(FILM, Drawing(diagnosis="positive"), PROTOCOL)
    assert (result.rows, result.columns, result.letters) == (7, 7, ())
    assert result.counts == grid.WindowCounts()


def test_too_many_windows_are_counted_but_not_shown(monkeypatch):
    monkeypatch.setattr(grid, "MAX_LETTERS", 48)
    result = film_labels(FILM, Drawing(polygons=ORGAN), Protocol(patch=16, stride=8, side=8))
    assert result.letters == ()
    assert result.problem == "49 windows are too many to show; the counts are complete"
    assert result.counts.i > 0


def test_error_of_an_outline_is_returned_not_raised(monkeypatch):
    monkeypatch.setattr("gdshare.films.outlines.polygons.MAX_CROSSINGS", 10)
    drawing = Drawing(polygons=ORGAN, diagnosis="negative")
    assert "crosses the film's rows" in film_labels(FILM, drawing, Protocol(patch=17)).problem


def test_counts_are_those_of_the_labels():
    drawing = Drawing(polygons=ORGAN)
    assert window_counts(FILM, drawing, PROTOCOL) == film_labels(FILM, drawing, PROTOCOL).counts
    assert window_counts(FILM, drawing, PROTOCOL).undecided > 0
