"""``gdshare aggregate``: one round on a running SuperLink."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer
from click.core import ParameterSource

from aggregator.aggregate_options import (
    AnnouncementFolder,
    Deadline,
    Ensemble,
    Insecure,
    Key,
    Minimum,
    Name,
    Out,
    Pooling,
    Reference,
    Resume,
    RootCertificates,
    Seed,
    Sites,
    SuperLink,
    Timeout,
    TrustFolder,
    Wait,
)
from aggregator.flower.cli import SuperLinkAddress
from aggregator.flower.folder import MODEL, PAGE, RECEIPTS, RECORD, RESULT
from aggregator.flower.order import MINIMUM, Order, read_order
from aggregator.flower.submit import resume_round, run_round
from aggregator.receipts import Signer, receipts_for
from aggregator.record import read_record
from aggregator.signer import check_name, open_signer
from gdshare.announcement import read_announcement
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE
from gdshare.cli.terminal import AsJson, print_json, print_line, print_next, print_text
from gdshare.flower import require_flower
from gdshare.ledger import Anchor
from gdshare.next_steps import Command, Word
from gdshare.trust.keys import ledger_beside

SITES_MISSING: Final = 3
"""The exit status of a round that is finished, and from whose counts a hospital is missing."""
CHANGEABLE: Final = ("sites", "minimum", "wait", "timeout", "deadline")

log = logging.getLogger(__name__)


def aggregate(
    superlink: SuperLink,
    trust: TrustFolder,
    out: Out,
    context: typer.Context,
    resume: Resume = False,
    name: Name = None,
    key: Key = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    reference: Reference = None,
    announcement: AnnouncementFolder = None,
    pooling: Pooling = "average",
    ensemble: Ensemble = 5,
    seed: Seed = 0,
    sites: Sites = 1,
    minimum: Minimum = MINIMUM,
    wait: Wait = 120.0,
    timeout: Timeout = 1800.0,
    deadline: Deadline = None,
    root_certificates: RootCertificates = None,
    insecure: Insecure = False,
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
        table = _resume(address, out, _typed(context, order), signer)
    else:
        table = _hold(address, out, order, signer)
    result = json.loads((out / RESULT).read_bytes())
    _print(out, table, result, as_json)
    if absent := _absent(result):
        log.warning("the round is finished without %s", absent)
        raise typer.Exit(SITES_MISSING)


def _hold(address: SuperLinkAddress, out: Path, order: Order, signer: Signer | None) -> str:
    """A new round, with receipts whether it ends well or not; returns the table."""
    with receipts_for(order.ledger, out / RECEIPTS, signer):
        return run_round(address, out, order)


def _resume(
    address: SuperLinkAddress, out: Path, typed: Mapping[str, object], signer: Signer | None
) -> str:
    """The same for the round that lies in ``out``, with what was typed in place of its own."""
    ledger = read_order(out).ledger
    with receipts_for(ledger, out / RECEIPTS, signer, _ledger_before(out)):
        return resume_round(address, out, lambda kept: kept.model_copy(update=typed))


def _print(out: Path, table: str, result: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    print_text(table)
    print_line(f"page: {out / PAGE}")
    classify = Command("classify", (Word(out / MODEL), Word(None, "FILM...")))
    print_next(classify, ", as every hospital can")


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
