"""A bundle that passed every check of its bytes, its signature and its key."""

from collections.abc import Sequence
from dataclasses import dataclass

from gdshare.bundle import Bundle


@dataclass(frozen=True)
class Verified:
    """A verified bundle, the node that sent it, and its signing key's fingerprint."""

    node: int
    bundle: Bundle
    key: str

    @property
    def site(self) -> str:
        """The hospital's short name, as its key is filed."""
        return self.bundle.manifest.site


def digests(verified: Sequence[Verified]) -> dict[str, str]:
    """Site -> digest of its bundle."""
    return {bundle.site: bundle.bundle.digest for bundle in verified}
