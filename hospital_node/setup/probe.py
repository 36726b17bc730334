"""Asking the SuperLink who this node is to it, without entering: nothing there changes.

The request to enter is sent with an impossible interval between heartbeats. A SuperLink that does
not know the key says so first; one that knows it then refuses the interval.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from gdshare.deploy.finding import Finding, clock_finding, fault, ok
from gdshare.errors import GdshareError
from hospital_node.superlink import Address, _Fleet

UNAUTHORISED = (401,)
NO_CERTIFICATE = (400, 495, 496)


@dataclass(frozen=True)
class Probed:
    """What came back.

    Attributes:
        status: HTTP's; None: nothing did.
        code: Flower's own, if it gave one.
        ahead: seconds by which this machine's clock is ahead; None: not known.
        failure: why nothing came back.
    """

    status: int | None
    code: ApiErrorCode | None = None
    ahead: float | None = None
    failure: str = ""


def probe(address: Address) -> Probed:
    """Ask. ``address.key`` must be the node's own."""
    if address.key is None:
        return Probed(None, failure="the unit names no key of the node")
    public = address.key.public_key()
    client = _Fleet(address, NodeAuthHttpInterceptor(address.key, public))
    request = ActivateNodeRequest(public_key=public_key_to_bytes(public), heartbeat_interval=0.0)
    try:
        client.ActivateNode(request)
    except httpx.HTTPStatusError as error:
        response = error.response
        code = getattr(FlowerError.from_json(response.text), "code", None)
        return Probed(response.status_code, code, _ahead(response))
    except (httpx.HTTPError, ssl.SSLError, OSError, GdshareError) as error:
        return Probed(None, failure=str(error) or type(error).__name__)
    except ValueError:
        return Probed(None, failure="what answers there is no SuperLink")
    finally:
        client.close()
    return Probed(200)


def _ahead(response: httpx.Response) -> float | None:
    try:
        theirs = parsedate_to_datetime(response.headers["date"])
        return (datetime.now(UTC) - theirs).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def judge(probed: Probed, where: str) -> list[Finding]:
    """The findings about reachability, clock and registration.

    Args:
        probed: what came back.
        where: the SuperLink's address.
    """
    if probed.status is None:
        return [_unreachable(probed.failure, where)]
    findings = [ok("reachability", f"{where} answers")]
    if probed.ahead is not None:
        findings.append(clock_finding(probed.ahead))
    return [*findings, _registration(probed, where)]


def _unreachable(failure: str, where: str) -> Finding:
    said = failure.lower()
    if any(word in said for word in ("certificate", "ssl", "tls", "alert")):
        remedy = "compare both certificates' dates, the authority's fingerprint and the clocks"
        return fault("reachability", f"no secure connection to {where} ({failure})", remedy)
    remedy = "check the address and the firewall, and whether the aggregator's nginx runs"
    return fault("reachability", f"{where} does not answer ({failure})", remedy)


def _registration(probed: Probed, where: str) -> Finding:
    if probed.code == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL:
        return ok("registration", "this node's key is registered")
    if probed.code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        remedy = "send the aggregator this node's request, for gdshare nodes add"
        return fault("registration", "the SuperLink does not know this node's key", remedy)
    if probed.status in UNAUTHORISED:
        remedy = "set both clocks by NTP"
        return fault("registration", "the SuperLink refuses the signed time of this node", remedy)
    if probed.status in NO_CERTIFICATE:
        remedy = "see whether it is in date; if so, ask the aggregator whether it was revoked"
        return fault("registration", f"{where} refuses this node's certificate", remedy)
    remedy = "have the aggregator run gdshare federation doctor"
    return fault("registration", f"{where} answers HTTP {probed.status}", remedy)
