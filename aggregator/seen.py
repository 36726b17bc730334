"""What was admitted, withdrawn and trained on before, as the aggregator's ledger tells it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregator.trust import revoked
from gdshare.ledger import Act
from gdshare.release import WITHDRAW

ADMIT, REFUSE, TRAIN = "admit", "refuse", "train"


@dataclass(frozen=True)
class Seen:
    """A site's newest bundle that was ever admitted or withdrawn."""

    sequence: int
    digest: str


def signed_with(fingerprint: str) -> str:
    """How an ``admit`` or a ``withdraw`` begins to tell why: whose signature it was."""
    return f"signed with {fingerprint}"


def trained_from(name: str, digest: str) -> str:
    """How a ``train`` tells of one of the bundles that its model was trained from."""
    return f"from {name} {digest}"


def newest_seen(acts: Sequence[Act]) -> dict[str, Seen]:
    """Return each site's, by its name.

    A bundle that was withdrawn counts, whether it was ever admitted here or not: an older one must
    not come back in its place. What a key signed that was revoked since does not count: a thief's
    highest number would lock the hospital out for ever.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    thieves = tuple(signed_with(fingerprint) for fingerprint in revoked(acts))
    for act in acts:
        if act.act not in (ADMIT, WITHDRAW) or act.digest is None or act.why.startswith(thieves):
            continue
        site, _, sequence = act.what.rpartition("-")
        if site not in seen or int(sequence) > seen[site].sequence:
            seen[site] = Seen(int(sequence), act.digest)
    return seen


def admitted_before(acts: Iterable[Act], act: Act) -> frozenset[str]:
    """Return the digests of all bundles that were admitted before an act."""
    return frozenset(
        one.digest
        for one in acts
        if one.act == ADMIT and one.digest is not None and one.number < act.number
    )


def withdrawn(acts: Iterable[Act]) -> dict[tuple[str, str], Act]:
    """Return the name and digest of each bundle that was taken back, with the act that says so.

    By both, since a digest is no secret: a hospital that withdraws another's, under a name of its
    own, has withdrawn nothing. It stays so when the key is revoked later; what a thief withdrew,
    the hospital releases anew under its next number.
    """
    found: dict[tuple[str, str], Act] = {}
    for act in acts:
        if act.act == WITHDRAW and act.digest is not None:
            found.setdefault((act.what, act.digest), act)
    return found


def trained_with(acts: Iterable[Act], name: str, digest: str) -> tuple[Act, ...]:
    """Return the acts that tell of the models trained from a bundle."""
    told = trained_from(name, digest)
    return tuple(act for act in acts if act.act == TRAIN and act.why == told)
