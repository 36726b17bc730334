"""What the attacks with shadows look at: all sets of images, and what they say of the windows.

The sets are distilled one after the other, and each is kept in the run's folder (``shadows``). Of
networks that are trained whole the statistics are kept too (``kept_traces``).
"""

import hashlib
from functools import partial

import numpy as np

from gdshare.audit.candidates import Candidates
from gdshare.audit.controls import Overfitted, few_members, overfitted
from gdshare.audit.figures import Result
from gdshare.audit.kept_traces import KeptReader
from gdshare.audit.lineup import lineup_result
from gdshare.audit.membership_lira import Evidence
from gdshare.audit.other_films import SecondFilms, exposed_again, second_films
from gdshare.audit.shadows import Bool, Workshop
from gdshare.audit.side_by_side import Step, side_by_side
from gdshare.audit.traces import Reader, Trace, reader_of
from gdshare.distilled import Distilled
from gdshare.errors import CohortError
from gdshare.method import RunRecord
from gdshare.networks import Parameters

ATTEMPTS = 4
"""To draw few patients whose windows are of every class, for each set."""


def overfitted_sets(
    workshop: Workshop, count: int, step: Step, preferred: Bool | None = None
) -> tuple[Overfitted, ...]:
    """Sets for the controls; patients whose windows lack a class are passed over."""
    people, seed = workshop.candidates, workshop.seed
    usable = [
        number
        for number in range(ATTEMPTS * count)
        if workshop.has_all_classes(few_members(people, seed, number, preferred))
    ][:count]
    if len(usable) < count:
        raise CohortError(
            "no five training patients have windows of every class, so no attack has a control",
            remedy="label the cohort with more windows: a smaller stride",
        )
    makes = [partial(overfitted, workshop, number, preferred=preferred) for number in usable]
    return tuple(side_by_side(makes, workshop.places, step))


def gather(
    workshop: Workshop,
    record: RunRecord,
    distilled: Distilled,
    few: tuple[Overfitted, ...],
    shadows: int,
    shared: Parameters | None,
    step: Step,
) -> Evidence:
    """Distil the shadows, and take the statistics of all sets.

    Args:
        workshop: where shadows are made.
        record, distilled: of the run.
        few: the control's sets.
        shadows: how many.
        shared: the weights of the shared model that is the run's announced θ0, if it is one.
        step: called after each training step of a shadow, and after each set that was read.
    """
    people, seed = workshop.candidates, workshop.seed
    read = _reader(people, workshop, record, distilled, shared, step)
    makes = [partial(workshop.shadow, number) for number in range(shadows)]
    made = side_by_side(makes, workshop.places, step)
    return Evidence(
        candidates=people,
        included=np.stack([workshop.coins(number) for number in range(shadows)]),
        shadows=[read(shadow) for shadow in made],
        target=read(distilled),
        few=[(leaking, read(leaking.distilled)) for leaking in few],
        seed=seed,
        distilled=distilled,
        made=made,
    )


def line_up(
    evidence: Evidence,
    workshop: Workshop,
    record: RunRecord,
    shared: Parameters | None,
    second: SecondFilms | None,
    step: Step,
) -> Result:
    """Line-ups of other films; where not everybody has a second film, the control's sets are
    distilled anew, from patients who have.

    Args:
        evidence: of the run's own films.
        workshop, record, shared, step: as for ``gather``.
        second: other films of the patients; None: their own, exposed again.
    """
    people, seed = workshop.candidates, workshop.seed
    few = tuple(leaking for leaking, _ in evidence.few)
    other = exposed_again(people, seed) if second is None else second_films(second, people, seed)
    if len(other.people) < len(people):
        present = np.isin(np.arange(len(people)), other.chosen)
        few = overfitted_sets(workshop, len(few), step, present)
    read = _reader(other.people, workshop, record, evidence.distilled, shared, step)
    return lineup_result(evidence, other, read, few)


def _reader(
    people: Candidates,
    workshop: Workshop,
    record: RunRecord,
    distilled: Distilled,
    shared: Parameters | None,
    step: Step,
) -> Reader:
    """Takes the statistics of these windows; a head's take no time, and are not kept."""
    read: Reader = reader_of(people, workshop.problem, record, distilled, workshop.seed, shared)
    if workshop.folder is not None and workshop.problem.features is None:
        windows = people.measured
        seen = windows.pixels.tobytes() + windows.labels.tobytes()
        about = workshop.about + hashlib.sha256(seen).digest()
        read = KeptReader(read, workshop.folder, about, len(windows))

    def counted(own: Distilled) -> Trace:
        trace = read(own)
        step()
        return trace

    return counted
