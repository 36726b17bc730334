"""``gdshare trust withdrawn``: withdrawn bundles, and the models that were trained with them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from aggregator.receipts import receipts_for
from aggregator.signer import open_signer
from aggregator.trust.bundle_history import withdrawn_bundles
from aggregator.trust.bundle_store import BundleStore, bundles_beside
from aggregator.trust.withdrawals import (
    VerifiedWithdrawal,
    record_withdrawal,
    verify_withdrawal,
    withdrawal_report,
)
from gdshare.bundle.attestation import MAX_BYTES
from gdshare.bundle.folder import read_plain
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson, print_json, print_line, print_table
from gdshare.config import variable
from gdshare.errors import BundleError
from gdshare.ledger import Entry, open_ledger, read_ledger
from gdshare.trust.keys import ledger_beside, load_trust


def withdrawn(
    trust: Annotated[
        Path,
        typer.Option(
            envvar=variable("trust"), help="Folder of the hospitals' public keys, SITE.pub each."
        ),
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Withdrawals that came by mail or courier, SITE-NUMBER.withdrawal. Without any: "
            "list all withdrawn bundles.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who records them. Without it: this computer's user name.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("key"),
            help="The aggregator's own private key, NAME.key: signs a receipt for each new "
            "withdrawal. Takes --name.",
        ),
    ] = None,
    receipts: Annotated[Path, typer.Option(help="Folder for those receipts.")] = Path("receipts"),
    name: Annotated[
        str | None, typer.Option(envvar=variable("name"), help="The aggregator's short name.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Record withdrawals, and list the models that were trained with those bundles.

    A withdrawn bundle is refused for ever. gdshare keeps no bundle beyond its round. The ledger
    gives each model's folder and the digest of its model.safetensors, wherever the folder is now.
    Retrain these models without the bundle, or drop them. Withdrawals that a hospital's node sends
    are recorded by gdshare aggregate.
    """
    ledger = ledger_beside(trust)
    if files:
        signer = open_signer(key, name, passphrase_file)
        with receipts_for(ledger, receipts, signer):
            entries, bundles = _record(files, trust, ledger, operator_name(by))
    else:
        entries = read_ledger(ledger)
        bundles = list(withdrawn_bundles(entries))
    reports: list[dict[str, Any]] = [withdrawal_report(entries, *bundle) for bundle in bundles]
    if as_json:
        return print_json(reports)
    _print(reports)
    return None


def _record(
    files: Sequence[Path], trust: Path, ledger_path: Path, by: str
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Record all of them, or none if one is refused; returns entries and (name, digest) of each."""
    keys = load_trust(trust)
    with open_ledger(ledger_path) as ledger:
        withdrawals: list[VerifiedWithdrawal] = []
        for path in files:
            try:
                data = read_plain(path, MAX_BYTES)
                withdrawals.append(verify_withdrawal(data, keys, ledger.entries))
            except BundleError as error:
                raise error.at(path) from error
        for withdrawal in withdrawals:
            record_withdrawal(withdrawal, ledger, datetime.now(UTC), by)
        bundles = [(withdrawal.name, withdrawal.digest) for withdrawal in withdrawals]
        BundleStore(bundles_beside(ledger_path)).drop(digest for _, digest in bundles)
        return ledger.entries, list(dict.fromkeys(bundles))


def _print(reports: Sequence[dict[str, Any]]) -> None:
    for report in reports:
        why = f": {report['why']}" if report["why"] else ""
        print_line(f"{report['bundle']}  withdrawn {report['withdrawn']}{why}  {report['digest']}")
    rows = [
        (report["bundle"], model["trained"], model["folder"], model["digest"])
        for report in reports
        for model in report["models"]
    ]
    if rows:
        columns = ("bundle", "trained", "folder", "digest of model.safetensors")
        print_table("Retrain without the bundle, or drop:", columns, rows)
    else:
        print_line("no model is known that was trained with a withdrawn bundle")
