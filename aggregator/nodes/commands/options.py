"""Options that the commands of ``gdshare nodes`` share, and the SuperLink that they name."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.cli import FlowerCli, SuperLinkAddress
from gdshare.config import variable

SuperLink = Annotated[
    str,
    typer.Option(
        envvar=variable("superlink"),
        metavar="HOST:PORT",
        help="The SuperLink, which runs on this machine.",
    ),
]
RootCertificates = Annotated[
    Path,
    typer.Option(
        envvar=variable("root-certificates"),
        help="PEM of the authority behind the SuperLink's certificate, DIR/ca.pem.",
    ),
]


@contextmanager
def flower(superlink: str, root_certificates: Path) -> Iterator[FlowerCli]:
    """Flower's commands for this SuperLink and no other.

    The SuperLink is given by its address, in a Flower home of its own that names nothing else. So
    Flower never falls back to a SuperLink that it starts itself, without TLS, and reports success.

    Raises:
        UsageError: not an address, or no such certificates.
    """
    with tempfile.TemporaryDirectory(prefix="gdshare-") as home:
        address = SuperLinkAddress(superlink, root_certificates=root_certificates)
        yield FlowerCli.connect(Path(home), address)


CA = Path("/etc/gdshare/ca.pem")
"""Where gdshare federation init /etc/gdshare puts it."""
