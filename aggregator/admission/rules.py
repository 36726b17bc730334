"""The rules by which a verified bundle may enter a round.

They are checked before the bundles are measured and again afterwards, because the trust list and
the ledger may change in between. In this order:

1. the key is on the trust list, neither revoked nor ended, or the bundle was admitted before;
2. the hospital has not withdrawn the bundle;
3. it is not older than the site's newest, nor a second content under that number;
4. it is not a second content under the number of a quarantined bundle;
5. no other node sent a bundle of the same site;
6. it names no recipients, or this aggregator among them;
7. it fits the round: θ0, network, patch protocol and, in step, the number of steps.

Each rule sees only the bundles that passed the ones before it, so that a replayed bundle cannot
have a genuine one refused. Each refusal has the name of its reason; the other bundles go on.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from aggregator.admission.start import RoundStart
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
from aggregator.verified import Verified
from gdshare.announcement import is_shared_model
from gdshare.errors import BundleError, GdshareError
from gdshare.ledger import Entry
from gdshare.method import Method
from gdshare.networks import INITIALISERS, build, digest
from gdshare.theta0 import announced_theta0
from gdshare.trust.key_history import key_ends, revoked_keys
from gdshare.trust.keys import Trust

BOTH_SIGNED = "call the hospital: its key has signed both"


Kind = tuple[str, str, int, str]
"""Trained part and network, protocol, steps, θ0: what all bundles of a round share."""


@dataclass(frozen=True)
class Among:
    """The bundles that a rule sees.

    Attributes:
        by_site: site -> its bundles.
        usual: the kind that most of them are of; in a tie, what the first site by name has.
    """

    by_site: Mapping[str, Sequence[Verified]]
    usual: Kind | None


@dataclass(frozen=True)
class Rules:
    """The rules of this module's docstring, for one round.

    Attributes:
        order: of the round.
        trust: the keys of the hospitals, as they are now.
        entries: of the aggregator's ledger, as they are now.
        now: the aggregator's clock, UTC.
        start: the θ0 that was announced for the round; None: none was.
    """

    order: Order
    trust: Trust
    entries: Sequence[Entry]
    now: datetime
    start: RoundStart | None = None

    def check(self, verified: Sequence[Verified]) -> tuple[list[Verified], list[Refusal]]:
        """Sort verified bundles, one per node, into sound and refused.

        Returns:
            sound bundles by site, and refusals in the order of the rules.
        """
        sound, refusals = list(verified), []
        for rule in (
            self._key,
            self._withdrawal,
            self._number,
            self._quarantine,
            self._copies,
            self._recipients,
            self._theta0,
            self._fit,
        ):
            among = self._among(sound)
            faults = {bundle.node: rule(bundle, among) for bundle in sound}
            refusals += [
                _refusal(bundle, fault) for bundle in sound if (fault := faults[bundle.node])
            ]
            sound = [bundle for bundle in sound if faults[bundle.node] is None]
        return sorted(sound, key=lambda bundle: bundle.site), refusals

    def _key(self, bundle: Verified, _: Among) -> BundleError | None:
        """A key ends by the ledger and this clock: a bundle's own times are its signer's choice."""
        key = self.trust.find(bundle.key)
        if key is None or key.site != bundle.site:
            return UnknownSite(
                "signed with a key that is no longer on the trust list",
                remedy="ask the hospital for its .pub",
            )
        if bundle.bundle.digest in self._admitted:
            return None
        if (entry := self._revoked.get(bundle.key)) is not None:
            return RevokedKey(
                f"signed with a key of {bundle.site} that was revoked on {entry.at:%Y-%m-%d}, "
                "and without an earlier admission that still counts",
                remedy="ask the hospital to publish with its new key",
            )
        end = self._ends.get(bundle.key)
        if end is not None and self.now >= end:
            return ExpiredKey(
                f"signed with a key of {bundle.site} that ended on {end:%Y-%m-%d}, and not "
                "admitted before that",
                remedy="ask the hospital for a new key (gdshare keys rotate)",
            )
        return None

    def _withdrawal(self, bundle: Verified, _: Among) -> BundleError | None:
        """A withdrawal is final: it cannot be withdrawn."""
        if (bundle.name, bundle.bundle.digest) not in self._withdrawn:
            return None
        return Withdrawn(
            f"{bundle.name} was withdrawn by its hospital",
            remedy="ask it for a newer one, and who still hands out the withdrawn one",
        )

    def _number(self, bundle: Verified, _: Among) -> BundleError | None:
        """A site's numbers only rise; the same bundle may come again."""
        newest = self._newest.get(bundle.site)
        number = bundle.bundle.manifest.sequence
        if newest is None or number > newest.sequence:
            return None
        if number < newest.sequence:
            return Rollback(
                f"number {number} of {bundle.site}, although number {newest.sequence} was "
                "admitted or withdrawn before",
                remedy="ask the hospital for its newest, and who still hands out the old one",
            )
        if bundle.bundle.digest == newest.digest:
            return None
        return Equivocation(
            f"number {number} of {bundle.site} was admitted or withdrawn before with another "
            f"content (digest {newest.digest})",
            remedy=BOTH_SIGNED,
        )

    def _quarantine(self, bundle: Verified, _: Among) -> BundleError | None:
        """A quarantined bundle is not its site's newest, but it has used up its number."""
        digests = self._quarantined.get(bundle.name, frozenset())
        if not digests - {bundle.bundle.digest}:
            return None
        return Equivocation(
            f"{bundle.name} was quarantined before with another content", remedy=BOTH_SIGNED
        )

    def _copies(self, bundle: Verified, among: Among) -> BundleError | None:
        """A bundle proves who signed it, not who sends it, so every copy is refused."""
        copies = among.by_site[bundle.site]
        if len(copies) == 1:
            return None
        if len({other.bundle.digest for other in copies if other.name == bundle.name}) > 1:
            return Equivocation(
                f"{bundle.name} was sent with different contents", remedy=BOTH_SIGNED
            )
        return SiteTwice(
            f"{len(copies)} nodes sent a bundle of {bundle.site}",
            remedy="stop the ones that are not that hospital's",
        )

    def _recipients(self, bundle: Verified, _: Among) -> BundleError | None:
        recipients = bundle.bundle.manifest.terms.recipients
        if not recipients or self.order.name in recipients:
            return None
        if not self.order.name:
            return NotForMe(
                f"released to {', '.join(recipients)}, and this aggregator gave no name",
                remedy=f"give gdshare aggregate --name {recipients[0]} if that is this aggregator",
            )
        return NotForMe(
            f"released to {', '.join(recipients)}, and this aggregator is {self.order.name}",
            remedy=f"give --name as {bundle.site} knows it, or ask {bundle.site} to name it",
        )

    def _theta0(self, bundle: Verified, _: Among) -> BundleError | None:
        """θ0 is the round's; or this machine draws, from its number, the weights of its digest."""
        manifest = bundle.bundle.manifest
        if self.start is not None:
            if self.start.fits(manifest):
                return None
            return DoesNotFit(
                "not distilled for the θ0 that was announced for this round",
                remedy="send the hospital the announcement, and have it distil for it",
            )
        if manifest.theta0_sha256 is None:
            return None
        if is_shared_model(manifest.theta0_sha256, manifest.method.theta0_number):
            return DoesNotFit(
                "distilled for a shared model, and this round has no announcement of it",
                remedy="hold a round with --announcement, or ask the hospital for another bundle",
            )
        if self._drawn(manifest.method, manifest.protocol.side) == manifest.theta0_sha256:
            return None
        return DoesNotFit(
            "its announced θ0 is not what its number gives with this machine's torch",
            remedy="agree on one torch release, or distil with --theta0 random",
        )

    def _fit(self, bundle: Verified, among: Among) -> BundleError | None:
        """The round takes what most bundles share; in a tie, what the first site by name has."""
        manifest = bundle.bundle.manifest
        if manifest.initialiser != INITIALISERS[manifest.method.network]:
            return DoesNotFit(
                f"its θ0 scheme {manifest.initialiser} is not the one drawn here",
                remedy="use the same gdshare at both ends",
            )
        if self._kind(bundle) == among.usual:
            return None
        return DoesNotFit(
            "made with another patch protocol, network, trained part, announced θ0 or number of "
            "steps than most bundles of this round",
            remedy="distil again as agreed",
        )

    def _among(self, bundles: Sequence[Verified]) -> Among:
        by_site: defaultdict[str, list[Verified]] = defaultdict(list)
        for bundle in sorted(bundles, key=lambda other: other.site):
            by_site[bundle.site].append(bundle)
        kinds = Counter(self._kind(bundle) for own in by_site.values() for bundle in own)
        return Among(by_site, kinds.most_common(1)[0][0] if kinds else None)

    # Read from the ledger once, not once a bundle.

    @cached_property
    def _admitted(self) -> frozenset[str]:
        return admitted_digests(self.entries)

    @cached_property
    def _revoked(self) -> Mapping[str, Entry]:
        return revoked_keys(self.entries)

    @cached_property
    def _ends(self) -> Mapping[str, datetime]:
        return key_ends(self.entries)

    @cached_property
    def _withdrawn(self) -> Mapping[tuple[str, str], Entry]:
        return withdrawn_bundles(self.entries)

    @cached_property
    def _newest(self) -> Mapping[str, Newest]:
        return newest_bundles(self.entries)

    @cached_property
    def _quarantined(self) -> Mapping[str, frozenset[str]]:
        return quarantined_contents(self.entries)

    @cached_property
    def _digests(self) -> dict[tuple[str, int, int], str | None]:
        """What ``_drawn`` has computed."""
        return {}

    def _drawn(self, method: Method, side: int) -> str | None:
        """Digest of the announced θ0 as this machine draws it; None: such a network is not drawn.

        The bundles of a round share one; a stranger's other numbers cost a draw each.
        """
        key = (method.network, side, method.theta0_number)
        if key not in self._digests:
            try:
                theta0 = announced_theta0(method, build(method.network, side))
                self._digests[key] = digest(theta0)
            except GdshareError:  # no network is drawn with this side or number
                self._digests[key] = None
        return self._digests[key]

    def _kind(self, bundle: Verified) -> Kind:
        manifest = bundle.bundle.manifest
        steps = manifest.method.trajectory if self.order.pooling == "in-step" else 0
        theta0 = f"{manifest.theta0_sha256} {manifest.method.theta0_number}"
        trained = f"{manifest.method.train} of {manifest.method.network}"
        return trained, manifest.protocol.model_dump_json(), steps, theta0


def _refusal(bundle: Verified, fault: BundleError) -> Refusal:
    reason, message = type(fault).__name__, str(fault)
    if isinstance(fault, KEY_REFUSALS):
        return Refusal(bundle.node, None, reason, message)
    return Refusal(bundle.node, bundle.site, reason, message, bundle.bundle.digest, bundle.name)
