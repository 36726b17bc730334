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

from aggregator.admission import Admitted, admit
from aggregator.exchange import Replies, ask
from aggregator.folder import MODEL, REFUSALS
from aggregator.handed_over import HandedOver, taken_apart
from aggregator.order import Order
from aggregator.plausibility import (
    CountedBy,
    Plausibility,
    contribution_of,
    plausibility,
    quarantine,
)
from aggregator.refusals import Refusal, reasons
from aggregator.results import (
    Missing,
    RoundResult,
    digests,
    pooled_by_threshold,
    rows,
    weights,
    write_result,
)
from aggregator.seen import (
    ADMIT,
    QUARANTINE,
    REFUSE,
    TRAIN,
    accepted,
    quarantined,
    signed_with,
    trained_from,
    withdrawn,
)
from aggregator.seen import admitted as still_admitted
from aggregator.standing import ending
from aggregator.teaching import Reference, reference_of
from aggregator.trust import Trust, load_trust
from aggregator.withdrawals import take_in
from gdshare.cohort import Cohort, open_cohort
from gdshare.errors import FederationError
from gdshare.ledger import Act, Ledger, in_one_line, open_ledger, read_ledger
from gdshare.metrics import Confusion, best_threshold
from gdshare.model import Model, save_model
from gdshare.pooling import train_pooled
from gdshare.protocol import Protocol
from gdshare.questions import COLLECT, COUNTS, CountQuestion, QuestionError, counts_from_fields
from gdshare.storage import write_bytes

Tell = Callable[[str], None]

POLL = 0.5


@dataclass(frozen=True)
class Gathered:
    """What the nodes handed over, sorted."""

    handed: HandedOver
    silent: Sequence[int]
    admitted: Sequence[Admitted]
    refusals: Sequence[Refusal]
    plausible: Mapping[str, Plausibility]


@dataclass(frozen=True)
class Counted:
    """Counts by site, and who is lacking."""

    counts: Mapping[str, Sequence[Confusion]]
    missing: Sequence[Missing]


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
    handed = taken_apart(replies)
    sound, refused = _verify(order, handed, now, tell)
    with _timed(seconds, "plausibility"):
        judged = _judge(grid, order, sound, reference, tell)
    gathered = _admit(order, handed, replies.silent, refused, judged, now)
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


def _verify(
    order: Order, handed: HandedOver, now: datetime, tell: Tell
) -> tuple[list[Admitted], list[Refusal]]:
    """Record what hospitals withdraw, then what is refused, before anything is judged."""
    trust = load_trust(order.trust)
    with open_ledger(order.ledger) as ledger:
        refused = take_in(handed.withdrawals, trust, ledger, now, order.operator, tell)
        sound, unsound = _sound(order, handed, now, tuple(ledger.acts))
        refused += unsound
        for refusal in refused:
            _write_refusal(ledger, order, now, REFUSE, refusal)
        _warn_of_ends(trust, ledger.acts, now, tell)
    return sound, refused


def _judge(
    grid: Grid,
    order: Order,
    sound: Sequence[Admitted],
    reference: Cohort | None,
    tell: Tell,
) -> dict[str, Plausibility]:
    """What is known of each sound bundle's plausibility, by its site."""
    acts = read_ledger(order.ledger)
    if not sound:
        return {}

    silent: set[str] = set()

    def ask_sites(model: Model, sites: Sequence[str]) -> CountedBy:
        """Whoever has not counted once is not waited for again, for the next bundle."""
        asked = [one for one in sound if one.site in sites and one.site not in silent]
        counts = _count(grid, asked, model, None, order.timeout).counts
        silent.update(one.site for one in asked if one.site not in counts)
        return counts

    protocol = sound[0].bundle.manifest.protocol
    shown = None if reference is None else _reference(reference, protocol, order.seed)
    found = plausibility(
        sound, order.seed, shown, ask_sites, accepted(acts), frozenset(quarantined(acts))
    )
    kept = [site for site, one in found.items() if one.quarantined]
    tell(f"quarantined {', '.join(kept) or 'none'} of {len(found)} sound bundles")
    return found


def _reference(cohort: Cohort, protocol: Protocol, seed: int) -> Reference:
    protocol.require_same(cohort.protocol, f"the reference {cohort.path}")
    return reference_of(cohort, seed)


def _sound(
    order: Order, handed: HandedOver, now: datetime, acts: Sequence[Act]
) -> tuple[list[Admitted], list[Refusal]]:
    in_step = order.pooling == "in-step"
    trust = load_trust(order.trust)
    return admit(handed.bundles, trust, now, same_steps=in_step, acts=acts, name=order.name)


def _admit(
    order: Order,
    handed: HandedOver,
    silent: Sequence[int],
    refused: Sequence[Refusal],
    judged: Mapping[str, Plausibility],
    now: datetime,
) -> Gathered:
    """Verify anew and record. Judging takes minutes; meanwhile others may have admitted bundles."""
    # Nobody else admits anything between what is read of the ledger and what is added to it.
    with open_ledger(order.ledger) as ledger:
        sound, unsound = _sound(order, handed, now, tuple(ledger.acts))
        since = [one for one in unsound if one not in refused]
        for refusal in since:
            _write_refusal(ledger, order, now, REFUSE, refusal)
        if digests(sound) != {site: one.digest for site, one in judged.items()}:
            raise FederationError(
                "whose bundles are good was changed by somebody else during this round; start again"
            )
        held = [one for one in sound if judged[one.site].quarantined]
        admitted = [one for one in sound if not judged[one.site].quarantined]
        for one in admitted:
            manifest = one.bundle.manifest
            why = signed_with(one.key)
            ledger.write(now, ADMIT, order.operator, manifest.name, one.bundle.digest, why)
        aside = [quarantine(one, judged[one.site]) for one in held]
        for one, refusal in zip(held, aside, strict=True):
            why = in_one_line(f"{signed_with(one.key)}: {refusal.message}")
            ledger.write(now, QUARANTINE, order.operator, str(refusal.name), refusal.digest, why)
    return Gathered(handed, silent, admitted, [*refused, *since, *aside, *handed.refusals], judged)


