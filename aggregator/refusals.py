"""Why a bundle or a withdrawal is refused: one exception per reason, and the record of a refusal.

Reading this module does not import torch.
"""

# ruff: noqa: N818 - the names are the reasons themselves, as they appear in records.

from collections.abc import Iterable
from dataclasses import dataclass

from gdshare.errors import BundleError


class UnknownSite(BundleError):
    """Signed with a key that is not on the trust list."""


class RevokedKey(BundleError):
    """Signed with a revoked key, and not admitted before the revocation."""


class ExpiredKey(BundleError):
    """Signed with a key that has ended, and not admitted before that."""


class Withdrawn(BundleError):
    """Withdrawn by its hospital, which is final."""


class SiteTwice(BundleError):
    """Several nodes sent a bundle of the same site; at most one of them is that site."""


class Rollback(BundleError):
    """Older than a bundle of that site that was admitted or withdrawn: a replay."""


class Equivocation(BundleError):
    """A second content under one number: the site's key signed both."""


class NotForMe(BundleError):
    """Released to named recipients, and this aggregator is not among them."""


class DoesNotFit(BundleError):
    """Genuine, but made with another protocol, network or θ0 scheme than the round's."""


KEY_REFUSALS = (UnknownSite, RevokedKey, ExpiredKey)
"""With such a key the signature proves neither hospital nor bundle, so the record names neither."""


@dataclass(frozen=True)
class Refusal:
    """A node that is not part of the round, and why.

    Attributes:
        node: Flower's number of the node.
        site: the hospital's name if a signature proves it, else None.
        reason: name of the reason, for programs.
        message: a sentence for people.
        digest: of the bundle, if it was verified.
        name: the bundle's name, ``SITE-SEQUENCE``, if it was verified.
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
        f"node {refusal.node}{f' ({refusal.site})' if refusal.site else ''}: "
        f"{refusal.reason}, {refusal.message}"
        for refusal in refusals
    )
