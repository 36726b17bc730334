"""``gdshare nodes add``: register a hospital's node, and bind its number to the hospital."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.cli import FlowerCli
from aggregator.nodes.binding import Binding, BoundNode, changing
from aggregator.nodes.commands.options import CA, RootCertificates, SuperLink, flower
from aggregator.setup.commands.sign import site_of
from aggregator.trust.commands.options import By, TrustFolder
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.deploy.node_request import NodeRequest, read_node_request
from gdshare.errors import FederationError
from gdshare.extras import require_extra


def add(
    request: Annotated[
        Path,
        typer.Argument(
            metavar="KEY",
            help="What the hospital sent: SITE.node-request, or the .pub of its node's key.",
        ),
    ],
    typed: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="The request's, as the hospital read it to you over the phone, or its first "
            f"{LEAST_DIGITS} digits or more.",
        ),
    ],
    superlink: SuperLink,
    trust: TrustFolder,
    root_certificates: RootCertificates = CA,
    site: Annotated[
        str | None,
        typer.Option(help="The hospital's short name; a request has it, a .pub does not."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Register a hospital's node at the running SuperLink, and name it in every round.

    Whose a node is stands beside the trust folder, in TRUST-nodes.json. A key that is registered
    already is not registered again.
    """
    require_extra("federation")
    wish = read_node_request(request)
    require_match(wish.fingerprint, typed, "--fingerprint", "call the hospital first")
    name = site_of(wish.site, site, request)
    with changing(trust) as change, flower(superlink, root_certificates) as cli:
        node = _known(change.binding, wish, cli) or _registered(cli, wish, name, by)
        change.write(change.binding.with_node(node))
    facts = {"node": node.node, "site": node.site, "node key": node.fingerprint}
    print_facts(facts, as_json)


def _known(binding: Binding, wish: NodeRequest, cli: FlowerCli) -> BoundNode | None:
    """The node of this key, if it is bound and the SuperLink still knows it."""
    listed = {str(node.number) for node in cli.nodes()}
    bound = [node for node in binding.nodes if node.fingerprint == wish.node_fingerprint]
    return next((node for node in bound if node.node in listed), None)


def _registered(cli: FlowerCli, wish: NodeRequest, site: str, by: str | None) -> BoundNode:
    with tempfile.TemporaryDirectory(prefix="gdshare-") as folder:
        key = Path(folder) / "node-key.pub"
        key.write_bytes(wish.openssh + b"\n")
        try:
            number = cli.register_node(key, site)
        except FederationError as error:
            if "already" not in error.what:
                raise
            raise FederationError(
                "the SuperLink knows this key, and it is bound to no hospital",
                site,
                "see gdshare nodes list, remove the node without a hospital, and add it again",
            ) from error
    now = datetime.now(UTC).replace(microsecond=0)
    return BoundNode(
        node=str(number),
        site=site,
        fingerprint=wish.node_fingerprint,
        since=now,
        by=operator_name(by),
    )
