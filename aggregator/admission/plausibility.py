"""Which sound bundles are quarantined because what they teach is implausible.

Each bundle trains a few networks alone, from θ0 that all bundles share. It is quarantined when

1. its networks leave the range of numbers;
2. its update is an outlier among its peers' (``agreement``);
3. its networks do not beat chance (``utility``) on the operator's reference or, without a
   reference, on the validation films that the other hospitals count.

What cannot be tested is reported as untested and is no fault. A person may accept a digest in spite
of its figures (``gdshare trust accept``); the figures are reported all the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from aggregator.admission.agreement import LIMITS, Agreement, agreements, compare
from aggregator.admission.utility import (
    Asked,
    Ranking,
    Reference,
    Utility,
    ranking_of_answer,
    ranking_on,
    utility_of,
)
from aggregator.flower.counting import Trained
from aggregator.refusals import Refusal
from aggregator.verified import Verified
from gdshare.contributions import contribution_of
from gdshare.messages import Counts
from gdshare.model import Model
from gdshare.pooling import Alone, train_alone
from gdshare.progress import lines
from gdshare.seeding import derived_seed, numpy_generator

log = logging.getLogger(__name__)

NETWORKS = 3
"""Trained from each bundle alone. Hospitals count with the first only: it costs them time."""

QUARANTINED = "Quarantined"

CountsBySite = Mapping[str, Counts]
"""Site -> its counts of validation films, at every threshold."""
AskSites = Callable[[Trained, Sequence[str]], CountsBySite]
"""Have these sites count their validation films with a model; the result holds those that did."""


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
    ask: AskSites,
    accepted: frozenset[str],
    quarantined: frozenset[str] = frozenset(),
) -> dict[str, Screening]:
    """Screen verified bundles that fit one another.

    Args:
        bundles: of one protocol, network and trained part; not empty.
        seed: of the round.
        reference: labelled patches of the operator, cut by the same protocol.
        ask: called only without a reference.
        accepted: digests that a person accepted.
        quarantined: digests that an earlier round quarantined. They stay so until accepted,
            whatever other peers or films would give now.

    Returns:
        site -> screening.
    """
    protocol = bundles[0].bundle.manifest.protocol
    theta0_seed = derived_seed(seed, "plausibility")
    networks: dict[str, Sequence[Alone]] = {}
    with lines("training networks from each bundle alone", log.info) as report:
        for bundle in bundles:
            contribution = contribution_of(bundle.bundle)
            networks[bundle.site] = train_alone(contribution, protocol, theta0_seed, NETWORKS)
            report(len(networks), len(bundles))
    screenings = _compared(bundles, networks)
    faultless = [site for site, screening in screenings.items() if not screening.faults]
    for number, bundle in enumerate(bundles):
        site = bundle.site
        if screenings[site].faults and reference is None:
            continue  # quarantined as it is: spare the hospitals the counting
        if not _finite(networks[site]):
            continue
        peers = [other for other in faultless if other != site]
        lone = _lone(bundle, networks[site], theta0_seed)
        rankings = _rankings(lone, networks[site], reference, ask, peers)
        generator = numpy_generator(seed, "plausibility-deals", number)
        asked: Asked = "validation films" if reference is None else "reference patients"
        screenings[site] = _with_utility(screenings[site], utility_of(asked, rankings, generator))
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


def _compared(
    bundles: Sequence[Verified], networks: Mapping[str, Sequence[Alone]]
) -> dict[str, Screening]:
    """Screenings without utility, which takes films."""
    finite = [bundle.site for bundle in bundles if _finite(networks[bundle.site])]
    method = bundles[0].bundle.manifest.method
    limits = LIMITS.get((method.network, method.train))
    figures = agreements(compare([networks[site] for site in finite]), limits) if finite else []
    by_site = dict(zip(finite, figures, strict=True))
    screenings = {}
    for bundle in bundles:
        agreement = by_site.get(bundle.site)
        faults = agreement.faults if agreement else ()
        if bundle.site not in by_site:
            faults = ("training on it alone leaves the range of numbers",)
        screenings[bundle.site] = Screening(bundle.bundle.digest, agreement, None, faults)
    return screenings


def _lone(bundle: Verified, networks: Sequence[Alone], seed: int) -> Trained:
    """The first network of a bundle, as others train it: the average of one bundle is its own."""
    manifest = bundle.bundle.manifest
    model = Model(manifest.method.network, manifest.protocol, (networks[0].end,))
    return Trained(model, [bundle], "average", seed, 1)


def _rankings(
    lone: Trained,
    networks: Sequence[Alone],
    reference: Reference | None,
    ask: AskSites,
    peers: Sequence[str],
) -> list[Ranking]:
    """Patients or films, place by place, as the bundle's own networks rank them."""
    if reference is not None:
        ensemble = tuple(alone.end for alone in networks)
        return [ranking_on(reference, replace(lone.model, ensemble=ensemble))]
    if not peers:
        return []
    counts_by_site = ask(lone, peers)
    rankings = [ranking_of_answer(counts) for _, counts in sorted(counts_by_site.items())]
    return [ranking for ranking in rankings if ranking is not None]


def _with_utility(screening: Screening, result: Utility | None) -> Screening:
    if result is None or not result.tested or result.beats_chance:
        return replace(screening, utility=result)
    fault = (
        f"networks trained from it alone do not beat chance on {result.positives} positive and "
        f"{result.negatives} negative {result.asked} (AUC {result.auc:.2f}, p = {result.p:.3f})"
    )
    return replace(screening, utility=result, faults=(*screening.faults, fault))


def _finite(networks: Sequence[Alone]) -> bool:
    return all(network.finite for network in networks)
