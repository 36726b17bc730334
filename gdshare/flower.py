"""Which Flower gdshare works with, and what of it is used.

A node uses Flower's own client of the SuperLink, which is no public interface
(docs/adr/0030-the-node-fetches-no-app.md), and the aggregator reads what Flower's commands print. A
minor version of Flower may change either. So those that the tests have held rounds with are named
here, every command of a round asks ``require_flower`` first, and tests compare this module with the
imports of both sides, with nginx's configuration and with what a real node calls
(docs/adr/0050-flower-by-minor-version.md).

Nothing of Flower is imported: its version is read from what is installed.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from gdshare.errors import FederationError, UsageError
from gdshare.extras import require_extra

KNOWN: Final = ("1.41", "1.42")
"""Minor versions with which the tests have held rounds, oldest first."""
REQUIREMENT: Final = "flwr>=1.41,<1.43"
"""The same for pip; pyproject.toml has it too."""

ROUTES: Final = (
    "activate-node",
    "deactivate-node",
    "send-node-heartbeat",
    "pull-messages",
    "push-messages",
    "get-run",
    "pull-object",
    "push-object",
    "confirm-message-received",
)
"""What a registered node calls under ``/v1/fleet/``; nginx lets these through and no other."""

INTERNALS: Mapping[str, tuple[str, ...]] = {
    "flwr.app.message": ("remove_content_from_message",),
    "flwr.common.serde": ("message_from_proto", "message_to_proto", "run_from_proto"),
    "flwr.proto.fleet_pb2": (
        "ActivateNodeRequest",
        "DeactivateNodeRequest",
        "PullMessagesRequest",
        "PushMessagesRequest",
        "RegisterNodeFleetRequest",
    ),
    "flwr.proto.heartbeat_pb2": ("SendNodeHeartbeatRequest",),
    "flwr.proto.message_pb2": (
        "ConfirmMessageReceivedRequest",
        "Message",
        "ObjectTree",
        "PullObjectRequest",
        "PushObjectRequest",
    ),
    "flwr.proto.node_pb2": ("Node",),
    "flwr.proto.run_pb2": ("GetRunRequest",),
    "flwr.supercore.error": ("ApiErrorCode", "FlowerError"),
    "flwr.supercore.inflatable.inflatable_object": (
        "get_all_nested_objects",
        "get_object_tree",
        "iterate_object_tree",
    ),
    "flwr.supercore.inflatable.inflatable_utils": ("inflate_object_from_contents",),
    "flwr.supercore.primitives.asymmetric": ("public_key_to_bytes",),
    "flwr.supercore.protobuf.client": ("ProtobufRequestContext",),
    "flwr.supernode.fleet_http_client": ("FleetHttpClient",),
    "flwr.supernode.node_auth_http_interceptor": ("NodeAuthHttpInterceptor",),
}
"""Module -> names that a node imports from it; they are no public interface."""
OVERRIDDEN: Final = ("flwr.supernode.fleet_http_client", "FleetHttpClient", "_send")
"""Module, class and method in whose place the node has its own, which bounds every answer."""

THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")


class UnknownFlowerError(UsageError):
    """A Flower that gdshare was not tested with, installed here."""


def is_known(release: str) -> bool:
    """Whether a version of Flower, such as ``1.42.0``, is of a minor version in ``KNOWN``."""
    return minor(release) in KNOWN


def minor(release: str) -> str:
    """``1.42`` of ``1.42.0``."""
    return ".".join(release.split(".")[:2])


def require_flower() -> str:
    """Check that Flower is installed, in a version that gdshare knows.

    Returns:
        the version.

    Raises:
        MissingExtraError: the extra ``federation`` is not installed, or not all of it.
        UnknownFlowerError: another version.
    """
    require_extra("federation")
    installed = version("flwr")
    if not is_known(installed):
        raise unknown_flower()
    return installed


def unknown_flower(reason: str = "") -> UnknownFlowerError:
    """The refusal of the Flower that is installed; ``reason``: what it lacks."""
    why = f" ({reason})" if reason else ""
    return UnknownFlowerError(
        f"this Flower, {version('flwr')}, is not one that gdshare knows{why}",
        remedy=f"pip install '{REQUIREMENT}'",
    )


def require_superlink(release: str, installed: str, address: str) -> None:
    """Check the version that a SuperLink says it has.

    Args:
        release: of the SuperLink, such as ``1.42.0``.
        installed: of Flower here; the SuperLink starts the round's app from it.
        address: of the SuperLink.

    Raises:
        FederationError: a version that gdshare does not know, or another minor version than here.
    """
    if not is_known(release):
        raise FederationError(
            f"this SuperLink's Flower, {release:.40}, is not one that gdshare knows",
            address,
            f"pip install '{REQUIREMENT}' on its machine, and restart it",
        )
    if minor(release) != minor(installed):
        raise FederationError(
            f"this SuperLink runs Flower {release:.40}, and {installed} is installed here",
            address,
            "restart the SuperLink, with the Flower that is installed",
        )


def flower_environment() -> dict[str, str]:
    """Variables for Flower's code: no telemetry, no update check, this machine by no proxy.

    A proxy that the environment names (``HTTPS_PROXY``) is for other machines.
    """
    named = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    spared = ",".join(dict.fromkeys([*hosts, *THIS_MACHINE]))
    return {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": spared,
        "no_proxy": spared,
    }
