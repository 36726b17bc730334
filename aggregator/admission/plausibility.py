"""Which sound bundles are set aside because what they teach is not plausible.

Each bundle trains a few networks alone, from θ0 that all bundles share. It is quarantined when

1. its networks leave the range of numbers;
2. its update is an outlier among its peers' (``agreement``);
3. its networks do not beat chance (``utility``) on the operator's reference, or without
   one on what the other hospitals count of their validation films.

What cannot be tested is said to be so, and condemns nobody. A person may accept a digest in spite
of its figures (``gdshare trust accept``); they are told all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aggregator.admission.agreement import LIMITS, Agreement, agreements, compare
from aggregator.admission.utility import (
    Asked,
    Ranking,
    Reference,
    Utility,
    ranking_of_counts,
    ranking_on,
    teaching,
)
from aggregator.refusals import Refusal
from aggregator.verified import Verified
from gdshare.metrics import Confusion
from gdshare.model import Model
from gdshare.pooling import Alone, Contribution, contribution_from, train_alone
from gdshare.protocol import Protocol
from gdshare.seeding import derived_seed, numpy_generator

NETWORKS = 3
"""Trained from each bundle alone. Hospitals count for the first only: it costs them time."""

QUARANTINED = "Quarantined"

CountedBy = Mapping[str, Sequence[Confusion]]
"""Site -> its counts of validation films, at every threshold."""
AskSites = Callable[[Model, Sequence[str]], CountedBy]
"""Have these sites count their validation films by a model; those that answer are in the result."""


@dataclass(frozen=True)
class Screening:
    """What is known of one bundle's plausibility.

    Attributes:
        digest: of the bundle.
        agreement: with its peers; None where it has none.
        teaching: on films it has not seen; None where no film of both diagnoses was at hand.
        faults: in words; why it is quarantined.
        accepted: in spite of these, by a person; the act in the ledger says why.
    """

    digest: str
    agreement: Agreement | None
    teaching: Utility | None
    faults: tuple[str, ...]
    accepted: bool = False

    @property
    def quarantined(self) -> bool:
        """Whether the bundle is kept out."""
        return bool(self.faults) and not self.accepted


def contribution_of(one: Verified) -> Contribution:
    """What a verified bundle brings to a training."""
    manifest = one.bundle.manifest
    patients = manifest.counts.patients_at_least
    return contribution_from(manifest.site, one.bundle.distilled, manifest, patients)


def plausibility(
    bundles: Sequence[Verified],
    seed: int,
    reference: Reference | None,
    ask: AskSites,
    accepted: frozenset[str],
    held: frozenset[str] = frozenset(),
) -> dict[str, Screening]:
    """Judge verified bundles that fit one another; site -> what is known.

    Args:
        bundles: of one protocol and network; not empty.
        seed: of the round.
        reference: labelled patches of the operator, cut by the same protocol.
        ask: is not called where there is a reference.
        accepted: digests that a person accepted.
        held: digests that were quarantined in another round: they stay so until accepted, whatever
            other peers or films say of them now.
    """
    protocol = bundles[0].bundle.manifest.protocol
    alone = {
        one.site: train_alone(
            contribution_of(one), protocol, derived_seed(seed, "plausibility"), NETWORKS
        )
        for one in bundles
    }
    found = _compared(bundles, alone)
    trusted = [site for site, one in found.items() if not one.faults]
    for number, one in enumerate(bundles):
        if found[one.site].faults and reference is None:
            continue  # known to be bad enough; why cost the hospitals their time?
        if not _finite(alone[one.site]):
            continue
        judges = [site for site in trusted if site != one.site]
        places = _shown(one, alone[one.site], protocol, reference, ask, judges)
        generator = numpy_generator(seed, "plausibility-deals", number)
        asked: Asked = "validation films" if reference is None else "reference patients"
        found[one.site] = _with_teaching(found[one.site], teaching(asked, places, generator))
    for site, known in found.items():
        if known.digest in held and not known.faults:
            found[site] = replace(known, faults=("it was quarantined in an earlier round",))
    return {site: replace(one, accepted=one.digest in accepted) for site, one in found.items()}


def quarantine(one: Verified, found: Screening) -> Refusal:
    """Keep a bundle out, with its figures."""
    message = (
        f"{'; '.join(found.faults)}. Ask {one.site} how it was made; if that explains it, "
        f"gdshare trust accept {one.bundle.digest[:16]} --why ... --trust ... lets it in"
    )
    name = one.bundle.manifest.name
    return Refusal(one.node, one.site, QUARANTINED, message, one.bundle.digest, name)


def _compared(
    bundles: Sequence[Verified], alone: Mapping[str, Sequence[Alone]]
) -> dict[str, Screening]:
    """Everything but what it takes films to know."""
    finite = [one for one in bundles if _finite(alone[one.site])]
    limits = LIMITS.get(bundles[0].bundle.manifest.method.network)
    judged = agreements(compare([alone[one.site] for one in finite]), limits) if finite else []
    agreed = {one.site: figures for one, figures in zip(finite, judged, strict=True)}
    found = {}
    for one in bundles:
        agreement = agreed.get(one.site)
        faults = agreement.faults if agreement else ()
        if one.site not in agreed:
            faults = ("training on it alone leaves the range of numbers",)
        found[one.site] = Screening(one.bundle.digest, agreement, None, faults)
    return found


def _shown(
    one: Verified,
    networks: Sequence[Alone],
    protocol: Protocol,
    reference: Reference | None,
    ask: AskSites,
    judges: Sequence[str],
) -> list[Ranking]:
    """Films as the bundle's own networks rank them."""
    network = one.bundle.manifest.method.network
    if reference is not None:
        ends = tuple(each.end for each in networks)
        return [ranking_on(reference, Model(network, protocol, ends))]
    if not judges:
        return []
    counted = ask(Model(network, protocol, (networks[0].end,)), judges)
    return [ranking_of_counts(counts) for _, counts in sorted(counted.items())]


def _with_teaching(before: Screening, taught: Utility | None) -> Screening:
    if taught is None or not taught.tested or taught.beats_chance:
        return replace(before, teaching=taught)
    fault = (
        f"networks trained from it alone do not beat chance on {taught.positives} positive and "
        f"{taught.negatives} negative {taught.asked} (AUC {taught.auc:.2f}, p = {taught.p:.3f})"
    )
    return replace(before, teaching=taught, faults=(*before.faults, fault))


def _finite(networks: Sequence[Alone]) -> bool:
    return all(one.finite for one in networks)
