"""``gdshare seal`` and ``unseal``: a bundle that whoever carries it cannot read."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import read_folder, read_sealed, write_bundle
from gdshare.bundle import seal as sealed
from gdshare.bundle import unseal as opened
from gdshare.bundle.errors import AlreadyPublished
from gdshare.bundle.layout import SIGNATURE
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.errors import UsageError
from gdshare.signing import fingerprint, load_sealing_key, load_sealing_public_key
from gdshare.storage import write_bytes


def seal(
    bundle: Annotated[Path, typer.Argument(help="A released bundle's folder.")],
    to: Annotated[Path, typer.Option(help="The aggregator's public sealing key, NAME.seal.pub.")],
    out: Annotated[Path, typer.Option(help="File to make.")],
) -> None:
    """Make one file of a bundle that only the aggregator can open (HPKE, RFC 9180).

    For a courier or a relay that must not read it. It sees the site's name, the bundle's digest and
    its size. Have the aggregator read you the fingerprint of its sealing key once.
    """
    if out.exists():
        raise UsageError("is there already", out, "choose another --out, or remove it")
    if not (bundle / SIGNATURE).is_file():
        raise UsageError(
            "is no released bundle",
            bundle,
            "give its folder in the outbox, such as outbox/st-mary-1",
        )
    key = load_sealing_public_key(to)
    write_bytes(out, sealed(read_folder(bundle), key))
    typer.echo(f"sealed  {out}")
    typer.echo(f"to      {fingerprint(key)}")


def unseal(
    file: Annotated[Path, typer.Argument(help="What gdshare seal made.")],
    key: Annotated[Path, typer.Option(help="The private sealing key, NAME.seal.key.")],
    out: Annotated[
        Path, typer.Option(help="Folder to open it into, as SITE-NUMBER; laid out as an outbox is.")
    ],
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Open a sealed bundle. Who made it is not shown by that: check its signature next."""
    data = read_sealed(file)
    passphrase = read_passphrase(passphrase_file, confirm=False, what="the sealing key")
    files = opened(data, load_sealing_key(key, passphrase))
    try:
        typer.echo(f"opened  {write_bundle(out, files)}")
    except AlreadyPublished:
        raise UsageError(
            "holds a bundle of that site and number already", out, "look at both, and remove one"
        ) from None


def register(app: typer.Typer) -> None:
    """Add the two commands to the app."""
    app.command()(seal)
    app.command()(unseal)
