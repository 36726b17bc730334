"""How the two acts say no: a reason from the agreed list, with the details kept at home."""

from gdshare.errors import FederationError
from gdshare.messages import Reason


class RefusedError(FederationError):
    """A question that is not answered.

    Attributes:
        reason: what the network is told, and all it is told.
    """

    def __init__(self, reason: Reason, at_home: str = "") -> None:
        """Keep ``at_home``, which may name paths, for the hospital's own log."""
        super().__init__(at_home or reason.value)
        self.reason = reason
