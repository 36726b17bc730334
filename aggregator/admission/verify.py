"""Which of the collected bundles may enter the round. Nothing else reads a bundle before this.

``verify_bytes`` runs once per bundle: size, names, signature, key, content and freshness, all by
``gdshare.bundle.verify_files``. Its result depends on the bytes, the trust list and the round's
clock only.

``check_rules`` runs before the bundles are measured and again afterwards, because the trust list
and the ledger may change in between. The rules, in this order:

1. the key is on the trust list, neither revoked nor ended, or the bundle was admitted before;
2. the hospital has not withdrawn the bundle;
3. it is not older than the site's newest, nor a second content under that number;
4. it is not a second content under the number of a quarantined bundle;
5. no other node sent a bundle of the same site;
6. it names no recipients, or this aggregator among them;
7. it fits the round: θ0, network, patch protocol and, in step, the number of steps.

A refused bundle is left out before the next rule, so that a replayed one evicts nobody. Each
refusal has the name of its reason; the other bundles go on.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.flower.order import Order
from aggregator.refusals import (
    KEY_REFUSALS,
    DoesNotFit,
    Equivocation,
    ExpiredKey,
    NotForMe,
    Refusal,
    RevokedKey,
    Rollback,
    SiteTwice,
    UnknownSite,
    Withdrawn,
)
from aggregator.trust.bundle_history import (
    Newest,
    admitted_digests,
    newest_bundles,
    quarantined_contents,
    withdrawn_bundles,
)
from aggregator.trust.key_history import key_ends, revoked_keys
from aggregator.trust.keys import Trust
from aggregator.verified import Verified
from gdshare.bundle import Manifest, verify_files
from gdshare.distill.problem import fixed_theta0
from gdshare.errors import BundleError, GdshareError
from gdshare.ledger import Entry
from gdshare.networks import INITIALISERS, build, digest
from gdshare.signing.errors import WrongKey


def verify_bytes(
    bundles: Mapping[int, Mapping[str, bytes]], trust: Trust, now: datetime
) -> tuple[list[Verified], list[Refusal]]:
    """Verify what strangers sent, each bundle with the one key that its signature names.

    Args:
        bundles: node -> file name -> content.
        trust: the keys of the hospitals.
        now: the aggregator's clock, UTC.

    Returns:
        verified bundles and refusals, both by node.
    """
    verified: list[Verified] = []
    refusals: list[Refusal] = []
    for node, files in sorted(bundles.items()):
        try:
            verified.append(_verify(node, files, trust, now))
        except BundleError as error:
            refusals.append(Refusal(node, None, type(error).__name__, str(error)))
    return verified, refusals


def _verify(node: int, files: Mapping[str, bytes], trust: Trust, now: datetime) -> Verified:
    """Try each key in turn; every wrong key is refused before anything is parsed."""
    for trusted in trust.keys:
        try:
            bundle = verify_files(files, trusted.key, now, trusted.site)
        except WrongKey:
            continue
        return Verified(node, bundle, trusted.fingerprint)
    raise UnknownSite(
        "signed with a key that is not on the trust list", remedy="ask the hospital for its .pub"
    )


def check_rules(
    verified: Sequence[Verified],
    order: Order,
    trust: Trust,
    entries: Sequence[Entry],
    now: datetime,
) -> tuple[list[Verified], list[Refusal]]:
    """Sort verified bundles into sound and refused, by the rules of this module's docstring.

    Args:
        verified: one bundle per node.
        order: of the round.
        trust: the keys of the hospitals, as they are now.
        entries: of the aggregator's ledger, as it is now.
        now: the aggregator's clock, UTC.

    Returns:
        sound bundles by site, and refusals in the order of the rules.
    """
    facts = _facts(order, trust, entries, now)
    sound, refusals = list(verified), []
    for rule in RULES:
        faults = {
            bundle.node: fault
            for bundle in sound
            if (fault := rule(bundle, sound, facts)) is not None
        }
        refusals += [
            _refusal(bundle, faults[bundle.node]) for bundle in sound if bundle.node in faults
        ]
        sound = [bundle for bundle in sound if bundle.node not in faults]
    return sorted(sound, key=lambda bundle: bundle.site), refusals


def _refusal(bundle: Verified, fault: BundleError) -> Refusal:
    reason, message = type(fault).__name__, str(fault)
    if isinstance(fault, KEY_REFUSALS):
        return Refusal(bundle.node, None, reason, message)
    return Refusal(bundle.node, bundle.site, reason, message, bundle.bundle.digest, bundle.name)


@dataclass(frozen=True)
class _Facts:
    """What the rules compare a bundle with.

    Attributes:
        now: the aggregator's clock, UTC.
        name: the aggregator's own, by which hospitals name it as a recipient.
        same_steps: whether the pooling needs trajectories of one length.
        trusted: (site, fingerprint) of each key on the trust list.
        revoked: fingerprint -> entry that says so.
        ends: fingerprint -> when the key ends.
        admitted: digests that were admitted and still are.
        withdrawn: (name, digest) -> entry that says so.
        newest: site -> its newest bundle that was admitted or withdrawn.
        quarantined: bundle's name -> digests that were quarantined under it.
    """

    now: datetime
    name: str | None
    same_steps: bool
    trusted: frozenset[tuple[str, str]]
    revoked: Mapping[str, Entry]
    ends: Mapping[str, datetime]
    admitted: frozenset[str]
    withdrawn: Mapping[tuple[str, str], Entry]
    newest: Mapping[str, Newest]
    quarantined: Mapping[str, frozenset[str]]


def _facts(order: Order, trust: Trust, entries: Sequence[Entry], now: datetime) -> _Facts:
    return _Facts(
        now,
        order.name,
        order.pooling == "in-step",
        frozenset((trusted.site, trusted.fingerprint) for trusted in trust.keys),
        revoked_keys(entries),
        key_ends(entries),
        admitted_digests(entries),
        withdrawn_bundles(entries),
        newest_bundles(entries),
        quarantined_contents(entries),
    )


Rule = Callable[[Verified, Sequence[Verified], _Facts], BundleError | None]
"""Given a bundle, all that are left, and the facts: why the bundle is refused, or None."""


def _key(bundle: Verified, _: Sequence[Verified], facts: _Facts) -> BundleError | None:
    """Revocation and end go by the ledger and this clock: a bundle's own times are its signer's."""
    if (bundle.site, bundle.key) not in facts.trusted:
        return UnknownSite(
            "signed with a key that is no longer on the trust list",
            remedy="ask the hospital for its .pub",
        )
    if bundle.bundle.digest in facts.admitted:
        return None
    if (entry := facts.revoked.get(bundle.key)) is not None:
        return RevokedKey(
            f"signed with a key of {bundle.site} that was revoked on {entry.at:%Y-%m-%d}, "
            "and without an earlier admission that still counts",
            remedy="ask the hospital to publish with its new key",
        )
    if (end := facts.ends.get(bundle.key)) is not None and facts.now >= end:
        return ExpiredKey(
            f"signed with a key of {bundle.site} that ended on {end:%Y-%m-%d}, and not "
            "admitted before that",
            remedy="ask the hospital for a new key (gdshare keys rotate)",
        )
    return None


def _withdrawal(bundle: Verified, _: Sequence[Verified], facts: _Facts) -> BundleError | None:
    """A withdrawal is final: it cannot be withdrawn."""
    if (bundle.name, bundle.bundle.digest) not in facts.withdrawn:
        return None
    return Withdrawn(
        f"{bundle.name} was withdrawn by its hospital",
        remedy="ask it for a newer one, and who still hands out the withdrawn one",
    )


def _number(bundle: Verified, _: Sequence[Verified], facts: _Facts) -> BundleError | None:
    """A site's numbers only rise; the same bundle may come again."""
    newest, number = facts.newest.get(bundle.site), bundle.bundle.manifest.sequence
    if newest is None or number > newest.sequence:
        return None
    if number < newest.sequence:
        return Rollback(
            f"number {number} of {bundle.site}, although number {newest.sequence} was admitted or "
            "withdrawn before",
            remedy="ask the hospital for its newest, and who still hands out the old one",
        )
    if bundle.bundle.digest == newest.digest:
        return None
    return Equivocation(
        f"number {number} of {bundle.site} was admitted or withdrawn before with another content "
        f"(digest {newest.digest})",
        remedy="call the hospital: its key has signed both",
    )


