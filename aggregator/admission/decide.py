"""From what the nodes sent to the bundles of a round; each decision is recorded in the ledger.

``verify_and_record`` comes first, ``assess`` measures the sound bundles, ``decide`` admits. The
bytes are verified once; the rules that depend on the trust list and the ledger are applied again by
``decide``, since measuring takes minutes and others may write to both meanwhile.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.admission.collected import Collected
from aggregator.admission.plausibility import (
    CountsBySite,
    Questions,
    Screening,
    quarantine,
    screen,
)
from aggregator.admission.rules import Rules
from aggregator.admission.start import RoundStart
from aggregator.admission.utility import Reference, reference_of
from aggregator.admission.verify import verify_bytes
from aggregator.flower.counting import Task, count_films
from aggregator.flower.exchange import Exchange
from aggregator.flower.order import Order
from aggregator.refusals import Refusal
from aggregator.trust.bundle_history import (
    ADMIT,
    QUARANTINE,
    REFUSE,
    accepted_digests,
    quarantined_digests,
    signed_with,
)
from aggregator.trust.withdrawals import record_withdrawals
from aggregator.verified import Verified, digests
from gdshare.cohort import Cohort
from gdshare.errors import FederationError
from gdshare.ledger import Entry, Ledger, in_one_line, open_ledger, read_ledger
from gdshare.protocol import Protocol
from gdshare.trust.key_history import expiring_sites
from gdshare.trust.keys import Trust, load_trust

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """What the nodes sent, before anything is measured.

    Attributes:
        collected: all of it.
        verified: bundles whose bytes and signature are good.
        sound: those among them that pass every rule.
        refusals: of withdrawals and bundles, recorded in the ledger.
    """

    collected: Collected
    verified: Sequence[Verified]
    sound: Sequence[Verified]
    refusals: Sequence[Refusal]


@dataclass(frozen=True)
class Decision:
    """Which bundles are admitted.

    Attributes:
        admitted: bundles of the round.
        refusals: of nodes, withdrawals and bundles, quarantined ones included.
    """

    admitted: Sequence[Verified]
    refusals: Sequence[Refusal]


def verify_and_record(
    order: Order,
    collected: Collected,
    now: datetime,
    since: int,
    start: RoundStart | None = None,
) -> Checked:
    """Record the hospitals' withdrawals, then verify the bundles and record what is refused.

    Args:
        order: of the round.
        collected: what nodes sent.
        now: the aggregator's clock, UTC.
        since: the ledger's last line when the round began; what it says since is not said again.
        start: the θ0 that was announced for the round; None: none was.

    Raises:
        LedgerError: the ledger was altered or cut short, or cannot be written.
    """
    trust = load_trust(order.trust)
    verified, unverified = verify_bytes(collected.bundles, trust, now)
    with open_ledger(order.ledger) as ledger:
        refusals = record_withdrawals(collected.withdrawals, trust, ledger, now, order.operator)
        sound, ruled_out = Rules(order, trust, ledger.entries, now, start).check(verified)
        refusals += [*unverified, *ruled_out]
        for refusal in refusals:
            _record_refusal(ledger, order, now, since, refusal)
        _warn_of_ends(trust, ledger.entries, now)
    return Checked(collected, verified, sound, refusals)


def assess(
    exchange: Exchange,
    order: Order,
    sound: Sequence[Verified],
    reference: Cohort | None,
    start: RoundStart | None = None,
) -> dict[str, Screening]:
    """Measure how plausible each sound bundle is.

    Args:
        exchange: the way to the nodes, which count films if there is no reference.
        order: of the round.
        sound: bundles that pass every rule.
        reference: the operator's own labelled cohort.
        start: as for ``verify_and_record``.

    Returns:
        site -> screening.

    Raises:
        UsageError: the reference was cut by another protocol.
    """
    entries = read_ledger(order.ledger)
    if not sound:
        return {}

    by_site = {bundle.site: bundle for bundle in sound}

    def ask_all(questions: Questions) -> dict[str, CountsBySite]:
        """All bundles' networks in one batch."""
        log.info("measuring what each of %d bundles teaches alone", len(questions))
        tasks = [
            Task(by_site[site].name, lone, [by_site[judge] for judge in judges])
            for site, (lone, judges) in questions.items()
        ]
        counted = count_films(exchange, tasks)
        return {site: each.counts for site, each in zip(questions, counted, strict=True)}

    protocol = sound[0].bundle.manifest.protocol
    screenings = screen(
        sound,
        order.seed,
        None if reference is None else _reference(reference, protocol, order.seed),
        ask_all,
        accepted_digests(entries),
        frozenset(quarantined_digests(entries)),
        None if start is None else start.shared,
    )
    quarantined = [site for site, screening in screenings.items() if screening.quarantined]
    log.info(
        "quarantined %s of %d sound bundles", ", ".join(quarantined) or "none", len(screenings)
    )
    return screenings


