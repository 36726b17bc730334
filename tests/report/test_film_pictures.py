from pathlib import Path

from gdshare.report.film_pictures import JudgedFilm, extremes
from gdshare.vote import Votes


def film(name, positive, p, n):
    return JudgedFilm(name, Path(name), None, positive, Votes(10, n, p))


def test_the_clearest_of_both_diagnoses_and_the_worst_are_chosen():
    films = [
        film("sure-positive", True, 99, 1),
        film("sure-too", True, 98, 2),
        film("sure-negative", False, 20, 80),
        film("hardly", True, 51, 49),
        film("wrong", True, 40, 60),
        film("worse", False, 90, 10),
        film("unseen", True, 0, 0),
    ]
    right, wrong = extremes(films, 0.5, 2)
    assert [own.name for own in right] == ["sure-positive", "sure-negative"]
    assert [own.name for own in wrong] == ["unseen", "worse"]


def test_a_film_at_the_threshold_is_positive():
    right, wrong = extremes([film("a", True, 5, 5), film("b", False, 5, 5)], 0.5, 3)
    assert [own.name for own in right] == ["a"]
    assert [own.name for own in wrong] == ["b"]