def _quarantined_number(
    bundle: Verified, _: Sequence[Verified], facts: _Facts
) -> BundleError | None:
    """A quarantined bundle is not its site's newest, but it has used up its number."""
    if not facts.quarantined.get(bundle.name, frozenset()) - {bundle.bundle.digest}:
        return None
    return Equivocation(
        f"{bundle.name} was quarantined before with another content",
        remedy="call the hospital: its key has signed both",
    )


def _one_node(bundle: Verified, bundles: Sequence[Verified], _: _Facts) -> BundleError | None:
    """A bundle proves who signed it, not who sends it, so every copy is refused."""
    copies = [other for other in bundles if other.site == bundle.site]
    if len(copies) == 1:
        return None
    if len({other.bundle.digest for other in copies if other.name == bundle.name}) > 1:
        return Equivocation(
            f"{bundle.name} was sent with different contents",
            remedy="call the hospital: its key has signed both",
        )
    return SiteTwice(
        f"{len(copies)} nodes sent a bundle of {bundle.site}",
        remedy="stop the ones that are not that hospital's",
    )


def _recipients(bundle: Verified, _: Sequence[Verified], facts: _Facts) -> BundleError | None:
    recipients = bundle.bundle.manifest.terms.recipients
    if not recipients or facts.name in recipients:
        return None
    return NotForMe(
        f"released to {', '.join(recipients)}, and this aggregator is "
        f"{facts.name or 'not named (--name)'}",
        remedy=f"ask {bundle.site} to name it",
    )


