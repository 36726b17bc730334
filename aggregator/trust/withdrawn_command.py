"""``gdshare trust withdrawn``: what hospitals took back, and the models that must go with it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from aggregator.flower.order import ledger_beside
from aggregator.receipts import receipts_for, signer_from
from aggregator.trust.bundle_history import withdrawn as withdrawn_by
from aggregator.trust.keys import load_trust
from aggregator.trust.withdrawals import VerifiedWithdrawal, consequences, record, verify_withdrawal
from gdshare.bundle.attestation import MAX_BYTES
from gdshare.bundle.folder import read_plain
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.errors import BundleError
from gdshare.ledger import Entry, open_ledger, read_ledger


def withdrawn(
    trust: Annotated[
        Path, typer.Option(help="Folder of the hospitals' public keys, SITE.pub each.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Withdrawals that came by mail or courier, SITE-NUMBER.withdrawal. Without any: "
            "show all that are known.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who takes them in. Without it: this computer's user name.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="The aggregator's own private key, NAME.key: signs a receipt for each that is "
            "new. Takes --name."
        ),
    ] = None,
    receipts: Annotated[Path, typer.Option(help="Folder for those receipts.")] = Path("receipts"),
    name: Annotated[str | None, typer.Option(help="The aggregator's short name.")] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Take in what hospitals withdraw, and list the models that were trained with it.

    A withdrawn bundle is refused for ever. gdshare keeps no bundle beyond its round; the models are
    listed by folder and digest (that of model.safetensors) as the ledger tells them, wherever the
    folders went since. Retrain them without the bundle, or drop them. Withdrawals that a hospital's
    node hands over are taken in by gdshare aggregate by itself.
    """
    ledger = ledger_beside(trust)
    signer = signer_from(key, name, passphrase_file)
    if files:
        with receipts_for(ledger, receipts, signer, partial(typer.echo, err=True)):
            entries, chosen = _take_in(files, trust, ledger, operator_name(by))
    else:
        entries = read_ledger(ledger)
        chosen = list(withdrawn_by(entries))
    told: list[dict[str, Any]] = [consequences(entries, *bundle) for bundle in chosen]
    if as_json:
        return print_json(told)
    _show(told)
    return None


def _take_in(
    files: Sequence[Path], trust: Path, ledger: Path, by: str
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """All of them, or none where one is not believed."""
    known = load_trust(trust)
    with open_ledger(ledger) as book:
        believed: list[VerifiedWithdrawal] = []
        for path in files:
            try:
                data = read_plain(path, MAX_BYTES)
                believed.append(verify_withdrawal(data, known, book.entries))
            except BundleError as error:
                raise error.at(path) from error
        for one in believed:
            record(one, book, datetime.now(UTC), by)
        return book.entries, list(dict.fromkeys(one.bundle for one in believed))


def _show(told: Sequence[dict[str, Any]]) -> None:
    for one in told:
        why = f": {one['why']}" if one["why"] else ""
        typer.echo(f"{one['bundle']}  withdrawn {one['withdrawn']}{why}  {one['digest']}")
    rows = [
        (one["bundle"], model["trained"], model["folder"], model["digest"])
        for one in told
        for model in one["models"]
    ]
    if rows:
        columns = ("bundle", "trained", "folder", "digest of model.safetensors")
        print_table("Retrain without the bundle, or drop:", columns, rows)
    else:
        typer.echo("no model is known that was trained with a withdrawn bundle")


def register(app: typer.Typer) -> None:
    """Add ``withdrawn`` to ``gdshare trust``."""
    app.command()(withdrawn)
