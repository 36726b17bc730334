"""``reidentification-lineup/1``: is a training patient picked from a line-up, by another film?

Whoever makes the attack has the bundle, and another film of each of N patients of the same
diagnosis, of whom exactly one was a training patient. They pick the one whose other film scores
highest, by the likelihood ratio of ``membership-bundle/1``; the statistics are taken on the other
films, under the shadows too. Which other films: ``other_films``. How often the right one is picked:
``picking``.
"""

from collections.abc import Sequence

import numpy as np

from gdshare.audit.controls import Overfitted
from gdshare.audit.figures import Control, Lineup, Result
from gdshare.audit.membership_lira import BUNDLE, Evidence
from gdshare.audit.other_films import OtherFilms
from gdshare.audit.picking import LineupSize, Picked, lineup_size, pick
from gdshare.audit.traces import Reader
from gdshare.bundle.attacks import Attack

NAME = "reidentification-lineup/1"


def lineup_result(
    evidence: Evidence, other: OtherFilms, read: Reader, few: Sequence[Overfitted]
) -> Result:
    """Make the attack, and its control.

    Args:
        evidence: of the membership attacks, with the images and the shadows themselves.
        other: the patients' other films.
        read: takes statistics on these.
        few: the control's sets.
    """
    own = on_other_films(evidence, other, read, few)
    people = own.candidates
    size = lineup_size(people.positive, people.member)
    everyone = np.arange(len(people))
    board = own.guesses(own.ratios(BUNDLE, own.target), people.member, everyone)
    leaks = [
        own.guesses(own.ratios(BUNDLE, trace), leaking.included, everyone)
        for leaking, trace in own.few
    ]
    found = pick([board], size)
    figure, low, high = (round(value, 3) for value in (found.share, found.low, found.high))
    chance = round(1.0 / size.people, 3)
    return Result(
        attack=Attack(name=NAME, figure=figure, low=low, high=high, unrelated=chance),
        control=_control(pick(leaks, size), size, len(few)),
        lineup=Lineup(
            film=other.film,
            second_sha256=other.second_sha256,
            people=size.people,
            members=found.members,
            others=found.others,
            share=found.share,
            low=found.low,
            high=found.high,
            median_rank=found.median_rank,
        ),
    )


def on_other_films(
    evidence: Evidence, other: OtherFilms, read: Reader, few: Sequence[Overfitted]
) -> Evidence:
    """The same evidence of those patients who have another film, taken on that.

    Args:
        evidence, other, read, few: as for ``lineup_result``.
    """
    return Evidence(
        candidates=other.people,
        included=evidence.included[:, other.chosen],
        shadows=[read(shadow) for shadow in evidence.made],
        target=read(evidence.distilled),
        few=[
            (Overfitted(leaking.included[other.chosen], leaking.distilled), read(leaking.distilled))
            for leaking in few
        ],
        seed=evidence.seed,
        distilled=evidence.distilled,
        made=evidence.made,
    )


def _control(found: Picked, size: LineupSize, sets: int) -> Control:
    return Control(
        what=f"sets distilled from 5 training patients alone: {sets}; line-ups of one of the five "
        "among everybody else",
        figure=found.share,
        low=found.low,
        high=found.high,
        unrelated=round(1.0 / size.people, 6),
    )
