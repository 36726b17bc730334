import re

import numpy as np
import pytest

from gdshare.metrics import Confusion, Interval
from gdshare.report.curves import (
    Bar,
    Ranking,
    Training,
    by_epsilon,
    figures_picture,
    roc_picture,
    training_picture,
    with_interval,
)


def texts(picture):
    return re.findall(r">([^<>\n]+)</text>", picture.markup)


def test_every_figure_is_drawn_with_its_name_and_said_in_words():
    bars = [Bar("north", 0.5, Interval(0.25, 0.73)), Bar("all", 0.93, Interval(0.78, 0.98), True)]
    picture = figures_picture(bars, "HM", None, "some")
    assert {"north", "all", "0.50 [0.25, 0.73]", "0.93 [0.78, 0.98]"} <= set(texts(picture))
    assert "north: 0.50 [0.25, 0.73]; all: 0.93 [0.78, 0.98]" in picture.words


def test_a_figure_that_does_not_exist_is_a_dash():
    assert with_interval(float("nan"), Interval(0, 1)) == "-"
    picture = figures_picture([Bar("none", float("nan"), Interval(0, 1))], "HM", None, "some")
    assert "none: -" in picture.words


def test_a_site_without_a_diagnosis_has_no_roc_curve():
    known = Ranking("north", np.array([0.1, 0.9]), np.array([False, True]), 1.0)
    unknown = Ranking("south", np.array([0.1]), np.array([False]), float("nan"))
    picture = roc_picture([known, unknown], 0.5, "test films")
    assert picture is not None
    assert "north: AUC 1.00" in picture.words
    assert "south" not in picture.words


def test_counts_of_sites_are_added_at_each_threshold():
    counts = {"a": [Confusion(1, 0, 0, 2), Confusion(0, 1, 2, 0)], "b": [Confusion(3, 1, 4, 0)] * 2}
    shares = [(own.sensitivity, own.specificity) for own in by_epsilon(counts, {})]
    assert shares == [(4 / 5, 4 / 6), (3 / 5, 1.0)]


def test_films_of_one_diagnosis_have_no_roc_curve_at_all():
    only = Ranking("south", np.array([0.1]), np.array([False]), float("nan"))
    assert roc_picture([only], 0.5, "test films") is None


@pytest.mark.parametrize("name", ["north", "<b>", "$_$", "\\frac"])
def test_a_run_is_named_in_the_picture_of_its_training(name):
    picture = training_picture([Training(name, [1, 2], [0.4, 0.6])])
    assert f"{name}: at most 0.600" in picture.words
    assert "<b>" not in picture.markup
