"""One round, from collecting bundles to the table, over any ``Grid``.

1. wait for nodes; 2. collect; 3. record withdrawals; 4. verify; 5. measure what each bundle teaches
alone, and quarantine implausible ones; 6. admit; 7. pool and train; 8. count validation films;
9. fix one ε; 10. count test films, once. Only nodes whose bundle was verified are asked to count:
the signature on it is all that ties a node to a hospital. Bundles stay in this process's memory and
are gone after the round.

::

    result = Round(grid, order, datetime.now(UTC)).run(out)
    print(table(result))
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from flwr.serverapp import Grid
from pydantic import JsonValue

from aggregator.admission.collected import split_files
from aggregator.admission.decide import Decision, assess, decide, verify_and_record
from aggregator.flower.counting import Counted, Trained, count_films
from aggregator.flower.exchange import Replies, ask
from aggregator.flower.folder import MODEL, REFUSALS
from aggregator.flower.order import Order
from aggregator.refusals import Refusal, reasons
from aggregator.results import RoundResult, chosen_epsilon, rows, weights, write_result
from aggregator.stopwatch import Stopwatch
from aggregator.trust.bundle_history import (
    TRAIN,
    admitted_digests,
    trained_from,
    withdrawn_bundles,
)
from aggregator.verified import Verified, digests
from gdshare.cohort import open_cohort
from gdshare.contributions import contribution_of
from gdshare.errors import FederationError
from gdshare.ledger import in_one_line, open_ledger
from gdshare.messages import COLLECT, Value
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.model import Model, save_model
from gdshare.pooling import train_pooled
from gdshare.progress import lines
from gdshare.storage import write_bytes

POLL_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """Both counts and the ε between them, which is the source's if it could not be chosen."""

    validation: Counted
    epsilon: float
    epsilon_chosen: bool
    test: Counted


