"""``gdshare seal`` and ``unseal``: encrypt a bundle, so that a courier cannot read it."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import read_folder, read_sealed, write_bundle
from gdshare.bundle import seal as seal_files
from gdshare.bundle import unseal as unseal_files
from gdshare.bundle.errors import AlreadyPublished
from gdshare.bundle.layout import SIGNATURE
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    print_facts,
)
from gdshare.errors import UsageError
from gdshare.next_steps import Command, Word
from gdshare.signing import fingerprint, load_sealing_key, load_sealing_public_key
from gdshare.storage import write_bytes


def seal(
    bundle: Annotated[Path, typer.Argument(help="A released bundle's folder.")],
    to: Annotated[Path, typer.Option(help="The aggregator's public sealing key, NAME.seal.pub.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    as_json: AsJson = False,
) -> None:
    """Encrypt a bundle into a file that only the aggregator can open (HPKE, RFC 9180).

    Use it when a courier or relay must not read the bundle. They can still see the site's name, the
    bundle's digest and its size. Have the aggregator read you its sealing key's fingerprint once.
    """
    if out.exists():
        raise UsageError("already exists", out, "choose another --out, or remove it")
    if not (bundle / SIGNATURE).is_file():
        raise UsageError(
            "is not a released bundle",
            bundle,
            "give its folder in the outbox, such as outbox/st-mary-1",
        )
    key = load_sealing_public_key(to)
    write_bytes(out, seal_files(read_folder(bundle), key))
    print_facts({"sealed (send)": out, "to": fingerprint(key)}, as_json)


def unseal(
    file: Annotated[Path, typer.Argument(help="A file written by gdshare seal.")],
    key: Annotated[Path, typer.Option(help="The private sealing key, NAME.seal.key.")],
    out: Annotated[
        Path, typer.Option(help="Folder to write SITE-NUMBER into, laid out like an outbox.")
    ],
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Open a sealed bundle. That does not prove who made it: verify its signature next."""
    data = read_sealed(file)
    passphrase = read_passphrase(passphrase_file, confirm=False, key_name="the sealing key")
    files = unseal_files(data, load_sealing_key(key, passphrase))
    try:
        folder = write_bundle(out, files)
    except AlreadyPublished:
        raise UsageError(
            "contains a bundle of that site and number", out, "compare the two, and remove one"
        ) from None
    print_facts({"opened": folder}, as_json, _verify(folder))


def _verify(bundle: Path) -> Command:
    return Command("verify", (Word(bundle), Word(None, "SITE.pub", "--key")))


def register(app: typer.Typer) -> None:
    """Add the two commands to the app."""
    app.command()(seal)
    app.command()(unseal)