def _reference(cohort: Cohort, protocol: Protocol, seed: int) -> Reference:
    protocol.require_same(cohort.protocol, f"the reference {cohort.path}")
    return reference_of(cohort, seed)


def decide(
    order: Order,
    checked: Checked,
    screenings: Mapping[str, Screening],
    now: datetime,
    since: int,
    start: RoundStart | None = None,
) -> Decision:
    """Apply the rules again, then admit or quarantine each sound bundle and record it.

    A key that was added to the trust list meanwhile counts from the next round on.

    Args:
        order: of the round.
        checked: what ``verify_and_record`` returned; its refusals are in the ledger already.
        screenings: what ``assess`` returned.
        now: the aggregator's clock, UTC.
        since, start: as for ``verify_and_record``.

    Raises:
        FederationError: other bundles are sound now than those that were measured.
        LedgerError: the ledger cannot be written; nothing is admitted.
    """
    # Locked from reading to writing, so that nobody else admits anything in between.
    with open_ledger(order.ledger) as ledger:
        rules = Rules(order, load_trust(order.trust), ledger.entries, now, start)
        sound, ruled_out = rules.check(checked.verified)
        new = [refusal for refusal in ruled_out if refusal not in checked.refusals]
        for refusal in new:
            _record_refusal(ledger, order, now, since, refusal)
        measured = {site: screening.digest for site, screening in screenings.items()}
        if digests(sound) != measured:
            raise FederationError(
                "the trust list or the ledger changed, or a bundle expired, during the round",
                remedy="start again",
            )
        quarantined = [bundle for bundle in sound if screenings[bundle.site].quarantined]
        admitted = [bundle for bundle in sound if not screenings[bundle.site].quarantined]
        for bundle in admitted:
            _record(ledger, order, now, since, ADMIT, bundle, signed_with(bundle.key))
        held_back = [quarantine(bundle, screenings[bundle.site]) for bundle in quarantined]
        for bundle, refusal in zip(quarantined, held_back, strict=True):
            why = f"{signed_with(bundle.key)}: {refusal.message}"
            _record(ledger, order, now, since, QUARANTINE, bundle, why)
    refusals = [*checked.refusals, *new, *held_back, *checked.collected.refusals]
    return Decision(admitted, refusals)


def _record(
    ledger: Ledger, order: Order, now: datetime, since: int, act: str, bundle: Verified, why: str
) -> None:
    what, digest = bundle.name, bundle.bundle.digest
    ledger.write_once(since, now, act, order.operator, what, digest, in_one_line(why))


def _record_refusal(
    ledger: Ledger, order: Order, now: datetime, since: int, refusal: Refusal
) -> None:
    what = refusal.name or refusal.site or f"node {refusal.node}"
    why = in_one_line(f"{refusal.reason}: {refusal.message}")
    ledger.write_once(since, now, REFUSE, order.operator, what, refusal.digest, why)


def _warn_of_ends(trust: Trust, entries: Sequence[Entry], now: datetime) -> None:
    for site, end in expiring_sites(trust.keys, entries, now).items():
        log.warning(
            "the last key of %s %s on %s: ask it for a new one (gdshare keys rotate)",
            site,
            "ended" if now >= end else "ends",
            f"{end:%Y-%m-%d}",
        )
