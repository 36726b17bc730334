"""``gdshare keys``: keys that sign, what they say of themselves, and keys that open seals."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_json
from gdshare.signing import (
    fingerprint,
    load_private_key,
    parse_public_pem,
    read_key_file,
    require_absent,
    write_key_pair,
    write_new,
    write_request,
    write_revocation,
    write_sealing_pair,
)

Secret = Annotated[Path, typer.Argument(metavar="NAME.key", help="The private key.")]
Site = Annotated[str, typer.Option(help="The hospital's short name, told to the others.")]


def new(
    name: Annotated[
        str,
        typer.Option(help="Whose key it is, a short name: lower-case letters, digits, hyphens."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the two key files.")] = Path("keys"),
    sealing: Annotated[
        bool,
        typer.Option(
            "--sealing",
            help="Make a key that opens what was sealed to it (gdshare seal), NAME.seal.key and "
            "NAME.seal.pub, instead of one that signs.",
        ),
    ] = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Make a signing key: NAME.key stays here, NAME.pub goes to the aggregator.

    The private key (ECDSA, curve P-256) is encrypted with a passphrase and readable by you only.
    Nothing is ever overwritten. Read the fingerprint to the aggregator's people over the phone.
    """
    passphrase = read_passphrase(passphrase_file, confirm=True, what="the new key")
    make = write_sealing_pair if sealing else write_key_pair
    private, public = make(out, name, passphrase)
    typer.echo(f"private key (keep)  {private}")
    typer.echo(f"public key (give)   {public}")
    typer.echo(f"fingerprint         {_fingerprint(public)}")


def show(
    key: Annotated[Path, typer.Argument(help="A public key, NAME.pub or NAME.seal.pub.")],
    as_json: AsJson = False,
) -> None:
    """Show a key's fingerprint, in a second form that is easier to read over the phone.

    The aggregator types what it hears into `gdshare trust add`; spaces and capitals do not matter.
    """
    told = _fingerprint(key)
    if as_json:
        return print_json({"fingerprint": told})
    _say_fingerprint(told)
    return None


def _fingerprint(public: Path) -> str:
    return fingerprint(parse_public_pem(read_key_file(public), str(public)))


def request(
    key: Secret,
    site: Site,
    out: Annotated[
        Path | None, typer.Option(help="File to make. Without it: NAME.request beside the key.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Ask the aggregator to believe this key: one small file, signed with the key itself.

    It holds the site's name, the public key and the hour. Send it, then read the fingerprint over
    the phone: the file shows that its sender holds the key, not who the sender is.
    """
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    path = out or key.with_suffix(".request")
    write_new(path, write_request(site, secret, datetime.now(UTC)))
    typer.echo(f"request (send)  {path}")
    _say_fingerprint(fingerprint(secret.public_key()))


def rotate(
    old: Annotated[
        Path, typer.Argument(metavar="OLD.key", help="The private key that is succeeded.")
    ],
    name: Annotated[
        str,
        typer.Argument(metavar="NEW", help="Name of the new key's files, such as st-mary-2027."),
    ],
    site: Site,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new files. Without it: the old key's.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for the new key.")
    ] = None,
) -> None:
    """Make a new key, and a request for it that the old key countersigns.

    Send NEW.request, then read the new fingerprint over the phone. What the old key signs is
    believed until the aggregator revokes it or it ends; what it has signed stays good.
    """
    older = load_private_key(old, read_passphrase(passphrase_file, confirm=False))
    folder = out or old.parent
    asked = folder / f"{name}.request"
    require_absent(asked)
    passphrase = read_passphrase(new_passphrase_file, confirm=True, what="the new key")
    private, _ = write_key_pair(folder, name, passphrase)
    secret = load_private_key(private, passphrase)
    write_new(asked, write_request(site, secret, datetime.now(UTC), older))
    typer.echo(f"private key (keep)  {private}")
    typer.echo(f"request (send)      {asked}")
    _say_fingerprint(fingerprint(secret.public_key()))


def revoke(
    key: Secret,
    why: Annotated[str, typer.Option(help="The reason, in plain ASCII.")],
    out: Annotated[
        Path | None, typer.Option(help="File to make. Without it: NAME.revocation beside the key.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Write a revocation: nothing new that this key signs is to be believed.

    Send it to the aggregator, who needs no other proof. It may be made beforehand, and kept apart
    for the day when the key is lost.
    """
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    path = out or key.with_suffix(".revocation")
    write_new(path, write_revocation(secret, why, datetime.now(UTC)))
    typer.echo(f"revocation (send)  {path}")


def _say_fingerprint(told: str) -> None:
    typer.echo(f"fingerprint  {told}")
    typer.echo(f"to say       {' '.join(told[at : at + 4] for at in range(0, len(told), 4))}")


def register(app: typer.Typer) -> None:
    """Add ``keys`` and its commands to the app."""
    keys = typer.Typer(
        no_args_is_help=True, help="Make the key a hospital signs with, and have it believed."
    )
    keys.command()(new)
    keys.command()(show)
    keys.command()(request)
    keys.command()(rotate)
    keys.command()(revoke)
    app.add_typer(keys, name="keys")