def _write_refusal(ledger: Ledger, order: Order, now: datetime, act: str, refusal: Refusal) -> None:
    what = refusal.name or refusal.site or f"node {refusal.node}"
    why = in_one_line(f"{refusal.reason}: {refusal.message}")
    ledger.write(now, act, order.operator, what, refusal.digest, why)


def _warn_of_ends(trust: Trust, acts: Sequence[Act], now: datetime, tell: Tell) -> None:
    for site, end in ending(trust.keys, acts, now).items():
        tell(
            f"the last key of {site} {'ended' if now >= end else 'ends'} on {end:%Y-%m-%d}: ask it "
            "for a new one (gdshare keys rotate)"
        )


def _evaluate(
    grid: Grid,
    admitted: Sequence[Admitted],
    model: Model,
    timeout: float,
    seconds: dict[str, float],
    tell: Tell,
) -> Evaluated:
    with _timed(seconds, "validation"):
        validation = _count(grid, admitted, model, None, timeout)
    epsilon = _fix_epsilon(validation)
    tell(f"fixed ε = {epsilon:.2f} on validation films of {len(validation.counts)} sites")
    with _timed(seconds, "test"):
        test = _count(grid, admitted, model, epsilon, timeout)
    if not test.counts:
        raise FederationError(f"no test film was counted ({_lacking(test)})")
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
            f"no hospital connected within {order.wait:.0f} s; ask them to start their nodes"
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
            f"({reasons(gathered.refusals)}; {silent}); settle the reasons with the hospitals and "
            "start again"
        )


def _train(admitted: Sequence[Admitted], order: Order) -> Model:
    contributions = [contribution_of(one) for one in admitted]
    protocol = admitted[0].bundle.manifest.protocol
    return train_pooled(contributions, protocol, order.pooling, order.seed, order.ensemble)


def _record_training(
    order: Order, admitted: Sequence[Admitted], model: Model, folder: Path, now: datetime
) -> None:
    """A line a bundle, before the model is on the disk: a withdrawal finds the model by it.

    Raises:
        FederationError: a bundle was withdrawn, or lost its admission, while the model was trained.
    """
    digest = hashlib.sha256(model.to_bytes()).hexdigest()
    with open_ledger(order.ledger) as ledger:
        gone = withdrawn(ledger.acts)
        for one in admitted:
            name = one.bundle.manifest.name
            if (name, one.bundle.digest) in gone:
                raise FederationError(
                    f"{name} was withdrawn while the model was trained from it, so the model was "
                    "not kept; hold the round again"
                )
            if one.bundle.digest not in still_admitted(ledger.acts):
                raise FederationError(
                    f"{name} lost its admission while the model was trained from it (gdshare trust "
                    "revoke --since), so the model was not kept; hold the round again"
                )
        for one in admitted:
            why = trained_from(one.bundle.manifest.name, one.bundle.digest)
            ledger.write(now, TRAIN, order.operator, in_one_line(str(folder)), digest, why)


def _origin(admitted: Sequence[Admitted], order: Order, model: Model) -> dict[str, JsonValue]:
    return {
        "bundles": dict(digests(admitted)),
        "pooling": order.pooling,
        "ensemble": len(model.ensemble),
        "seed": order.seed,
    }


def _count(
    grid: Grid, admitted: Sequence[Admitted], model: Model, epsilon: float | None, timeout: float
) -> Counted:
    """Have every admitted site count, and read its counts as a stranger's."""
    question = CountQuestion(model.network, model.protocol, model.to_bytes(), epsilon)
    fields = question.to_fields()
    replies = ask(grid, f"evaluate.{COUNTS}", {one.node: fields for one in admitted}, timeout)
    counts: dict[str, Sequence[Confusion]] = {}
    missing: list[Missing] = []
    for one in admitted:
        try:
            counts[one.site] = _read(replies, one.node, len(question.thresholds))
        except FederationError as error:
            missing.append(Missing(one.site, question.split, str(error)))
    return Counted(counts, missing)


def _read(replies: Replies, node: int, thresholds: int) -> list[Confusion]:
    if node in replies.refused:
        raise FederationError(replies.refused[node].value)
    if node not in replies.answers:
        raise FederationError("no answer")
    try:
        return counts_from_fields(replies.answers[node], thresholds)
    except QuestionError as error:
        raise FederationError(f"not believed: {error}") from error


def _fix_epsilon(validation: Counted) -> float:
    if not validation.counts:
        raise FederationError(f"no validation film was counted ({_lacking(validation)})")
    return best_threshold(pooled_by_threshold(list(validation.counts.values())))


def _lacking(counted: Counted) -> str:
    return "; ".join(f"{one.site}: {one.reason}" for one in counted.missing)


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
