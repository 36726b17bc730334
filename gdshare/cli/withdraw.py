"""``gdshare withdraw``: take a released bundle back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle.outbox import newest
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, has_terminal, read_passphrase
from gdshare.cli.terminal import DryRun
from gdshare.cli.typed_digest import LEAST_DIGITS, is_told, require_told
from gdshare.errors import UsageError
from gdshare.ledger import Entry, open_ledger, read_ledger
from gdshare.release.publish import ledger_beside
from gdshare.release.withdraw import Released, released_by, require_own_key, withdrawn_by
from gdshare.release.withdraw import withdraw as take_back
from gdshare.signing import fingerprint, load_private_key


def withdraw(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help=f"Its name, SITE-NUMBER, or the first {LEAST_DIGITS} digits of its digest or "
            "more; see gdshare ledger show.",
        ),
    ],
    key: Annotated[Path, typer.Option(help="The hospital's private key, NAME.key.")],
    outbox: Annotated[Path, typer.Option(help="Folder from which bundles are handed over.")],
    digest: Annotated[
        str | None,
        typer.Option(
            help=f"The first {LEAST_DIGITS} digits of its digest, or more. Without it: a question."
        ),
    ] = None,
    why: Annotated[
        str, typer.Option(help="The reason, told to whoever gets the withdrawal; may be left out.")
    ] = "",
    by: Annotated[
        str | None,
        typer.Option(help="Who does it, for the ledger. Without it: this computer's user."),
    ] = None,
    another_key: Annotated[
        bool,
        typer.Option(
            "--another-key",
            help="Sign with another of the hospital's keys than the one that released it, such as "
            "its successor. The aggregator must have it on its list.",
        ),
    ] = False,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Take a released bundle back: nobody may use it from now on.

    It takes one person, whatever the policy says. The bundle leaves the outbox, its number stays
    used, and a signed withdrawal takes its place, OUTBOX/SITE-NUMBER.withdrawal, which the node
    hands over when it is asked next; whoever is not asked can send that file. An older bundle does
    not come back: after the newest was withdrawn the node hands over nothing else until a newer
    one is released. Stopped in between, run it again.
    """
    one = _released(read_ledger(ledger_beside(outbox)), bundle, outbox)
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    require_own_key(outbox, one, fingerprint(secret.public_key()), another_key)
    if dry_run:
        typer.echo(f"would withdraw  {one.name}  {one.digest}")
        typer.echo(f"then left       {_left(outbox, one)}")
        return
    _require_meant(one, bundle, digest)
    with open_ledger(ledger_beside(outbox)) as book:
        before = withdrawn_by(book.entries, one)
        who = operator_name(by)
        path = take_back(one, why, outbox, book, who, datetime.now(UTC), secret)
    typer.echo(f"withdrawn    {one.name}{f', on {before.at:%Y-%m-%d}' if before else ''}")
    typer.echo(f"digest       {one.digest}")
    typer.echo(f"withdrawal   {path}")
    typer.echo(f"signed with  {fingerprint(secret.public_key())}")
    typer.echo(f"left         {_left(outbox, one)}")


def _released(entries: list[Entry], told: str, outbox: Path) -> Released:
    known = released_by(entries)
    found = [one for one in known if one.name == told or is_told(one.digest, told)]
    if len(found) != 1:
        names = ", ".join(one.name for one in known[-5:]) or "nothing"
        raise UsageError(
            f"{len(found)} bundles that were released are called so",
            f"{told:.70}",
            f"the ledger of {outbox} knows, last, {names}",
        )
    return found[0]


def _require_meant(one: Released, told: str, digest: str | None) -> None:
    """By its digest, as whoever approved it typed it: names are easily mistaken."""
    if is_told(one.digest, told) and digest is None:
        return
    if digest is None:
        if not has_terminal():
            raise UsageError(
                f"give --digest, the first {LEAST_DIGITS} digits of the digest of {one.name} as "
                "gdshare ledger show gives it"
            )
        digest = str(typer.prompt(f"First {LEAST_DIGITS} digits of {one.name}'s digest", err=True))
    require_told(one.digest, digest, "--digest", f"gdshare ledger show tells that of {one.name}")


def _left(outbox: Path, one: Released) -> str:
    """What the node still hands over once this bundle is withdrawn."""
    stays = newest(outbox, one.name.rpartition("-")[0])
    if stays is None or stays.name == one.name:
        return "nothing to hand over until a newer bundle is released"
    return f"{stays.name} to hand over"


def register(app: typer.Typer) -> None:
    """Add ``withdraw`` to the app."""
    app.command()(withdraw)
