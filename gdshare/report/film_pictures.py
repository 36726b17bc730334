"""Films with their votes on a page: those a model is most right about, and most wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gdshare.films import Film, read_film
from gdshare.protocol import Protocol
from gdshare.report.page import Picture
from gdshare.report.vote_map import draw_votes
from gdshare.vote import Predict, VoteMap, Votes, vote_map

SIDE = 320
"""Of a film's longer side on the page, px."""
COLOURS = (
    "Colours show how windows were called: orange, P (inside the organ, positive); yellow, N "
    "(inside, negative); none, I (outside the organ). The ratio is P / (P + N); a film whose ratio "
    "is at least ε is called positive."
)


@dataclass(frozen=True)
class JudgedFilm:
    """A film whose diagnosis is known.

    Attributes:
        name: on the page.
        image: its file; ``spacing_mm`` overrides its pixel size.
        positive: the diagnosis.
        votes: the model's.
    """

    name: str
    image: Path
    spacing_mm: float | None
    positive: bool
    votes: Votes

    def margin(self, threshold: float) -> float:
        """How far on the right side of ε its ratio lies; an indeterminate film is farthest off."""
        if self.votes.indeterminate:
            return -1.0
        distance = self.votes.ratio - threshold
        return distance if self.positive else -distance


def extremes(
    films: Sequence[JudgedFilm], threshold: float, count: int
) -> tuple[list[JudgedFilm], list[JudgedFilm]]:
    """The films that are most clearly right, and those most clearly wrong; ``count`` at most.

    Both diagnoses are among the right ones where there are any.
    """
    ordered = sorted(films, key=lambda film: film.margin(threshold))
    wrong = [film for film in ordered if not _right(film, threshold)][:count]
    right = [film for film in reversed(ordered) if _right(film, threshold)]
    firsts = [next((f for f in right if f.positive is sign), None) for sign in (True, False)]
    chosen = [film for film in firsts if film is not None]
    chosen += [film for film in right if film not in chosen]
    return chosen[:count], wrong


def _right(film: JudgedFilm, threshold: float) -> bool:
    return film.votes.positive_at(threshold) is film.positive and not film.votes.indeterminate


def judged_picture(
    film: JudgedFilm, protocol: Protocol, predict: Predict, threshold: float
) -> Picture:
    """A film with its votes, which are made again.

    Raises:
        FilmError: the film is gone or damaged.
    """
    pixels = read_film(film.image, film.spacing_mm)
    return film_picture(film, pixels, vote_map(pixels, protocol, predict), threshold)


def film_picture(film: JudgedFilm, pixels: Film, seen: VoteMap, threshold: float) -> Picture:
    """A film with votes that were made before."""
    truth = "positive" if film.positive else "negative"
    right = "right" if _right(film, threshold) else "WRONG"
    outcome = "undecided" if film.votes.indeterminate else right
    words = f"{film.name}: {_verdict(film.votes, threshold)}; {outcome}, it is {truth}"
    return Picture.photographed(draw_votes(pixels, seen, SIDE), f"Film with votes. {words}", words)


def _verdict(votes: Votes, threshold: float) -> str:
    if votes.indeterminate:
        return "indeterminate, a person must look"
    called = votes.verdict_at(threshold)
    return f"called {called}, ratio {votes.ratio:.2f} against ε = {threshold:.2f}"
