"""Why a bundle or a withdrawal is not believed: one exception a reason, and what is kept of it.

Nothing here takes torch to read.
"""

# ruff: noqa: N818 - the names are the reasons themselves, as they appear in records.

from collections.abc import Iterable
from dataclasses import dataclass

from gdshare.errors import BundleError


class UnknownSite(BundleError):
    """Signed with a key that is not on the trust list."""


class RevokedKey(BundleError):
    """Signed with a key that was revoked before this bundle was ever admitted."""


class ExpiredKey(BundleError):
    """Signed with a key that has ended, and not admitted before that."""


class Withdrawn(BundleError):
    """Taken back by its hospital; nobody may use it any more."""


class SiteTwice(BundleError):
    """Several nodes hand over bundles of one site; at most one of them is that site."""


class Rollback(BundleError):
    """Older than one of that site that was admitted or withdrawn before: somebody replays it."""


class Equivocation(BundleError):
    """Another content under a number that was admitted before: the site's key signed both."""


class NotForMe(BundleError):
    """Released to others; this aggregator is not among its recipients."""


class DoesNotFit(BundleError):
    """Sound, but made with another protocol, network or θ0 scheme than the round's."""


@dataclass(frozen=True)
class Refusal:
    """A node that is not part of the round, and why.

    Attributes:
        node: Flower's number of it.
        site: its name where a signature proves it, else None.
        reason: the reason's name, for machines.
        message: a sentence for people.
        digest: of the bundle, where it was sound.
        name: its own, ``SITE-SEQUENCE``, where it was sound.
    """

    node: int
    site: str | None
    reason: str
    message: str
    digest: str | None = None
    name: str | None = None


def reasons(refusals: Iterable[Refusal]) -> str:
    """All refusals in one sentence, for an error."""
    return "; ".join(
        f"node {one.node}{f' ({one.site})' if one.site else ''}: {one.reason}, {one.message}"
        for one in refusals
    )
