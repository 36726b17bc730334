"""``gdshare nodes remove``: let a node in no more."""

import re
from typing import Annotated

import typer

from aggregator.nodes.binding import NUMBER, Binding, changing
from aggregator.nodes.commands.options import CA, RootCertificates, SuperLink, flower
from aggregator.trust.commands.options import TrustFolder
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.errors import TrustError
from gdshare.extras import require_extra
from gdshare.next_steps import Command, Word


def remove(
    target: Annotated[
        str, typer.Argument(metavar="SITE|NUMBER", help="The hospital, or one node's number.")
    ],
    superlink: SuperLink,
    trust: TrustFolder,
    root_certificates: RootCertificates = CA,
    as_json: AsJson = False,
) -> None:
    """Have the SuperLink forget a hospital's nodes, and forget whose they were.

    From then on the node's key is refused. Its certificate is another matter: it opens nginx until
    gdshare federation revoke takes it back, or it ends.
    """
    require_extra("federation")
    with changing(trust) as change, flower(superlink, root_certificates) as cli:
        listed = {str(node.number) for node in cli.nodes()}
        numbers = _numbers(target, change.binding, listed)
        if not numbers:
            raise TrustError("has no node", target, "see gdshare nodes list")
        for number in sorted(numbers & listed):
            cli.unregister_node(int(number))
        left = change.binding.without(numbers)
        gone = {node.site for node in change.binding.nodes} - {node.site for node in left.nodes}
        change.write(left)
    facts = {"removed": ", ".join(sorted(numbers)), "of": target}
    certificates = [Command("federation revoke", (Word(site),)) for site in gone]
    print_facts(facts, as_json, next(iter(certificates), None))


def _numbers(target: str, binding: Binding, listed: set[str]) -> frozenset[str]:
    if re.fullmatch(NUMBER, target) and not binding.of_site(target):
        known = listed | {node.node for node in binding.nodes}
        return frozenset({target} & known)
    return frozenset(node.node for node in binding.of_site(target))
