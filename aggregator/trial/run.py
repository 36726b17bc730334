"""Holding a trial: every hospital's part, one federated round, the comparison."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from pydantic import JsonValue, TypeAdapter

from aggregator.flower.folder import MODEL, REFUSALS, RESULT
from aggregator.flower.local_federation import SiteNode, local_federation
from aggregator.flower.order import Order, ledger_beside
from aggregator.flower.submit import run_round
from aggregator.trial.compare import RoundOutcome, compare
from aggregator.trial.hospital import Released
from aggregator.trial.plan import Stage, Trial
from aggregator.trial.side_by_side import release_all
from aggregator.trial.table import as_data, markdown
from aggregator.trust.bundle_history import ACCEPT, accepted
from gdshare.errors import FederationError
from gdshare.ledger import open_ledger
from gdshare.metrics import Confusion
from gdshare.model import load_model
from gdshare.storage import write_bytes, write_json

REPORT, TABLE, ROUND = "trial.json", "table.md", "round"
ANSWER_SECONDS = 3600.0


@dataclass
class _Clock:
    """Seconds of each part of this attempt."""

    now: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = self.now()
        yield
        self.seconds[name] = round(self.now() - began, 1)


def run_trial(
    trial: Trial,
    out: Path,
    now: datetime,
    stage: Stage,
    workers: int = 2,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Hold a trial, or go on with one that was interrupted; returns its table in Markdown.

    Args:
        trial: the plan; an interrupted trial must be given the same.
        out: the trial's folder.
        now: time of signing.
        stage: told what happens.
        workers: hospitals that do their part at the same time.
        clock: seconds, for the report.

    Raises:
        GdshareError: a hospital's part or the round failed; what is finished stays.
    """
    timer = _Clock(clock)
    torch.set_num_threads(1)  # as in the hospitals' processes; one seed's bytes depend on it
    with timer.part("hospitals"):
        released = release_all(trial, out, now, stage, workers)
    with timer.part("round"):
        found = _round(released, out, trial, now, stage)
    with timer.part("comparison"):
        comparison = compare(released, _pooled_by(found, released, out), out, trial, stage)
    text = markdown(comparison)
    write_bytes(out / TABLE, text.encode())
    report: dict[str, JsonValue] = {
        "settings": trial.settings.model_dump(mode="json"),
        "protocol": trial.protocol.model_dump(mode="json"),
        "pooling": trial.pooling,
        "hospitals": {one.name: _facts(one) for one in released},
        "bytes_moved": found["bytes_moved"],
        "round_seconds": found["seconds"],
        "seconds_of_this_attempt": dict(timer.seconds),
        **as_data(comparison),
    }
    write_json(out / REPORT, report)
    return text


def _round(
    released: Sequence[Released], out: Path, trial: Trial, now: datetime, stage: Stage
) -> dict[str, JsonValue]:
    """The federated round over real Flower processes, unless an earlier attempt held it."""
    result = out / ROUND / RESULT
    if not result.exists():
        # What a broken-off round left cannot be gone on with; asking again costs a minute, and the
        # nodes' ledgers give the same test counts again.
        shutil.rmtree(out / ROUND, ignore_errors=True)
        stage.tell(f"starting a SuperLink and {len(released)} SuperNodes on this machine")
        nodes = [
            SiteNode(one.name, one.outbox, one.cohort.path, trial.minimum_films) for one in released
        ]
        order = Order(
            trust=out / "trust",
            ledger=ledger_beside(out / "trust").absolute(),
            operator="trial",
            pooling=trial.pooling,
            ensemble=trial.ensemble,
            seed=trial.settings.seed,
            sites=len(released),
            timeout=ANSWER_SECONDS,
        )
        accept_all(released, order.ledger, now)
        with local_federation(nodes, out / "federation") as superlink:
            run_round(superlink, out / ROUND, order, stage.tell)
    found: dict[str, JsonValue] = json.loads(result.read_bytes())
    return found


def accept_all(released: Sequence[Released], ledger: Path, now: datetime) -> None:
    """Let every hospital's bundle in whatever its figures: a trial compares all with all.

    The figures stand in the round's table all the same. An aggregator that collects bundles from
    hospitals accepts none unasked; there is no option for it.
    """
    with open_ledger(ledger) as book:
        known = accepted(book.entries)
        for one in released:
            if one.digest not in known:
                why = "a trial leaves no hospital out"
                book.write(now, ACCEPT, "trial", one.bundle.name, one.digest, why)


def _pooled_by(
    found: dict[str, JsonValue], released: Sequence[Released], out: Path
) -> RoundOutcome:
    """The round's model and test counts, if every hospital's present bundle was part of it.

    Raises:
        FederationError: a bundle was refused, a site's counts are lacking, or the
            round was held with other bundles.
    """
    wanted = {one.name: one.digest for one in released}
    if found["bundles"] != wanted or found["missing"]:
        raise FederationError(
            "the round lacks a hospital, or was held with other bundles",
            out / ROUND,
            f"look into {REFUSALS} and the logs, remove that folder, and run the trial again",
        )
    counts = TypeAdapter(dict[str, Confusion]).validate_python(found["test"])
    model, _ = load_model(out / ROUND / MODEL)
    return RoundOutcome(model, float(str(found["epsilon"])), counts)


def _facts(one: Released) -> dict[str, JsonValue]:
    return {
        "bundle": str(one.bundle.name),
        "bundle_bytes": one.bundle_bytes,
        "distil_seconds": round(one.seconds),
        "training_patients": one.contribution.patients,
        "validation_patch_score": one.patch_score,
        "validation_patch_score_deviation": one.patch_score_deviation,
        "counts": {split: c.model_dump() for split, c in one.cohort.counts.items()},
    }
