"""``gdshare verify``: check a bundle's signature, integrity and dates."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import verify_folder
from gdshare.bundle.verify import acceptance, refusal, sentence
from gdshare.cli.terminal import AsJson, print_json, print_line
from gdshare.errors import GdshareError
from gdshare.signing import load_public_key


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    key: Annotated[Path, typer.Option(help="The hospital's public key, NAME.pub.")],
    json: AsJson = False,
) -> None:
    """Check that a bundle is signed with this key, unaltered, well-formed and in date.

    Exits with status 0 if so and 3 if not. No other file is parsed before the signature is
    verified; the bundle's picture and text never are.
    """
    try:
        accepted = verify_folder(bundle, load_public_key(key), datetime.now(UTC))
    except GdshareError as fault:
        if json:
            print_json(refusal(fault))
        raise
    if json:
        return print_json(acceptance(accepted))
    return print_line(sentence(accepted))


def register(app: typer.Typer) -> None:
    """Add ``verify`` to the app."""
    app.command()(verify)
