"""The θ0 that the bundles of a round must be distilled for, where the aggregator announced one."""

from dataclasses import dataclass

from aggregator.flower.order import Order
from aggregator.trust.bundle_history import lost_origin
from gdshare.announcement import read_announcement
from gdshare.bundle import Manifest
from gdshare.errors import TrustError
from gdshare.ledger import read_ledger
from gdshare.networks import Parameters
from gdshare.theta0 import require_here


@dataclass(frozen=True)
class RoundStart:
    """An announced θ0.

    Attributes:
        network: the name of the network it is of.
        side: of the network's input, px.
        theta0_sha256: digest of its weights.
        number: that it is drawn from; of a shared model the one that goes with its digest.
        shared: the weights, where they are a shared model's; None where bundles' readers draw them.
    """

    network: str
    side: int
    theta0_sha256: str
    number: int
    shared: Parameters | None

    def fits(self, manifest: Manifest) -> bool:
        """Whether a bundle was distilled for it.

        Whoever trains from the bundle draws θ0 from the number that the bundle names, so the digest
        alone is not enough.
        """
        method = manifest.method
        made_for = (method.network, manifest.protocol.side, manifest.theta0_sha256)
        announced = (self.network, self.side, self.theta0_sha256)
        return made_for == announced and method.theta0_number == self.number


def start_of_round(order: Order) -> RoundStart | None:
    """Read the round's announcement; None where the order names none.

    Raises:
        AnnouncementError: damaged, or this machine draws another θ0.
        TrustError: a bundle that the shared model was trained from was withdrawn or taken
            back since.
        UsageError: no such network.
    """
    if order.announcement is None:
        return None
    start = read_announcement(order.announcement)
    if gone := lost_origin(read_ledger(order.ledger), start.theta0_sha256):
        raise TrustError(
            f"was trained with {', '.join(gone)}, which was withdrawn or taken back",
            order.announcement,
            "hold a round without it, and announce that round's model",
        )
    theta0, announced = require_here(start), start.announcement
    shared = None if start.weights is None else theta0
    return RoundStart(
        announced.network, announced.side, start.theta0_sha256, announced.number, shared
    )
