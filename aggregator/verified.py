"""A bundle whose bytes and signature were verified with a key on the trust list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gdshare.bundle import Bundle


@dataclass(frozen=True)
class Verified:
    """A verified bundle.

    Attributes:
        node: Flower's number of the node that sent it.
        bundle: manifest, tensors and digest.
        key: fingerprint of the key that signed it.
        files: the bundle as it came, file name -> content.
    """

    node: int
    bundle: Bundle
    key: str
    files: Mapping[str, bytes]

    @property
    def site(self) -> str:
        """The hospital's short name; the key is on the trust list under the same name."""
        return self.bundle.manifest.site

    @property
    def name(self) -> str:
        """The bundle's name, ``SITE-SEQUENCE``."""
        return self.bundle.manifest.name


def may_see(site: str, bundle: Verified) -> bool:
    """Whether a bundle may be shown to a hospital: it is its own, or its terms allow it."""
    recipients = bundle.bundle.manifest.terms.recipients
    return site == bundle.site or not recipients or site in recipients


def digests(verified: Sequence[Verified]) -> dict[str, str]:
    """Site -> digest of its bundle."""
    return {bundle.site: bundle.bundle.digest for bundle in verified}
