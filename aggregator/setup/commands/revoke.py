"""``gdshare federation revoke``: a hospital's certificate opens nginx no more."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.setup.authority import read_authority
from aggregator.setup.commands.sign import FOLDER, KEY_NAME, Folder
from aggregator.setup.place import REVOKED, read_place
from aggregator.setup.revocations import read_revocations
from aggregator.setup.revocations import revoke as revoke_certificates
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.deploy.certificates import subject_of


def revoke(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SITE|FILE",
            help="The hospital, for every certificate that it has; or one of them, a PEM file of "
            "DIR/issued.",
        ),
    ],
    folder: Folder = FOLDER,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Take a hospital's certificate back: put it on the list of those that nginx refuses.

    For a hospital that has left, or whose tls.key was stolen; have gdshare nodes remove forget its
    node too. nginx reads DIR/revoked.pem when it starts. The list is signed by the authority and
    ends after two years, and then nginx refuses everybody: gdshare federation renew signs it anew.
    """
    place = read_place(folder)
    passphrase = read_passphrase(passphrase_file, confirm=False, key_name=KEY_NAME)
    authority = read_authority(folder, passphrase)
    revoked = revoke_certificates(place, authority, target, datetime.now(UTC))
    whole = read_revocations(folder / REVOKED, authority.certificate)
    facts = {
        "revoked": ", ".join(f"{certificate.serial_number:x}" for certificate in revoked),
        "of": ", ".join(sorted({subject_of(certificate) for certificate in revoked})),
        "on the list": len(whole.serials),
        "until (the list)": f"{whole.end:%Y-%m-%d}",
        "go on as root with": "systemctl restart nginx",
    }
    print_facts(facts, as_json)
