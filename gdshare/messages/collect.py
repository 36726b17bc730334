"""``query.collect``: handing over what was released, unless the aggregator has it already."""

from dataclasses import dataclass
from typing import Self

from gdshare.messages.words import UNCHANGED, Fields, RequestError, Value, digest_in

HAVE = "have"


@dataclass(frozen=True)
class CollectRequest:
    """``query.collect``.

    Attributes:
        have: the digest of this hospital's bundle that the aggregator holds (``Bundle.digest``);
            None: it holds none.
    """

    have: str | None = None

    def to_fields(self) -> dict[str, Value]:
        """The fields to send."""
        return {} if self.have is None else {HAVE: self.have}

    @classmethod
    def from_fields(cls, received: Fields) -> Self:
        """Read a request from a stranger.

        Raises:
            RequestError: a field that is unknown, or no digest.
        """
        if not set(received) <= {HAVE}:
            raise RequestError(
                "a collect request has no field but have", remedy="use the same gdshare"
            )
        return cls(digest_in(received, HAVE) if HAVE in received else None)


def unchanged(digest: str) -> dict[str, Value]:
    """The answer, withdrawals apart, of a hospital whose newest bundle the aggregator has."""
    return {UNCHANGED: digest}


def unchanged_in(received: Fields) -> str | None:
    """The digest of the bundle that the aggregator has already, if this answer says so.

    Raises:
        RequestError: it is no digest.
    """
    return digest_in(received, UNCHANGED) if UNCHANGED in received else None
