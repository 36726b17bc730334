"""``gdshare aggregate``: one round on a running SuperLink."""

import json
from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.cli import SuperLinkAddress
from aggregator.flower.folder import MODEL, PAGE, RECEIPTS, RESULT
from aggregator.flower.order import Order, Scheme
from aggregator.flower.submit import run_round
from aggregator.receipts import receipts_for
from aggregator.signer import check_name, open_signer
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson, print_json, print_line, print_next, print_text
from gdshare.config import variable
from gdshare.extras import require_extra
from gdshare.next_steps import Command, Word
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.trust.keys import ledger_beside


def aggregate(
    superlink: Annotated[
        str,
        typer.Option(
            envvar=variable("superlink"),
            metavar="HOST:PORT",
            help="The SuperLink, which runs on this machine.",
        ),
    ],
    trust: Annotated[
        Path,
        typer.Option(
            envvar=variable("trust"),
            help="Folder of the hospitals' public keys, SITE.pub. Admissions and refusals are "
            "recorded beside it, in TRUST-ledger.jsonl.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for model, table and refusals; a new one.")],
    name: Annotated[
        str | None,
        typer.Option(
            envvar=variable("name"),
            help="This aggregator's short name, by which hospitals list it as a recipient.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("key"),
            help="The aggregator's own private key, NAME.key: signs a receipt for each bundle that "
            "is admitted or refused, in OUT/receipts, for its hospital. Takes --name.",
        ),
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    reference: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("reference"),
            help="A labelled cohort of your own (gdshare label), on which networks trained from "
            "each bundle alone must beat chance. Without it: the hospitals' validation films.",
        ),
    ] = None,
    pooling: Annotated[
        Scheme, typer.Option(help="How a network is trained from all bundles.")
    ] = "average",
    ensemble: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_ENSEMBLE,
            help="Networks to train, each from initial weights of its own; they vote together. "
            "45 MB each to every hospital with ResNet18. Source: 1.",
        ),
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Decides initial weights and intervals.")] = 0,
    sites: Annotated[
        int, typer.Option(min=1, envvar=variable("sites"), help="Hospitals to wait for.")
    ] = 1,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for them.")] = 120.0,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds a hospital has for each answer.")
    ] = 1800.0,
    root_certificates: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("root-certificates"),
            help="PEM of the authority behind the SuperLink's certificate.",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar=variable("insecure"),
            help="No TLS; only where all runs on one machine.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Collect the hospitals' bundles, train one model, have films counted, print the table.

    Each bundle is verified with its hospital's key before anything else reads it. Then it must be
    plausible, or it is quarantined: networks trained from it alone beat chance, and its update is
    no outlier among the others'. Refusals are kept in OUT/refusals.jsonl and the round goes on with
    the rest. Films never leave a hospital: it returns counts of validation films at ε = 0, 0.05,
    ..., 1, one ε is fixed for all, and test films are counted once, at that ε.
    """
    require_extra("federation")
    from gdshare.cohort import open_cohort

    check_name(name)
    order = Order(
        trust=trust,
        ledger=ledger_beside(trust),
        operator=operator_name(),
        name=name,
        reference=reference,
        pooling=pooling,
        ensemble=ensemble,
        seed=seed,
        sites=sites,
        wait=wait,
        timeout=timeout,
    )
    if reference is not None:
        open_cohort(reference)  # fails now rather than after the hospitals were asked
    signer = open_signer(key, name, passphrase_file)
    address = SuperLinkAddress(superlink, insecure, root_certificates)
    with receipts_for(order.ledger, out / RECEIPTS, signer):
        table = run_round(address, out, order)
    if as_json:
        return print_json(json.loads((out / RESULT).read_bytes()))
    print_text(table)
    print_line(f"page: {out / PAGE}")
    classify = Command("classify", (Word(out / MODEL), Word(None, "FILM...")))
    print_next(classify, ", as every hospital can")
    return None


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(aggregate)
