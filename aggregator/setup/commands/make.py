"""``gdshare federation init``: everything that the aggregator's machine needs, in one folder."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.setup.place import INSTALL, FederationPlace
from aggregator.setup.write import write_federation
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_facts, print_line
from gdshare.config import variable
from gdshare.deploy.certificates import certificate_fingerprint
from gdshare.errors import KeyFileError

_DEFAULT = FederationPlace.model_fields


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="New folder for it, such as /etc/gdshare.")
    ],
    host: Annotated[
        str, typer.Option(help="The name by which the hospitals' nodes reach this machine.")
    ],
    name: Annotated[
        str, typer.Option(envvar=variable("name"), help="The aggregator's short name.")
    ] = "aggregator",
    port: Annotated[int, typer.Option(help="nginx's, the only one open to the outside.")] = 8443,
    superlink_port: Annotated[int, typer.Option(help="The SuperLink's, on the loopback.")] = 8000,
    work: Annotated[Path, typer.Option(help="Folder of rounds, trust list and ledger.")] = _DEFAULT[
        "work"
    ].default,
    state: Annotated[Path, typer.Option(help="Folder of the SuperLink's database.")] = _DEFAULT[
        "state"
    ].default,
    logs: Annotated[Path, typer.Option(help="Folder of its log.")] = _DEFAULT["logs"].default,
    user: Annotated[str, typer.Option(help="The SuperLink's user, which install.sh makes.")] = (
        "gdshare"
    ),
    nginx_user: Annotated[
        str, typer.Option(help="nginx's: www-data on Debian, nginx elsewhere.")
    ] = "www-data",
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Make the authority, the server's certificate, and the files that start a safe SuperLink.

    DIR gets a unit for systemd (SuperLink on the loopback, with a database, a user and a log of its
    own), a configuration for nginx (what a node needs, and only with a certificate of your
    authority), firewall lines, a compose file, and install.sh, which puts them into place. Read
    it, and run it as root. The passphrase encrypts the authority's key.
    """
    place = FederationPlace.of(
        name=name,
        host=host,
        port=port,
        superlink_port=superlink_port,
        folder=folder.absolute(),
        state=state.absolute(),
        work=work.absolute(),
        logs=logs.absolute(),
        bin=Path(sys.executable).parent,
        user=user,
        nginx_user=nginx_user,
    )
    passphrase = read_passphrase(passphrase_file, confirm=True, key_name="the authority's key")
    if not passphrase:
        raise KeyFileError("the passphrase is empty", remedy="give one: this key lets nodes in")
    authority = write_federation(place, passphrase, datetime.now(UTC))
    facts = {
        "made": place.folder,
        "nodes come to": f"{host}:{port}",
        "authority (read it out)": certificate_fingerprint(authority.certificate),
        "go on as root with": f"sh {place.folder / INSTALL}",
    }
    print_facts(facts, as_json)
    if not as_json:
        print_line("then  gdshare federation doctor, and from outside  gdshare federation check")
