"""``gdshare aggregate``: one round on a running SuperLink."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.cli import SuperLinkAddress
from aggregator.flower.folder import RECEIPTS, RESULT
from aggregator.flower.order import Order, Scheme, ledger_beside
from aggregator.flower.submit import run_round
from aggregator.receipts import receipts_for, signer_from
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.signing import SITE


def aggregate(
    superlink: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The SuperLink, which runs on this machine.")
    ],
    trust: Annotated[
        Path,
        typer.Option(
            help="Folder of the hospitals' public keys, SITE.pub. What is admitted and refused is "
            "recorded beside it, in TRUST-ledger.jsonl."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for model, table and refusals; a new one.")],
    name: Annotated[
        str | None,
        typer.Option(
            help="This aggregator's short name, by which hospitals release bundles to it."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="The aggregator's own private key, NAME.key: signs a receipt for each bundle that "
            "was admitted or refused, in OUT/receipts, for its hospital. Takes --name."
        ),
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A labelled cohort of your own (gdshare label), on whose patients each bundle "
            "must show that it teaches something. Without it: the hospitals' validation films.",
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
            help="Networks to train, each from initial weights of its own, whose votes are counted "
            "together; 45 MB each to every hospital with ResNet18. Source: 1.",
        ),
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Decides initial weights and intervals.")] = 0,
    sites: Annotated[int, typer.Option(min=1, help="Hospitals to wait for.")] = 1,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for them.")] = 120.0,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds a hospital has for each answer.")
    ] = 1800.0,
    root_certificates: Annotated[
        Path | None, typer.Option(help="PEM of the authority behind the SuperLink's certificate.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="No TLS; only where all runs on one machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Collect the hospitals' bundles, train one model, have films counted, print the table.

    Each bundle is verified against the key filed under its hospital's name before anything else
    looks at it; then it must be plausible: what its images teach beats chance and is no outlier
    among the others, or it is quarantined. Refusals are kept in OUT/refusals.jsonl and the round
    goes on with the rest. Films never leave a hospital: it returns counts of validation films at
    ε = 0, 0.05, ..., 1, one ε is fixed for all, and test films are counted once, at that ε.
    """
    require_extra("federation")
    from gdshare.cohort import open_cohort

    if name is not None and re.fullmatch(SITE, name) is None:
        raise UsageError(f"--name {name}: a name has lower-case letters, digits and hyphens only")
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
        open_cohort(reference)  # now, not once the hospitals have been asked
    signer = signer_from(key, name, passphrase_file)
    address = SuperLinkAddress(superlink, insecure, root_certificates)
    tell = partial(typer.echo, err=True)
    with receipts_for(order.ledger, out / RECEIPTS, signer, tell):
        table = run_round(address, out, order, tell)
    typer.echo((out / RESULT).read_text(encoding="utf-8") if as_json else table, nl=False)


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(aggregate)
