"""``gdshare federation check``: what a stranger gets from the aggregator's machine."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.setup.outside import Door, check_outside
from gdshare.cli.findings import print_findings
from gdshare.cli.terminal import AsJson
from gdshare.config import variable
from gdshare.deploy.address import parse_address
from gdshare.errors import UsageError


def check(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="The aggregator's, as hospitals know it.")
    ],
    root_certificates: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("root-certificates"),
            help="PEM of the authority; without it the server's certificate is not verified.",
        ),
    ] = None,
    client_certificate: Annotated[
        Path | None, typer.Option(help="A hospital's, to check too what a hospital can reach.")
    ] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Knock from outside: fails if anything answers a stranger, or an old TLS is taken.

    Run it from another network than the aggregator's. Exits with 0, with 3 and one sentence if a
    door is open, or with 4 if nothing answers.
    """
    if (client_certificate is None) != (client_key is None):
        raise UsageError("--client-certificate and --client-key go together", remedy="give both")
    host, port = parse_address(address)
    door = Door(host, port, root_certificates, client_certificate, client_key)
    print_findings(check_outside(door, datetime.now(UTC)), as_json, address)
