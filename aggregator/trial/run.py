"""Running a trial: every hospital's part, one federated round, the comparison."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch
from pydantic import JsonValue, TypeAdapter

from aggregator.flower.folder import MODEL, REFUSALS, RESULT
from aggregator.flower.local_federation import SiteNode, local_federation
from aggregator.flower.order import Order
from aggregator.flower.submit import run_round
from aggregator.stopwatch import Stopwatch
from aggregator.trial.compare import Comparison, RoundOutcome, compare
from aggregator.trial.hospital import Participant
from aggregator.trial.plan import Show, Trial
from aggregator.trial.side_by_side import release_all
from aggregator.trial.table import as_data, markdown
from aggregator.trust.bundle_history import ACCEPT, accepted_digests
from gdshare.errors import FederationError
from gdshare.ledger import open_ledger
from gdshare.metrics import Confusion
from gdshare.model import load_model
from gdshare.storage import write_bytes, write_json
from gdshare.trust.keys import ledger_beside

REPORT, TABLE, ROUND = "trial.json", "table.md", "round"
ANSWER_TIMEOUT_S = 3600.0
EVERY_FILM = 1
"""No cell is suppressed: a trial sees every film (docs/adr/0007-a-trial-sees-every-film.md)."""

log = logging.getLogger(__name__)


def run_trial(trial: Trial, out: Path, now: datetime, show: Show, workers: int = 2) -> str:
    """Run a trial, or go on with an interrupted one; returns its table in Markdown.

    Args:
        trial: the plan; an interrupted trial must be given the same.
        out: the trial's folder.
        now: time of signing.
        show: shows progress.
        workers: hospitals that do their part at the same time.

    Raises:
        GdshareError: a hospital's part or the round failed; finished parts stay.
    """
    watch = Stopwatch()
    torch.set_num_threads(1)  # as in the hospitals' processes; a seed's bytes depend on it
    with watch.step("hospitals"):
        sites = release_all(trial, out, now, show, workers)
    with watch.step("round"):
        result = _round_result(sites, out, trial, now)
    with watch.step("comparison"):
        comparison = compare(sites, _outcome(result, sites, out), out, trial, show)
    text = markdown(comparison)
    write_bytes(out / TABLE, text.encode())
    write_json(out / REPORT, report(trial, sites, result, comparison, watch.seconds))
    return text


def report(
    trial: Trial,
    sites: Sequence[Participant],
    result: Mapping[str, JsonValue],
    comparison: Comparison,
    seconds: Mapping[str, float],
) -> dict[str, JsonValue]:
    """All of a trial as plain data.

    Args:
        trial: the plan.
        sites: the hospitals.
        result: of the round, as in ``round.json``.
        comparison: of the models.
        seconds: step -> how long it took.
    """
    return {
        "settings": trial.settings.model_dump(mode="json"),
        "protocol": trial.protocol.model_dump(mode="json"),
        "pooling": trial.pooling,
        "hospitals": {site.name: _facts(site) for site in sites},
        "bytes_moved": result["bytes_moved"],
        "round_seconds": result["seconds"],
        "seconds_of_this_attempt": dict(seconds),
        **as_data(comparison),
    }


def _round_result(
    sites: Sequence[Participant], out: Path, trial: Trial, now: datetime
) -> dict[str, JsonValue]:
    """The result of the round over real Flower processes, unless an earlier attempt has it."""
    path = out / ROUND / RESULT
    if not path.exists():
        # A broken-off round cannot be resumed; asking again costs a minute, and the nodes' records
        # give the same test counts again.
        shutil.rmtree(out / ROUND, ignore_errors=True)
        log.info("starting a SuperLink and %d SuperNodes on this machine", len(sites))
        nodes = site_nodes([site.name for site in sites], out, trial)
        order = Order(
            trust=out / "trust",
            ledger=ledger_beside(out / "trust").absolute(),
            operator="trial",
            pooling=trial.pooling,
            ensemble=trial.ensemble,
            seed=trial.settings.seed,
            sites=len(sites),
            timeout=ANSWER_TIMEOUT_S,
        )
        accept_all(sites, order.ledger, now)
        with local_federation(nodes, out / "federation") as superlink:
            run_round(superlink, out / ROUND, order)
    result: dict[str, JsonValue] = json.loads(path.read_bytes())
    return result


def site_nodes(names: Sequence[str], out: Path, trial: Trial) -> list[SiteNode]:
    """The nodes of a trial's hospitals."""
    return [
        SiteNode(
            name,
            out / "sites" / name / "outbox",
            out / "sites" / name / "cohort",
            out / "trust",
            trial.minimum_films,
            EVERY_FILM,
        )
        for name in names
    ]


def accept_all(sites: Sequence[Participant], ledger_path: Path, now: datetime) -> None:
    """Accept every hospital's bundle whatever its figures: a trial compares all with all.

    The round's table has the figures all the same. An aggregator that collects bundles from
    hospitals accepts none unasked; there is no option for it.
    """
    with open_ledger(ledger_path) as ledger:
        accepted = accepted_digests(ledger.entries)
        for site in sites:
            if site.digest not in accepted:
                why = "a trial leaves no hospital out"
                ledger.write(now, ACCEPT, "trial", site.bundle.name, site.digest, why)


def _outcome(result: dict[str, JsonValue], sites: Sequence[Participant], out: Path) -> RoundOutcome:
    """The round's model and test counts, if every hospital's present bundle was part of it.

    Raises:
        FederationError: a bundle was refused, a site's counts are missing, or the
            round was run with other bundles.
    """
    bundles = {site.name: site.digest for site in sites}
    if result["bundles"] != bundles or result["missing"]:
        raise FederationError(
            "the round lacks a hospital, or was run with other bundles",
            out / ROUND,
            f"see {REFUSALS} and the logs, remove that folder, and run the trial again",
        )
    counts = TypeAdapter(dict[str, Confusion]).validate_python(result["test"])
    model, _ = load_model(out / ROUND / MODEL)
    return RoundOutcome(model, float(str(result["epsilon"])), counts)


def _facts(site: Participant) -> dict[str, JsonValue]:
    return {
        "bundle": site.bundle.name,
        "bundle_bytes": site.bundle_bytes,
        "distil_seconds": round(site.seconds),
        "training_patients": site.contribution.patients,
        "validation_patch_score": site.patch_score,
        "validation_patch_score_deviation": site.patch_score_deviation,
        "counts": {split: counts.model_dump() for split, counts in site.cohort.counts.items()},
    }
