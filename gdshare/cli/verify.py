"""``gdshare verify``: is this bundle what it claims to be?"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import verify_folder
from gdshare.bundle.verify import acceptance, as_json, refusal, sentence
from gdshare.cli.terminal import AsJson
from gdshare.errors import GdshareError
from gdshare.signing import load_public_key


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    key: Annotated[Path, typer.Option(help="The hospital's public key, NAME.pub.")],
    json: AsJson = False,
) -> None:
    """Say whether a bundle is signed with this key, unaltered, sound and in date; or why not.

    Leaves with status 0 for yes and 2 for no. No other file of it is parsed before the
    signature was found good; its picture and its text never are.
    """
    try:
        accepted = verify_folder(bundle, load_public_key(key), datetime.now(UTC))
    except GdshareError as fault:
        if json:
            typer.echo(as_json(refusal(fault)), nl=False)
        raise
    typer.echo(as_json(acceptance(accepted)) if json else f"{sentence(accepted)}\n", nl=False)


def register(app: typer.Typer) -> None:
    """Add ``verify`` to the app."""
    app.command()(verify)
