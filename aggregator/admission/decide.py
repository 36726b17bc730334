"""From what nodes handed over to the bundles of a round: verified, judged, admitted, recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flwr.serverapp import Grid

from aggregator.admission.collected import Collected
from aggregator.admission.plausibility import CountedBy, Screening, plausibility, quarantine
from aggregator.admission.utility import Reference, reference_of
from aggregator.admission.verify import admit
from aggregator.flower.counting import count_films
from aggregator.flower.order import Order
from aggregator.refusals import Refusal
from aggregator.trust.bundle_history import (
    ADMIT,
    QUARANTINE,
    REFUSE,
    accepted,
    quarantined,
    signed_with,
)
from aggregator.trust.key_history import ending
from aggregator.trust.keys import Trust, load_trust
from aggregator.trust.withdrawals import take_in
from aggregator.verified import Verified, digests
from gdshare.cohort import Cohort
from gdshare.errors import FederationError
from gdshare.ledger import Entry, Ledger, in_one_line, open_ledger, read_ledger
from gdshare.model import Model
from gdshare.protocol import Protocol

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Gathered:
    """What the nodes handed over, sorted.

    Attributes:
        handed: all of it.
        silent: nodes that did not answer.
        admitted: bundles of the round.
        refusals: of nodes, withdrawals and bundles, quarantined ones included.
        plausible: what is known of each sound bundle, by its site.
    """

    handed: Collected
    silent: Sequence[int]
    admitted: Sequence[Verified]
    refusals: Sequence[Refusal]
    plausible: Mapping[str, Screening]


def verify(
    order: Order, handed: Collected, now: datetime, tell: Tell
) -> tuple[list[Verified], list[Refusal]]:
    """Record what hospitals withdraw, then what is refused, before anything is judged.

    Returns:
        sound bundles, and everything that is refused.

    Raises:
        LedgerError: the ledger was altered or cut short, or cannot be written.
    """
    trust = load_trust(order.trust)
    with open_ledger(order.ledger) as ledger:
        refused = take_in(handed.withdrawals, trust, ledger, now, order.operator, tell)
        sound, unsound = _sound(order, handed, now, tuple(ledger.entries))
        refused += unsound
        for refusal in refused:
            _write_refusal(ledger, order, now, refusal)
        _warn_of_ends(trust, ledger.entries, now, tell)
    return sound, refused


def judge(
    grid: Grid,
    order: Order,
    sound: Sequence[Verified],
    reference: Cohort | None,
    tell: Tell,
) -> dict[str, Screening]:
    """Find out what is known of each sound bundle's plausibility; site -> that.

    Args:
        grid: Flower's way to the nodes, which are asked to count where there is no reference.
        order: of the round.
        sound: bundles that passed every rule.
        reference: the operator's own labelled cohort.
        tell: told who is quarantined.

    Raises:
        UsageError: the reference was cut by another protocol.
    """
    entries = read_ledger(order.ledger)
    if not sound:
        return {}

    silent: set[str] = set()

    def ask_sites(model: Model, sites: Sequence[str]) -> CountedBy:
        """Whoever has not counted once is not waited for again, for the next bundle."""
        asked = [one for one in sound if one.site in sites and one.site not in silent]
        counts = count_films(grid, asked, model, None, order.timeout).counts
        silent.update(one.site for one in asked if one.site not in counts)
        return counts

    protocol = sound[0].bundle.manifest.protocol
    shown = None if reference is None else _reference(reference, protocol, order.seed)
    found = plausibility(
        sound, order.seed, shown, ask_sites, accepted(entries), frozenset(quarantined(entries))
    )
    kept = [site for site, one in found.items() if one.quarantined]
    tell(f"quarantined {', '.join(kept) or 'none'} of {len(found)} sound bundles")
    return found


def _reference(cohort: Cohort, protocol: Protocol, seed: int) -> Reference:
    protocol.require_same(cohort.protocol, f"the reference {cohort.path}")
    return reference_of(cohort, seed)


def _sound(
    order: Order, handed: Collected, now: datetime, entries: Sequence[Entry]
) -> tuple[list[Verified], list[Refusal]]:
    in_step = order.pooling == "in-step"
    trust = load_trust(order.trust)
    return admit(handed.bundles, trust, now, same_steps=in_step, entries=entries, name=order.name)


def admit_judged(
    order: Order,
    handed: Collected,
    silent: Sequence[int],
    refused: Sequence[Refusal],
    judged: Mapping[str, Screening],
    now: datetime,
) -> Gathered:
    """Verify anew and record. Judging takes minutes; meanwhile others may have admitted bundles.

    Args:
        order: of the round.
        handed: what nodes handed over.
        silent: nodes that did not answer.
        refused: what ``verify`` refused, which is in the ledger already.
        judged: what ``judge`` found.
        now: the aggregator's clock, UTC.

    Raises:
        FederationError: other bundles are sound now than those that were judged.
        LedgerError: the ledger cannot be written; nothing is admitted.
    """
    # Nobody else admits anything between what is read of the ledger and what is added to it.
    with open_ledger(order.ledger) as ledger:
        sound, unsound = _sound(order, handed, now, tuple(ledger.entries))
        since = [one for one in unsound if one not in refused]
        for refusal in since:
            _write_refusal(ledger, order, now, refusal)
        if digests(sound) != {site: one.digest for site, one in judged.items()}:
            raise FederationError(
                "whose bundles are good was changed by somebody else during this round",
                remedy="start again",
            )
        held = [one for one in sound if judged[one.site].quarantined]
        admitted = [one for one in sound if not judged[one.site].quarantined]
        for one in admitted:
            manifest = one.bundle.manifest
            why = signed_with(one.key)
            ledger.write(now, ADMIT, order.operator, manifest.name, one.bundle.digest, why)
        aside = [quarantine(one, judged[one.site]) for one in held]
        for one, refusal in zip(held, aside, strict=True):
            why = in_one_line(f"{signed_with(one.key)}: {refusal.message}")
            ledger.write(now, QUARANTINE, order.operator, str(refusal.name), refusal.digest, why)
    return Gathered(handed, silent, admitted, [*refused, *since, *aside, *handed.refusals], judged)


def _write_refusal(ledger: Ledger, order: Order, now: datetime, refusal: Refusal) -> None:
    what = refusal.name or refusal.site or f"node {refusal.node}"
    why = in_one_line(f"{refusal.reason}: {refusal.message}")
    ledger.write(now, REFUSE, order.operator, what, refusal.digest, why)


def _warn_of_ends(trust: Trust, entries: Sequence[Entry], now: datetime, tell: Tell) -> None:
    for site, end in ending(trust.keys, entries, now).items():
        tell(
            f"the last key of {site} {'ended' if now >= end else 'ends'} on {end:%Y-%m-%d}: ask it "
            "for a new one (gdshare keys rotate)"
        )