@dataclass(frozen=True)
class Round:
    """A round to run.

    Attributes:
        grid: Flower's way to the nodes.
        order: what to do.
        now: the aggregator's clock at its start, UTC.
        began: the same moment by the clock that nobody sets.
    """

    grid: Grid
    order: Order
    now: datetime
    began: float = field(default_factory=time.monotonic)

    def moment(self) -> datetime:
        """The aggregator's clock: a line in the ledger has the time of its act."""
        return self.now + timedelta(seconds=time.monotonic() - self.began)

    def run(self, out: Path) -> RoundResult:
        """Run the round; on return everything is in ``out``.

        Args:
            out: for ``refusals.jsonl``, ``model/``, ``table.txt``, ``report.html`` and
                ``round.json``.

        Raises:
            FederationError: no node connected, no bundle was admitted, the trust list or the ledger
                changed meanwhile, or no film was counted.
            LedgerError: the ledger was altered or cut short, or cannot be written; nothing is
                admitted.
        """
        watch = Stopwatch()
        reference = None if self.order.reference is None else open_cohort(self.order.reference)
        with watch.step("collect"):
            replies = self._collect(self._wait_for_nodes())
        checked = verify_and_record(self.order, split_files(replies), self.moment())
        with watch.step("plausibility"):
            screenings = assess(self.grid, self.order, checked.sound, reference)
        decision = decide(self.order, checked, screenings, self.moment())
        _write_refusals(out, decision.refusals)
        admitted = decision.admitted
        if not admitted:
            raise _nothing_admitted(decision, replies)
        log.info("admitted %d bundles: %s", len(admitted), ", ".join(digests(admitted)))
        with watch.step("train"):
            model = self._train(admitted, out / MODEL)
        evaluated = self._evaluate(admitted, model, watch)
        # Saved with the weights, so that whoever classifies with the model does so at this ε.
        origin = self._origin(admitted, model) | {"threshold": evaluated.epsilon}
        save_model(out / MODEL, model, origin)
        validation, test = evaluated.validation.counts, evaluated.test.counts
        bundle_bytes = checked.collected.bundle_bytes
        result = RoundResult(
            network=model.network,
            networks=len(model.ensemble),
            epsilon=evaluated.epsilon,
            epsilon_chosen=evaluated.epsilon_chosen,
            validation={site: answer.confusions for site, answer in validation.items()},
            test={site: answer.confusions[0] for site, answer in test.items()},
            suppress_below={site: answer.suppress_below for site, answer in test.items()},
            noise={site: answer.noise for site, answer in test.items()},
            bundles=digests(admitted),
            refusals=decision.refusals,
            screenings=screenings,
            weights=weights(admitted),
            missing=[*evaluated.validation.missing, *evaluated.test.missing],
            silent=replies.silent,
            rows=rows(test, self.order.seed),
            seconds=watch.seconds,
            bytes_moved={"bundles": bundle_bytes, "model": len(model.to_bytes())},
            order=self.order,
        )
        write_result(out, result, admitted)
        return result

    def _wait_for_nodes(self) -> list[int]:
        """Wait until as many nodes are connected as ordered, or the time is up.

        Raises:
            FederationError: no node connected.
        """
        end = time.monotonic() + self.order.wait
        nodes = list(self.grid.get_node_ids())
        with lines("waiting for hospitals to connect", log.info) as report:
            while len(nodes) < self.order.sites and time.monotonic() < end:
                report(len(nodes), self.order.sites)
                time.sleep(POLL_S)
                nodes = list(self.grid.get_node_ids())
        if not nodes:
            raise FederationError(
                f"no hospital connected within {self.order.wait:.0f} s",
                remedy="ask them to start their nodes",
            )
        log.info("%d of %d nodes are connected", len(nodes), self.order.sites)
        return sorted(nodes)

    def _collect(self, nodes: Sequence[int]) -> Replies:
        requests: dict[int, dict[str, Value]] = {node: {} for node in nodes}
        who = "1 hospital" if len(nodes) == 1 else f"{len(nodes)} hospitals"
        what = "hand over what they released"
        replies = ask(self.grid, f"query.{COLLECT}", requests, self.order.timeout, who, what)
        log.info(
            "%d nodes handed something over, %d refused, %d did not answer",
            len(replies.answers),
            len(replies.refused),
            len(replies.silent),
        )
        return replies

    def _train(self, admitted: Sequence[Verified], folder: Path) -> Model:
        """Train the networks; the model is in the ledger before it is on the disk."""
        order = self.order
        contributions = [contribution_of(bundle.bundle) for bundle in admitted]
        protocol = admitted[0].bundle.manifest.protocol
        with lines(f"training networks from {len(admitted)} bundles", log.info) as report:
            model = train_pooled(
                contributions, protocol, order.pooling, order.seed, order.ensemble, report
            )
        self._record_training(admitted, model, folder)
        save_model(folder, model, self._origin(admitted, model))
        trained, network = len(model.ensemble), model.network
        wanted = order.ensemble if contributions[0].theta0_sha256 is None else 1
        log.info("trained %d of %d networks (%s) from them", trained, wanted, network)
        return model

    def _record_training(self, admitted: Sequence[Verified], model: Model, folder: Path) -> None:
        """Write a line per bundle, by which a withdrawal finds the model.

        Raises:
            FederationError: a bundle was withdrawn, or lost its admission, during the training.
        """
        digest = hashlib.sha256(model.to_bytes()).hexdigest()
        with open_ledger(self.order.ledger) as ledger:
            withdrawn = withdrawn_bundles(ledger.entries)
            still_admitted = admitted_digests(ledger.entries)
            for bundle in admitted:
                if (bundle.name, bundle.bundle.digest) in withdrawn:
                    loss = "was withdrawn"
                elif bundle.bundle.digest not in still_admitted:
                    loss = "lost its admission (gdshare trust revoke --since)"
                else:
                    continue
                raise FederationError(
                    f"{bundle.name} {loss} while the model was trained from it, so the model was "
                    "not kept",
                    remedy="hold the round again",
                )
            for bundle in admitted:
                why = trained_from(bundle.name, bundle.bundle.digest)
                what = in_one_line(str(folder))
                ledger.write(self.moment(), TRAIN, self.order.operator, what, digest, why)

    def _origin(self, admitted: Sequence[Verified], model: Model) -> dict[str, JsonValue]:
        return {
            "bundles": dict(digests(admitted)),
            "pooling": self.order.pooling,
            "ensemble": len(model.ensemble),
            "seed": self.order.seed,
        }

    def _evaluate(self, admitted: Sequence[Verified], model: Model, watch: Stopwatch) -> Evaluated:
        order, timeout = self.order, self.order.timeout
        trained = Trained(model, admitted, order.pooling, order.seed, order.ensemble)
        with watch.step("validation"):
            validation = count_films(self.grid, admitted, trained, None, timeout)
        if not validation.counts:
            raise FederationError(f"no validation film was counted ({validation.gaps})")
        chosen = chosen_epsilon(list(validation.counts.values()))
        if chosen is None:
            log.warning("the validation counts are the same at every ε: the source's is taken")
        epsilon = SOURCE_THRESHOLD if chosen is None else chosen
        log.info("fixed ε = %.2f on validation films of %d sites", epsilon, len(validation.counts))
        with watch.step("test"):
            test = count_films(self.grid, admitted, trained, epsilon, timeout)
        if not test.counts:
            raise FederationError(f"no test film was counted ({test.gaps})")
        log.info("counted test films of %d sites", len(test.counts))
        return Evaluated(validation, epsilon, chosen is not None, test)


def _write_refusals(out: Path, refusals: Sequence[Refusal]) -> None:
    lines = [json.dumps(asdict(refusal), sort_keys=True) + "\n" for refusal in refusals]
    write_bytes(out / REFUSALS, "".join(lines).encode())


def _nothing_admitted(decision: Decision, replies: Replies) -> FederationError:
    return FederationError(
        "no bundle was admitted, so there is nothing to train on "
        f"({reasons(decision.refusals)}; {len(replies.silent)} nodes did not answer)",
        remedy="settle the reasons with the hospitals and start again",
    )
