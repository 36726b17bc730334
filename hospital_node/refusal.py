"""How an act refuses: with a reason from the agreed list; the details stay at the hospital."""

from gdshare.errors import FederationError
from gdshare.messages import Reason


class RefusedError(FederationError):
    """A request that is refused.

    Attributes:
        reason: all that the network learns.
    """

    def __init__(self, reason: Reason, details: str = "") -> None:
        """Keep ``details``, which may name paths, for the hospital's own log."""
        super().__init__(details or reason.value)
        self.reason = reason
