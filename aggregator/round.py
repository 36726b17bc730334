"""One round, from asking for bundles to the table, over whatever ``Grid`` it is given.

1. wait for nodes; 2. collect; 3. take in withdrawals; 4. verify; 5. see what each bundle teaches
alone, and quarantine what is not plausible; 6. admit; 7. pool and train; 8. count validation films;
9. fix one ε; 10. count test films, once. Only nodes whose bundle was verified are asked to count:
the signature on it is all that ties a node to a hospital. No bundle is kept beyond the round: it
lies in this process's memory only.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from flwr.serverapp import Grid
from pydantic import JsonValue

from aggregator.admission.collected import split_files
from aggregator.admission.decide import Gathered, admit_judged, judge, verify
from aggregator.admission.plausibility import (
    contribution_of,
)
from aggregator.flower.counting import Counted, count_films, lacking
from aggregator.flower.exchange import Replies, ask
from aggregator.flower.folder import MODEL, REFUSALS
from aggregator.flower.order import Order
from aggregator.refusals import Refusal, reasons
from aggregator.results import RoundResult, pooled_by_threshold, rows, weights, write_result
from aggregator.trust.bundle_history import (
    TRAIN,
    trained_from,
    withdrawn,
)
from aggregator.trust.bundle_history import admitted as still_admitted
from aggregator.verified import Verified, digests
from gdshare.cohort import open_cohort
from gdshare.errors import FederationError
from gdshare.ledger import in_one_line, open_ledger
from gdshare.messages import COLLECT
from gdshare.metrics import best_threshold
from gdshare.model import Model, save_model
from gdshare.pooling import train_pooled
from gdshare.storage import write_bytes

Tell = Callable[[str], None]

POLL = 0.5


@dataclass(frozen=True)
class Evaluated:
    """Both counts and the ε between them."""

    validation: Counted
    epsilon: float
    test: Counted


def hold_round(grid: Grid, order: Order, out: Path, now: datetime, tell: Tell) -> RoundResult:
    """Hold the round; on return everything is in ``out``.

    Args:
        grid: Flower's way to the nodes.
        order: what is asked for.
        out: ``refusals.jsonl``, ``model/``, ``table.txt`` and ``round.json`` are written here.
        now: the aggregator's clock, UTC.
        tell: told each step in one line.

    Raises:
        FederationError: no node came, no bundle was admitted, or no film was counted.
        LedgerError: the ledger was altered or cut short, or cannot be written; nothing is admitted.
    """
    seconds: dict[str, float] = {}
    reference = None if order.reference is None else open_cohort(order.reference)
    with _timed(seconds, "collect"):
        nodes = wait_for_nodes(grid, order, tell)
        replies = _collect(grid, nodes, order.timeout, tell)
    handed = split_files(replies)
    sound, refused = verify(order, handed, now, tell)
    with _timed(seconds, "plausibility"):
        judged = judge(grid, order, sound, reference, tell)
    gathered = admit_judged(order, handed, replies.silent, refused, judged, now)
    _record(out, gathered.refusals)
    _require_some(gathered)
    tell(f"admitted {len(gathered.admitted)} bundles: {', '.join(digests(gathered.admitted))}")
    with _timed(seconds, "train"):
        model = _train(gathered.admitted, order)
        _record_training(order, gathered.admitted, model, out / MODEL, now)
        save_model(out / MODEL, model, _origin(gathered.admitted, order, model))
    tell(f"trained {len(model.ensemble)} of {order.ensemble} networks ({model.network}) from them")
    evaluated = _evaluate(grid, gathered.admitted, model, order.timeout, seconds, tell)
    # Kept with the weights, so that whoever classifies with the model later does so at this ε.
    origin = _origin(gathered.admitted, order, model) | {"threshold": evaluated.epsilon}
    save_model(out / MODEL, model, origin)
    result = _result(order, gathered, model, evaluated, seconds)
    write_result(out, result)
    return result


def _evaluate(
    grid: Grid,
    admitted: Sequence[Verified],
    model: Model,
    timeout: float,
    seconds: dict[str, float],
    tell: Tell,
) -> Evaluated:
    with _timed(seconds, "validation"):
        validation = count_films(grid, admitted, model, None, timeout)
    epsilon = _fix_epsilon(validation)
    tell(f"fixed ε = {epsilon:.2f} on validation films of {len(validation.counts)} sites")
    with _timed(seconds, "test"):
        test = count_films(grid, admitted, model, epsilon, timeout)
    if not test.counts:
        raise FederationError(f"no test film was counted ({lacking(test)})")
    tell(f"counted test films of {len(test.counts)} sites")
    return Evaluated(validation, epsilon, test)


def wait_for_nodes(grid: Grid, order: Order, tell: Tell) -> list[int]:
    """Wait until as many nodes are connected as ordered, or the time is up.

    Raises:
        FederationError: not one node came.
    """
    end = time.monotonic() + order.wait
    nodes = list(grid.get_node_ids())
    while len(nodes) < order.sites and time.monotonic() < end:
        time.sleep(POLL)
        nodes = list(grid.get_node_ids())
    if not nodes:
        raise FederationError(
            f"no hospital connected within {order.wait:.0f} s",
            remedy="ask them to start their nodes",
        )
    tell(f"{len(nodes)} of {order.sites} nodes are connected")
    return sorted(nodes)


def _collect(grid: Grid, nodes: Sequence[int], timeout: float, tell: Tell) -> Replies:
    replies = ask(grid, f"query.{COLLECT}", {node: {} for node in nodes}, timeout)
    tell(
        f"{len(replies.answers)} nodes handed something over, {len(replies.refused)} refused, "
        f"{len(replies.silent)} did not answer"
    )
    return replies


def _record(out: Path, refusals: Sequence[Refusal]) -> None:
    lines = [json.dumps(asdict(refusal), sort_keys=True) + "\n" for refusal in refusals]
    write_bytes(out / REFUSALS, "".join(lines).encode())


def _require_some(gathered: Gathered) -> None:
    if not gathered.admitted:
        silent = f"{len(gathered.silent)} nodes did not answer"
        raise FederationError(
            "no bundle was admitted, so there is nothing to train on "
            f"({reasons(gathered.refusals)}; {silent})",
            remedy="settle the reasons with the hospitals and start again",
        )


def _train(admitted: Sequence[Verified], order: Order) -> Model:
    contributions = [contribution_of(one) for one in admitted]
    protocol = admitted[0].bundle.manifest.protocol
    return train_pooled(contributions, protocol, order.pooling, order.seed, order.ensemble)


def _record_training(
    order: Order, admitted: Sequence[Verified], model: Model, folder: Path, now: datetime
) -> None:
    """A line a bundle, before the model is on the disk: a withdrawal finds the model by it.

    Raises:
        FederationError: a bundle was withdrawn, or lost its admission, while the model was trained.
    """
    digest = hashlib.sha256(model.to_bytes()).hexdigest()
    with open_ledger(order.ledger) as ledger:
        gone = withdrawn(ledger.entries)
        for one in admitted:
            name = one.bundle.manifest.name
            if (name, one.bundle.digest) in gone:
                raise FederationError(
                    f"{name} was withdrawn while the model was trained from it, so the "
                    "model was not kept",
                    remedy="hold the round again",
                )
            if one.bundle.digest not in still_admitted(ledger.entries):
                raise FederationError(
                    f"{name} lost its admission while the model was trained from it "
                    "(gdshare trust revoke --since), so the model was not kept",
                    remedy="hold the round again",
                )
        for one in admitted:
            why = trained_from(one.bundle.manifest.name, one.bundle.digest)
            ledger.write(now, TRAIN, order.operator, in_one_line(str(folder)), digest, why)


def _origin(admitted: Sequence[Verified], order: Order, model: Model) -> dict[str, JsonValue]:
    return {
        "bundles": dict(digests(admitted)),
        "pooling": order.pooling,
        "ensemble": len(model.ensemble),
        "seed": order.seed,
    }


def _fix_epsilon(validation: Counted) -> float:
    if not validation.counts:
        raise FederationError(f"no validation film was counted ({lacking(validation)})")
    return best_threshold(pooled_by_threshold(list(validation.counts.values())))


def _result(
    order: Order,
    gathered: Gathered,
    model: Model,
    evaluated: Evaluated,
    seconds: Mapping[str, float],
) -> RoundResult:
    test = {site: at_epsilon[0] for site, at_epsilon in evaluated.test.counts.items()}
    return RoundResult(
        network=model.network,
        networks=len(model.ensemble),
        epsilon=evaluated.epsilon,
        validation=evaluated.validation.counts,
        test=test,
        bundles=digests(gathered.admitted),
        refusals=gathered.refusals,
        plausibility=gathered.plausible,
        weights=weights(gathered.admitted),
        missing=[*evaluated.validation.missing, *evaluated.test.missing],
        silent=gathered.silent,
        rows=rows(test, order.seed),
        seconds=seconds,
        bytes_moved={"bundles": gathered.handed.bundle_bytes, "model": len(model.to_bytes())},
        order=order,
    )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - start, 2)