def _theta0(bundle: Verified, _: Sequence[Verified], __: _Facts) -> BundleError | None:
    manifest = bundle.bundle.manifest
    if _draws_its_theta0(manifest):
        return None
    return DoesNotFit(
        "its fixed θ0 is not what its number gives with this machine's torch",
        remedy="agree on one torch release, or distil with --theta0 random",
    )


def _fit(bundle: Verified, bundles: Sequence[Verified], facts: _Facts) -> BundleError | None:
    """The round takes what most bundles share; in a tie, what the first site by name has."""
    manifest = bundle.bundle.manifest
    if manifest.initialiser != INITIALISERS[manifest.method.network]:
        return DoesNotFit(
            f"its θ0 scheme {manifest.initialiser} is not the one drawn here",
            remedy="use the same gdshare at both ends",
        )
    by_site = sorted(bundles, key=lambda other: other.site)
    kinds = Counter(_kind(other, facts.same_steps) for other in by_site)
    if _kind(bundle, facts.same_steps) == kinds.most_common(1)[0][0]:
        return None
    return DoesNotFit(
        "made with another patch protocol, network, fixed θ0 or number of steps than most bundles "
        "of this round",
        remedy="distil again as agreed",
    )


RULES: tuple[Rule, ...] = (
    _key,
    _withdrawal,
    _number,
    _quarantined_number,
    _one_node,
    _recipients,
    _theta0,
    _fit,
)


def _kind(bundle: Verified, same_steps: bool) -> tuple[str, str, int, str]:
    manifest = bundle.bundle.manifest
    steps = manifest.method.trajectory if same_steps else 0
    theta0 = f"{manifest.theta0_sha256} {manifest.method.theta0_number}"
    return manifest.method.network, manifest.protocol.model_dump_json(), steps, theta0


def _draws_its_theta0(manifest: Manifest) -> bool:
    """Whether this machine draws, from the number of a fixed θ0, the weights of its digest."""
    if manifest.theta0_sha256 is None:
        return True
    try:
        module = build(manifest.method.network, manifest.protocol.side)
        return digest(fixed_theta0(manifest.method, module)) == manifest.theta0_sha256
    except GdshareError:  # no network is drawn with this side or number
        return False
