"""Which sound bundles are quarantined because what they teach is implausible.

Each bundle trains a few networks alone, from θ0 that all bundles share. It is quarantined when

1. its networks leave the range of numbers;
2. its update is an outlier among its peers' (``agreement``);
3. its networks do not beat chance (``utility``) on the operator's reference or, without a
   reference, on the validation films that about ten other hospitals count (``judges``).

One θ0 at a time, one bundle after the other, and no network is kept: memory grows with the bundles,
and not with the network times the bundles.

What cannot be tested is reported as untested and is no fault. A person may accept a digest in spite
of its figures (``gdshare trust accept``); the figures are reported all the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aggregator.admission.agreement import (
    LIMITS,
    Agreement,
    Compared,
    agreements,
    mean_compared,
)
from aggregator.admission.judges import drawn_judges, purpose_for
from aggregator.admission.updates import Updates
from aggregator.admission.utility import (
    Asked,
    Ranking,
    Reference,
    Utility,
    ranking_of_answer,
    ranking_of_votes,
    utility_of,
    votes_on,
)
from aggregator.flower.counting import Trained
from aggregator.refusals import Refusal
from aggregator.verified import Verified
from gdshare.contributions import contribution_of
from gdshare.messages import Counts
from gdshare.model import Model
from gdshare.networks import Parameters
from gdshare.pooling import TrainedWhenRead, shared_starts
from gdshare.progress import lines
from gdshare.seeding import derived_seed, numpy_generator

log = logging.getLogger(__name__)

NETWORKS = 3
"""Trained from each bundle alone. Hospitals count with the first only: it costs them time."""

QUARANTINED = "Quarantined"

CountsBySite = Mapping[str, Counts]
"""Site -> its counts of validation films, at every threshold."""
Questions = Mapping[str, tuple[Trained, Sequence[str]]]
"""Site -> the network that its bundle teaches alone, and the sites that judge it."""
AskAll = Callable[[Questions], Mapping[str, CountsBySite]]
"""Have judges count their validation films, for all bundles together: site -> counts by judge,
of those that answered; a site may be missing."""


@dataclass(frozen=True)
class Screening:
    """What was measured of one bundle's plausibility.

    Attributes:
        digest: of the bundle.
        agreement: with its peers; None without peers.
        utility: on films its networks have not seen; None without films of both diagnoses.
        faults: in words; why it is quarantined.
        accepted: by a person, in spite of these; the ledger's entry says why.
    """

    digest: str
    agreement: Agreement | None
    utility: Annotated[Utility | None, Field(serialization_alias="teaching")]  # as in round.json
    faults: tuple[str, ...]
    accepted: bool = False

    @property
    def quarantined(self) -> bool:
        """Whether the bundle stays out."""
        return bool(self.faults) and not self.accepted


def screen(
    bundles: Sequence[Verified],
    seed: int,
    reference: Reference | None,
    ask_all: AskAll,
    accepted: frozenset[str],
    quarantined: frozenset[str] = frozenset(),
    shared: Parameters | None = None,
) -> dict[str, Screening]:
    """Screen verified bundles that fit one another.

    Args:
        bundles: of one protocol, network and trained part; not empty.
        seed: of the round.
        reference: labelled patches of the operator, cut by the same protocol.
        ask_all: called once at most, and only without a reference.
        accepted: digests that a person accepted.
        quarantined: digests that an earlier round quarantined. They stay so until accepted,
            whatever other peers or films would give now.
        shared: the weights of the shared model that all were distilled for, if they were.

    Returns:
        site -> screening.
    """
    figures = _measure(bundles, seed, reference, shared)
    screenings = _without_utility(bundles, figures)
    asked: Asked = "validation films" if reference is None else "reference patients"
    rankings = (
        figures.rankings
        if reference is not None
        else _counted(bundles, screenings, seed, ask_all, shared)
    )
    for number, bundle in enumerate(bundles):
        site = bundle.site
        if site in rankings:
            generator = numpy_generator(seed, "plausibility-deals", number)
            result = utility_of(asked, rankings[site], generator)
            screenings[site] = _with_utility(screenings[site], result)
    for site, screening in screenings.items():
        if screening.digest in quarantined and not screening.faults:
            fault = "it was quarantined in an earlier round"
            screenings[site] = replace(screening, faults=(fault,))
    return {
        site: replace(screening, accepted=screening.digest in accepted)
        for site, screening in screenings.items()
    }


def quarantine(bundle: Verified, screening: Screening) -> Refusal:
    """Refuse a bundle for its figures."""
    digest = bundle.bundle.digest
    message = (
        f"{'; '.join(screening.faults)}. Ask {bundle.site} how it was made; if that explains it, "
        f"gdshare trust accept {digest[:16]} --why ... --trust ... lets it in"
    )
    return Refusal(bundle.node, bundle.site, QUARANTINED, message, digest, bundle.name)


@dataclass(frozen=True)
class _Figures:
    """What the networks of all bundles give.

    Attributes:
        finite: for each bundle, whether all of its networks are.
        compared: all bundles; the figures of one that is not finite mean nothing.
        rankings: site -> how its networks rank the reference's patients; empty without one.
    """

    finite: npt.NDArray[np.bool_]
    compared: Compared
    rankings: Mapping[str, Sequence[Ranking]]


def _measure(
    bundles: Sequence[Verified], seed: int, reference: Reference | None, shared: Parameters | None
) -> _Figures:
    """Train networks from each bundle alone, and keep of each what is compared."""
    manifest = bundles[0].bundle.manifest
    contributions = [contribution_of(bundle.bundle, shared) for bundle in bundles]
    starts = shared_starts(contributions[0], manifest.protocol, _theta0_seed(seed), NETWORKS)
    count = NETWORKS if manifest.theta0_sha256 is None else 1
    finite, figures = np.ones(len(bundles), np.bool_), []
    votes: dict[str, npt.NDArray[np.int64]] = {}
    with lines("training networks from each bundle alone", log.info) as report:
        for place, start in enumerate(starts):
            purpose = purpose_for("update-sketch", bundles)
            updates = Updates(len(bundles), numpy_generator(seed, purpose, place))
            for number, part in enumerate(contributions):
                network = start.train(part)
                finite[number] &= network.finite
                if finite[number]:
                    updates.put(number, network)
                if finite[number] and reference is not None:
                    called = votes_on(reference, start.module, network.end)
                    votes[part.site] = votes.get(part.site, 0) + called
                report(place * len(bundles) + number + 1, count * len(bundles))
            figures.append(updates.compared())
    rankings = {
        bundle.site: [ranking_of_votes(votes[bundle.site], reference.positive)]
        for bundle, sound in zip(bundles, finite, strict=True)
        if reference is not None and sound
    }
    return _Figures(finite, mean_compared(figures), rankings)


def _without_utility(bundles: Sequence[Verified], figures: _Figures) -> dict[str, Screening]:
    """Screenings by the comparison alone; utility takes films."""
    method = bundles[0].bundle.manifest.method
    limits = LIMITS.get((method.network, method.train))
    rows = np.flatnonzero(figures.finite)
    compared = agreements(figures.compared.among(rows), limits)
    by_bundle = dict(zip(rows.tolist(), compared, strict=True))
    screenings = {}
    for number, bundle in enumerate(bundles):
        agreement = by_bundle.get(number)
        faults = agreement.faults if agreement else ()
        if number not in by_bundle:
            faults = ("training on it alone leaves the range of numbers",)
        screenings[bundle.site] = Screening(bundle.bundle.digest, agreement, None, faults)
    return screenings


def _counted(
    bundles: Sequence[Verified],
    screenings: Mapping[str, Screening],
    seed: int,
    ask_all: AskAll,
    shared: Parameters | None,
) -> dict[str, Sequence[Ranking]]:
    """Films as each faultless bundle's network ranks them, place by place; all asked at once.

    A bundle with faults is quarantined as it is, and its hospital judges no other.
    """
    faultless = [bundle for bundle in bundles if not screenings[bundle.site].faults]
    judges = drawn_judges(faultless, seed)
    questions = {
        bundle.site: (_lone(bundle, _theta0_seed(seed), shared), judges[bundle.site])
        for bundle in faultless
        if judges[bundle.site]
    }
    counts_by_site = ask_all(questions) if questions else {}
    rankings: dict[str, Sequence[Ranking]] = {}
    for site in questions:
        counts = sorted(counts_by_site.get(site, {}).items())
        ranked = [ranking_of_answer(answer) for _, answer in counts]
        rankings[site] = [ranking for ranking in ranked if ranking is not None]
    return rankings


def _theta0_seed(seed: int) -> int:
    return derived_seed(seed, "plausibility")


def _lone(bundle: Verified, seed: int, shared: Parameters | None) -> Trained:
    """The first network of a bundle, as others train it: the average of one bundle is its own."""
    manifest = bundle.bundle.manifest
    ensemble = TrainedWhenRead(contribution_of(bundle.bundle, shared), manifest.protocol, seed)
    model = Model(manifest.method.network, manifest.protocol, ensemble)
    return Trained(model, [bundle], "average", seed, 1)


def _with_utility(screening: Screening, result: Utility | None) -> Screening:
    if result is None or not result.tested or result.beats_chance:
        return replace(screening, utility=result)
    fault = (
        f"networks trained from it alone do not beat chance on {result.positives} positive and "
        f"{result.negatives} negative {result.asked} (AUC {result.auc:.2f}, p = {result.p:.3f})"
    )
    return replace(screening, utility=result, faults=(*screening.faults, fault))
