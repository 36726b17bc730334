"""What can be wrong between this node and a SuperLink, each in one sentence with its cause.

A *disconnection* passes by itself or by somebody's doing, and the node tries again until then. The
others end one question, and the node goes on with the next.
"""

import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
from flwr.supercore.error import ApiErrorCode, FlowerError

from gdshare.errors import FederationError

AHEAD_S, BEHIND_S = 5, 300
"""A SuperLink refuses a node whose clock differs more from its own."""
_TLS_WORDS = ("certificate", "ssl", "tls")


class DisconnectedError(FederationError):
    """The node cannot work with the SuperLink at present."""


class UnreachableError(DisconnectedError):
    """No SuperLink answers there."""


class NotSecureError(UnreachableError):
    """Something answers, but TLS with it fails."""


class NoSuperLinkError(UnreachableError):
    """What answers there is no SuperLink."""


class TroubleError(UnreachableError):
    """The SuperLink, or what stands before it, has a fault of its own."""


class NodeRefusedError(DisconnectedError):
    """The SuperLink does not let this node in."""


class ClockError(NodeRefusedError):
    """It does not, since the two clocks differ too much."""


class NotRegisteredError(NodeRefusedError):
    """It does not know the key, or lists a node with the same key as connected."""


class KnownKeyError(NodeRefusedError):
    """The key is registered already."""


class RoundOverError(FederationError):
    """The round that asked has ended."""


class OutOfBoundsError(FederationError):
    """A SuperLink that sends more than the bounds, or takes too long."""


class AnswerTooLargeError(FederationError):
    """An answer that the SuperLink's side does not take."""


def fault_of_transport(error: httpx.TransportError, address: str) -> DisconnectedError:
    """The fault behind a connection that failed."""
    text = str(error) or type(error).__name__
    if isinstance(error.__cause__, ssl.SSLError) or any(
        word in text.lower() for word in _TLS_WORDS
    ):
        return NotSecureError(
            f"no secure connection ({text})",
            address,
            "check the address, --root-certificates and this machine's clock",
        )
    return UnreachableError(
        f"no SuperLink answers ({text})",
        address,
        "check the address, the network, and whether the aggregator's SuperLink runs",
    )


def no_superlink(why: object, address: str) -> NoSuperLinkError:
    """The fault of an answer that no SuperLink gives."""
    return NoSuperLinkError(
        f"what answers there is no SuperLink ({why})", address, "check the address"
    )


def fault_of_status(
    status: int, headers: Mapping[str, str], body: str, address: str, now: datetime
) -> FederationError:
    """The fault behind an HTTP status of 300 or more.

    Args:
        status: of HTTP.
        headers: of the answer, names in lower case.
        body: of the answer; Flower's faults have a code there.
        address: of the SuperLink, for the sentence.
        now: this machine's clock.
    """
    code = getattr(FlowerError.from_json(body), "code", None)
    if code in (ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, ApiErrorCode.FLEET_GET_RUN_FAILED):
        return RoundOverError("the round that asked has ended")
    if code == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
        return KnownKeyError("the key is registered already", address)
    if code == ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED:
        return NotRegisteredError(
            "the SuperLink takes registered nodes only",
            address,
            "give --auth-supernode-private-key",
        )
    if code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        return NotRegisteredError(
            "the SuperLink refused this node: its key is not registered there, or a node with "
            "the same key is still listed as connected",
            address,
            "have the key's .pub registered, again if the SuperLink was restarted without "
            "--database; after a crash of the node, wait a minute",
        )
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return AnswerTooLargeError(
            "the aggregator's side takes no answer as large as this one (HTTP 413)",
            address,
            "ask the aggregator which size its proxy allows",
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return TroubleError(
            f"the SuperLink is in trouble (HTTP {status})",
            address,
            "ask the aggregator to look at its log",
        )
    if status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED) or status < 400:
        return no_superlink(f"HTTP {status}", address)
    return _refused(status, headers, address, now)


def _refused(
    status: int, headers: Mapping[str, str], address: str, now: datetime
) -> NodeRefusedError:
    ahead = _seconds_ahead(headers, now)
    if ahead is not None and not -BEHIND_S < ahead < AHEAD_S:
        return ClockError(
            f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} "
            f"the SuperLink's, which allows {AHEAD_S} s ahead and {BEHIND_S} s behind, "
            f"and so refused this node (HTTP {status})",
            address,
            "set the clock, best by NTP, or ask the aggregator to set its own",
        )
    return NodeRefusedError(
        f"the SuperLink refused this node (HTTP {status})",
        address,
        "check both clocks, and have the aggregator check this node's key and certificate",
    )


def _seconds_ahead(headers: Mapping[str, str], now: datetime) -> float | None:
    """How far this machine's clock is ahead of the SuperLink's; None: it does not say."""
    try:
        return (now - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
