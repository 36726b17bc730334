"""``gdshare keys``: the hospital's signing key."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import fingerprint, load_public_key, write_key_pair
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase


def new(
    name: Annotated[
        str, typer.Option(help="The hospital's short name: lower-case letters, digits, hyphens.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the two key files.")] = Path("keys"),
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Make a signing key: NAME.key stays here, NAME.pub goes to the aggregator.

    The private key (ECDSA, curve P-256) is encrypted with a passphrase and readable by you only.
    Nothing is ever overwritten. Read the fingerprint to the aggregator's people over the phone.
    """
    passphrase = read_passphrase(passphrase_file, confirm=True)
    private, public = write_key_pair(out, name, passphrase)
    typer.echo(f"private key (keep)  {private}")
    typer.echo(f"public key (give)   {public}")
    typer.echo(f"fingerprint         {fingerprint(load_public_key(public))}")


def register(app: typer.Typer) -> None:
    """Add ``keys`` and its commands to the app."""
    keys = typer.Typer(no_args_is_help=True, help="Make the key a hospital signs with.")
    # With a callback typer keeps `new` as a command of its own, even while it is the only one.
    keys.callback()(lambda: None)
    keys.command()(new)
    app.add_typer(keys, name="keys")
