"""``gdshare federation sign`` and ``renew``: what the authority's key is needed for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.setup.authority import read_authority, renew_server, sign_request
from aggregator.setup.place import read_place
from aggregator.setup.revocations import renew_list
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.deploy.certificates import certificate_fingerprint, read_certificates
from gdshare.deploy.node_request import read_node_request
from gdshare.errors import UsageError

Folder = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The folder of gdshare federation init.")
]
FOLDER = Path("/etc/gdshare")
KEY_NAME = "the authority's key"


def site_of(named: str | None, typed: str | None, where: Path) -> str:
    """The hospital's name, from the request or typed.

    Raises:
        UsageError: neither, or two that differ.
    """
    if named and typed and named != typed:
        raise UsageError(f"is of {named}, not of {typed}", where, "ask both hospitals")
    site = named or typed
    if site is None:
        raise UsageError("gives no name", where, "give --site")
    return site


def sign(
    request: Annotated[
        Path, typer.Argument(metavar="REQUEST", help="What the hospital sent: SITE.node-request.")
    ],
    typed: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="The request's, as the hospital read it to you over the phone, or its first "
            f"{LEAST_DIGITS} digits or more.",
        ),
    ],
    folder: Folder = FOLDER,
    site: Annotated[
        str | None, typer.Option(help="The hospital's short name, to compare with the request's.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Sign a hospital's certificate, with which its node passes nginx.

    Who the node is, its registered key says. Send the hospital the file that this writes, and read
    out the authority's fingerprint to it. A certificate lasts two years; sign the same request
    again before.
    """
    place, wish = read_place(folder), read_node_request(request)
    require_match(wish.fingerprint, typed, "--fingerprint", "call the hospital before you sign")
    name = site_of(wish.site, site, request)
    passphrase = read_passphrase(passphrase_file, confirm=False, key_name=KEY_NAME)
    authority = read_authority(folder, passphrase)
    path = sign_request(place, authority, wish, name, datetime.now(UTC))
    certificate = read_certificates(path)[0]
    facts = {
        "signed (send)": path,
        "site": name,
        "until": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        "authority (read it out)": certificate_fingerprint(authority.certificate),
    }
    print_facts(facts, as_json)


def renew(
    folder: Folder = FOLDER,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Sign the server's certificate anew, and the list of revoked ones: two years for both.

    The server's key and every hospital's certificate stay good.
    """
    place = read_place(folder)
    passphrase = read_passphrase(passphrase_file, confirm=False, key_name=KEY_NAME)
    authority, now = read_authority(folder, passphrase), datetime.now(UTC)
    renew_list(place, authority, now)
    renewed = renew_server(place, authority, now)
    facts = {
        "renewed": place.host,
        "until": f"{renewed.not_valid_after_utc:%Y-%m-%d}",
        "go on as root with": "systemctl restart gdshare-superlink nginx",
    }
    print_facts(facts, as_json)
