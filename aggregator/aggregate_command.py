"""``gdshare aggregate``: one round on a running SuperLink."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from click.core import ParameterSource

from aggregator.flower.cli import SuperLinkAddress
from aggregator.flower.folder import MODEL, PAGE, RECEIPTS, RECORD, RESULT
from aggregator.flower.order import Order, Scheme, read_order
from aggregator.flower.submit import resume_round, run_round
from aggregator.receipts import receipts_for
from aggregator.record import read_record
from aggregator.signer import check_name, open_signer
from gdshare.announcement import read_announcement
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson, print_json, print_line, print_next, print_text
from gdshare.config import variable
from gdshare.flower import require_flower
from gdshare.ledger import Anchor
from gdshare.next_steps import Command, Word
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.trust.keys import ledger_beside

SITES_MISSING: Final = 3
"""The exit status of a round that is finished, and from whose counts a hospital is missing."""
CHANGEABLE: Final = ("sites", "minimum", "wait", "timeout", "deadline")

log = logging.getLogger(__name__)


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
    out: Annotated[
        Path,
        typer.Option(help="Folder for model, table and refusals; a new one but for --resume."),
    ],
    context: typer.Context,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the round in --out, which was interrupted or waits for more "
            "hospitals; or follow it, if it is running. It keeps its own options but for --sites, "
            "--minimum, --wait, --timeout and --deadline, where they are typed.",
        ),
    ] = False,
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
    announcement: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="What gdshare announce made: only bundles that were distilled for its θ0 are "
            "admitted. Without it: those distilled for what most are, but for shared models.",
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
    minimum: Annotated[
        int,
        typer.Option(
            min=1,
            help="With fewer hospitals nothing is trained, and no test film is counted: the round "
            "stops, and --resume goes on with it.",
        ),
    ] = 2,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for them.")] = 120.0,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds a hospital has for each answer.")
    ] = 1800.0,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Seconds that each step (bundles, validation counts, test counts) waits for "
            "hospitals that are late, or cut off and come back; they are asked again. Default: "
            "--timeout, and only for those that were there.",
        ),
    ] = None,
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

    A round that is killed goes on where it was: by itself if this command lives, by --resume
    otherwise. Exits with 3 if it is finished and hospitals are missing from it.
    """
    require_flower()
    from gdshare.cohort import open_cohort

    check_name(name)
    order = Order(
        trust=trust,
        ledger=ledger_beside(trust),
        operator=operator_name(),
        name=name,
        reference=reference,
        announcement=announcement,
        pooling=pooling,
        ensemble=ensemble,
        seed=seed,
        sites=sites,
        minimum=minimum,
        wait=wait,
        timeout=timeout,
        deadline=deadline,
    )
    if announcement is not None:
        read_announcement(announcement)
    if reference is not None:
        open_cohort(reference)  # fails now rather than after the hospitals were asked
    signer = open_signer(key, name, passphrase_file)
    address = SuperLinkAddress(superlink, insecure, root_certificates)
    if resume:
        kept = read_order(out)
        typed = _typed(context, order)
        with receipts_for(kept.ledger, out / RECEIPTS, signer, _ledger_before(out)):
            table = resume_round(address, out, lambda old: old.model_copy(update=typed))
    else:
        with receipts_for(order.ledger, out / RECEIPTS, signer):
            table = run_round(address, out, order)
    result = json.loads((out / RESULT).read_bytes())
    if as_json:
        print_json(result)
    else:
        print_text(table)
        print_line(f"page: {out / PAGE}")
        classify = Command("classify", (Word(out / MODEL), Word(None, "FILM...")))
        print_next(classify, ", as every hospital can")
    if absent := _absent(result):
        log.warning("the round is finished without %s", absent)
        raise typer.Exit(SITES_MISSING)


def _typed(context: typer.Context, order: Order) -> dict[str, object]:
    """What a resumed round takes from this command line."""
    line = ParameterSource.COMMANDLINE
    names = [name for name in CHANGEABLE if context.get_parameter_source(name) == line]
    return {name: getattr(order, name) for name in names}


def _ledger_before(out: Path) -> Anchor | None:
    """Where the ledger stood before the round; None if the round never began."""
    if not (out / RECORD).exists():
        return None
    with read_record(out / RECORD) as record:
        return record.ledger_before


def _absent(result: Mapping[str, Any]) -> str:
    """The hospitals that were asked and are missing from the test counts, in words."""
    names = result.get("names", {})
    silent = [names.get(str(node), f"node {node}") for node in result.get("silent", ())]
    missing = sorted({str(missing["site"]) for missing in result.get("missing", ())})
    return ", ".join([*missing, *silent])


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(aggregate)
