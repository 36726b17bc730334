import numpy as np
import pytest
from store_kit import square, stored

from gdshare.label_page import grid
from gdshare.label_page.grid import count, paint
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, inside_fractions
from gdshare.protocol import PatchClass, Protocol
from gdshare.store.outline import Drawing

PROTOCOL = Protocol(patch=16, stride=8, side=16)
FILM = stored(0)
ORGAN = ((square(4, 4, 60, 40), square(10, 10, 20, 20)),)
LETTERS = {**{member: member.name for member in PatchClass}, DISCARDED: "-"}


@pytest.mark.parametrize("diagnosis", ["negative", "positive"])
def test_letters_are_the_rules_of_the_command_line(diagnosis):
    drawing = Drawing(polygons=ORGAN, diagnosis=diagnosis)
    fractions = inside_fractions(drawing.inside((64, 64)), Grid.over((64, 64), PROTOCOL))
    labels = label_windows(fractions, diagnosis == "positive", PROTOCOL)
    told = paint(FILM, drawing, PROTOCOL)
    assert told.letters == tuple("".join(LETTERS[label] for label in row) for row in labels)
    assert told.counts.i == np.sum(labels == PatchClass.I)
    assert told.counts.discarded == np.sum(labels == DISCARDED)
    assert told.problem == ""


def test_without_an_outline_there_is_a_grid_but_no_label():
    told = paint(FILM, Drawing(diagnosis="positive"), PROTOCOL)
    assert (told.rows, told.columns, told.letters) == (7, 7, ())
    assert told.counts == grid.Counts()


def test_too_many_windows_are_counted_but_not_painted(monkeypatch):
    monkeypatch.setattr(grid, "MAX_SHOWN", 48)
    told = paint(FILM, Drawing(polygons=ORGAN), Protocol(patch=16, stride=8, side=8))
    assert told.letters == ()
    assert told.problem == "49 windows are too many to paint; their counts hold"
    assert told.counts.i > 0


def test_fault_of_an_outline_is_told_not_raised(monkeypatch):
    monkeypatch.setattr("gdshare.films.outlines.polygons.MAX_CROSSINGS", 10)
    drawing = Drawing(polygons=ORGAN, diagnosis="negative")
    assert "crosses the film's rows" in paint(FILM, drawing, Protocol(patch=17)).problem


def test_counts_are_those_of_the_painting():
    drawing = Drawing(polygons=ORGAN)
    assert count(FILM, drawing, PROTOCOL) == paint(FILM, drawing, PROTOCOL).counts
    assert count(FILM, drawing, PROTOCOL).undecided > 0
