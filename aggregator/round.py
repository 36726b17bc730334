"""One round, from collecting bundles to the table, over any ``Grid``.

1. wait for nodes; 2. collect; 3. record withdrawals; 4. verify; 5. measure what each bundle teaches
alone, and quarantine implausible ones; 6. admit; 7. pool and train; 8. count validation films;
9. fix one ε; 10. count test films, once. Only nodes whose bundle was verified are asked to count:
the signature on it is all that ties a node to a hospital.

Each answer is in the round's record (``record``) as soon as it is there, and so is each step. A
round that was killed runs again from the top over what is kept: nobody is asked twice, nothing is
said twice in the ledger, and a model that was trained is not trained again.

::

    result = Round(grid, order, datetime.now(UTC)).run(out)
    print(table(result))
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from flwr.serverapp import Grid
from pydantic import JsonValue, TypeAdapter

from aggregator.admission.collected import split_files
from aggregator.admission.decide import Decision, assess, decide, verify_and_record
from aggregator.admission.plausibility import Screening
from aggregator.admission.start import start_of_round
from aggregator.collecting import Collecting
from aggregator.flower.counting import Counted, Task, Trained, count_films
from aggregator.flower.exchange import Clock, Exchange, Replies
from aggregator.flower.folder import LOCK, MODEL, RECORD, REFUSALS, RESULT
from aggregator.flower.order import Order
from aggregator.nodes import site_names
from aggregator.record import RoundRecord, Stage, open_record
from aggregator.refusals import Refusal, reasons
from aggregator.results import RoundResult, chosen_epsilon, rows, weights, write_result
from aggregator.stopwatch import Stopwatch
from aggregator.trust.bundle_history import (
    TRAIN,
    accepted_digests,
    admitted_digests,
    trained_from,
    withdrawn_bundles,
)
from aggregator.trust.bundle_store import BundleStore, bundles_beside
from aggregator.verified import Verified, digests
from gdshare.cohort import Cohort, open_cohort
from gdshare.contributions import contribution_of
from gdshare.errors import FederationError, GdshareError, LockedError
from gdshare.ledger import head_of, in_one_line, open_ledger, read_ledger
from gdshare.lock import lock
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.model import Model, load_model, save_model
from gdshare.pooling import train_pooled
from gdshare.progress import lines
from gdshare.storage import write_bytes

LOCK_S = 5.0
"""The command that follows a round looks at its lock now and then."""
POOLED = "pooled"
"""The name of the model in the keys of questions."""
SCREENED, ADMITTED, TRAINED, START = "screened", "admitted", "trained", "start"
"""Names of facts in the record."""
SCREENINGS = TypeAdapter(dict[str, Screening])

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
        run_id: Flower's number of the run, for the record.
        clock: the one that nobody sets.
    """

    grid: Grid
    order: Order
    now: datetime
    run_id: int = 0
    clock: Clock = time

    def run(self, out: Path) -> RoundResult | None:
        """Run the round, or go on with it; on return everything is in ``out``.

        Args:
            out: for ``refusals.jsonl``, ``model/``, ``table.txt``, ``report.html``,
                ``round.sqlite`` and ``round.json``.

        Returns:
            the result; None if the round was closed already.

        Raises:
            FederationError: no node connected, no bundle was admitted, fewer hospitals than
                ``minimum``, the trust list or the ledger changed meanwhile, or no film was counted.
            LedgerError: the ledger was altered or cut short, or cannot be written; nothing is
                admitted.
            RoundTakenError: another process is running this round.
        """
        began = self.clock.monotonic()

        def moment() -> datetime:
            """The aggregator's clock: a line in the ledger has the time of its act."""
            return self.now + timedelta(seconds=self.clock.monotonic() - began)

        with _taken(out / LOCK), open_record(out / RECORD, moment) as record:
            if (out / RESULT).exists():
                record.close()
                return None
            record.begin(self.run_id, head_of(read_ledger(self.order.ledger)))
            exchange = Exchange(
                self.grid, record, self.order.timeout, self.order.deadline, self.clock
            )
            try:
                return _Running(self.order, exchange, record, out, moment).run()
            except GdshareError:  # it stops by itself, as for want of hospitals
                exchange.begin_anew()
                raise
            finally:
                with suppress(GdshareError):  # what ended the round is said, not what followed
                    record.end(len(read_ledger(self.order.ledger)))


class RoundTakenError(LockedError):
    """Another process is running the round."""


@contextmanager
def _taken(path: Path) -> Iterator[None]:
    """Lock the round, for as long as this process works on it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(path, LOCK_S))
        except LockedError as error:
            raise RoundTakenError(error.what, error.where, error.remedy) from error
        yield


class _Running:
    """A round in its folder, with its record open."""

    def __init__(
        self,
        order: Order,
        exchange: Exchange,
        record: RoundRecord,
        out: Path,
        moment: Callable[[], datetime],
    ) -> None:
        self.order, self.exchange, self.record = order, exchange, record
        self.out, self.moment, self.watch = out, moment, Stopwatch()
        store = BundleStore(bundles_beside(order.ledger))
        self.collecting = Collecting(order, exchange, store, site_names(order.trust))
        anchor = record.ledger_before
        self.since = anchor.number if anchor else 0
        self.start = start_of_round(order)

    def run(self) -> RoundResult:
        """All steps that are left."""
        order, watch = self.order, self.watch
        reference = None if order.reference is None else open_cohort(order.reference)
        if self.record.stage == Stage.ANNOUNCED:
            self.record.reach(Stage.COLLECTING)
        else:
            log.info("going on with the round, which is %s", self.record.stage)
        self._require_same_start()
        with watch.step("collect"):
            replies = self.collecting.replies()
        collected = split_files(replies)
        checked = verify_and_record(order, collected, self.moment(), self.since, self.start)
        self.collecting.keep(checked)
        with watch.step("plausibility"):
            screenings = self._assess(checked.sound, reference)
        decision = decide(order, checked, screenings, self.moment(), self.since, self.start)
        _write_refusals(self.out, decision.refusals)
        admitted = decision.admitted
        if not admitted:
            self._reopen(admitted)
            raise _nothing_admitted(decision, replies)
        log.info("admitted %d bundles: %s", len(admitted), ", ".join(digests(admitted)))
        if len(admitted) < order.minimum:
            self._reopen(admitted)
            raise self._too_few(digests(admitted), "were admitted")
        self._settle(admitted)
        with watch.step("train"):
            model = self._train(admitted)
        evaluated = self._evaluate(admitted, model)
        # Saved with the weights, so that whoever classifies with the model does so at this ε.
        origin = self._origin(admitted, model) | {"threshold": evaluated.epsilon}
        save_model(self.out / MODEL, model, origin)
        validation, test = evaluated.validation.counts, evaluated.test.counts
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
            names=self.collecting.names,
            rows=rows(test, order.seed),
            seconds=watch.seconds,
            bytes_moved={"bundles": collected.bundle_bytes, "model": len(model.to_bytes())},
            order=order,
        )
        write_result(self.out, result, admitted)
        self.record.close()
        return result

    def _require_same_start(self) -> None:
        """Refuse an announcement that was exchanged since the round began.

        Raises:
            FederationError: it announces another θ0.
        """
        announced = self.start.theta0_sha256 if self.start else ""
        before = self.record.fact(START)
        if before is None:
            self.record.set_fact(START, announced)
        elif before != announced:
            raise FederationError(
                "announces another θ0 than when the round began",
                self.order.announcement or "",
                "put the former announcement back, or hold a new round",
            )

    def _assess(
        self, sound: Sequence[Verified], reference: Cohort | None
    ) -> Mapping[str, Screening]:
        """Measure each sound bundle, or take the figures that are kept of just these."""
        kept = SCREENINGS.validate_python(self.record.fact(SCREENED) or {})
        if {site: figures.digest for site, figures in kept.items()} == digests(sound):
            accepted = accepted_digests(read_ledger(self.order.ledger))
            return {s: replace(f, accepted=f.digest in accepted) for s, f in kept.items()}
        if self.record.has_reached(Stage.SCREENED):
            raise self._changed()
        screenings = assess(self.exchange, self.order, sound, reference, self.start)
        self.record.set_fact(SCREENED, SCREENINGS.dump_python(dict(screenings), mode="json"))
        return screenings

    def _settle(self, admitted: Sequence[Verified]) -> None:
        """Fix whose bundles the round goes on with.

        Raises:
            FederationError: they are others than before the round was interrupted.
        """
        if not self.record.has_reached(Stage.SCREENED):
            self.record.set_fact(ADMITTED, dict(digests(admitted)))
            self.record.reach(Stage.SCREENED)
        elif self.record.fact(ADMITTED) != digests(admitted):
            raise self._changed()

    def _changed(self) -> FederationError:
        """The end of a round whose bundles are no longer those that it began with."""
        self.record.drop_contents()
        return FederationError(
            "other bundles are sound now than before the round was interrupted",
            remedy="hold a new round",
        )

    def _reopen(self, admitted: Sequence[Verified]) -> None:
        """Wait at collecting for more hospitals, or for other bundles of those not admitted.

        Raises:
            FederationError: bundles are screened, and what is behind is not reopened.
        """
        if self.record.has_reached(Stage.SCREENED):
            raise self._changed()
        self.collecting.reopen({bundle.node for bundle in admitted})

    def _too_few(self, sites: Collection[str], what: str) -> FederationError:
        """Why a round stops before anything is spent on a pool of too few hospitals."""
        names = f" ({', '.join(sorted(sites))})" if sites else ""
        return FederationError(
            f"{len(sites)} hospitals {what}{names}, and the round asks for {self.order.minimum}",
            remedy="gdshare aggregate --resume goes on once more have come, or with a lower "
            "--minimum",
        )

    def _train(self, admitted: Sequence[Verified]) -> Model:
        """Train the networks; the model is in the ledger before it is on the disk."""
        order, folder = self.order, self.out / MODEL
        if self.record.has_reached(Stage.TRAINED):
            model = load_model(folder)[0]
            if _sha256(model) == self.record.fact(TRAINED):
                return model
            log.warning("%s is not the model that was trained: it is trained again", folder)
        shared = None if self.start is None else self.start.shared
        contributions = [contribution_of(bundle.bundle, shared) for bundle in admitted]
        protocol = admitted[0].bundle.manifest.protocol
        with lines(f"training networks from {len(admitted)} bundles", log.info) as report:
            model = train_pooled(
                contributions, protocol, order.pooling, order.seed, order.ensemble, report
            )
        self._record_training(admitted, model, folder)
        save_model(folder, model, self._origin(admitted, model))
        self.record.set_fact(TRAINED, _sha256(model))
        if not self.record.has_reached(Stage.TRAINED):
            self.record.reach(Stage.TRAINED)
        trained, network = len(model.ensemble), model.network
        wanted = order.ensemble if contributions[0].theta0_sha256 is None else 1
        log.info("trained %d of %d networks (%s) from them", trained, wanted, network)
        return model

    def _record_training(self, admitted: Sequence[Verified], model: Model, folder: Path) -> None:
        """Write a line per bundle, by which a withdrawal finds the model.

        Raises:
            FederationError: a bundle was withdrawn, or lost its admission, during the training.
        """
        digest = _sha256(model)
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
                what, by = in_one_line(str(folder)), self.order.operator
                ledger.write_once(self.since, self.moment(), TRAIN, by, what, digest, why)

    def _origin(self, admitted: Sequence[Verified], model: Model) -> dict[str, JsonValue]:
        return {
            "bundles": dict(digests(admitted)),
            "pooling": self.order.pooling,
            "ensemble": len(model.ensemble),
            "seed": self.order.seed,
        }

    def _evaluate(self, admitted: Sequence[Verified], model: Model) -> Evaluated:
        """Count validation films, fix one ε, count test films; what is behind is not reopened."""
        order, record, watch = self.order, self.record, self.watch
        trained = Trained(model, admitted, order.pooling, order.seed, order.ensemble)
        with watch.step("validation"):
            task = Task(POOLED, trained, admitted)
            [validation] = count_films(
                self.exchange, [task], self.record.has_reached(Stage.VALIDATED)
            )
        if not validation.counts:
            raise FederationError(f"no validation film was counted ({validation.gaps})")
        if len(validation.counts) < order.minimum and not self.record.has_reached(Stage.VALIDATED):
            raise self._too_few(validation.counts, "counted validation films")
        if not self.record.has_reached(Stage.VALIDATED):
            record.reach(Stage.VALIDATED)
        chosen = chosen_epsilon(list(validation.counts.values()))
        if chosen is None:
            log.warning("the validation counts are the same at every ε: the source's is taken")
        epsilon = SOURCE_THRESHOLD if chosen is None else chosen
        log.info("fixed ε = %.2f on validation films of %d sites", epsilon, len(validation.counts))
        if not self.record.has_reached(Stage.FIXED):
            record.reach(Stage.FIXED)
        with watch.step("test"):
            task = Task(POOLED, trained, admitted, epsilon)
            [test] = count_films(self.exchange, [task], record.has_reached(Stage.TESTED))
        if not test.counts:
            raise FederationError(f"no test film was counted ({test.gaps})")
        if not self.record.has_reached(Stage.TESTED):
            record.reach(Stage.TESTED)
        log.info("counted test films of %d sites", len(test.counts))
        return Evaluated(validation, epsilon, chosen is not None, test)


def _sha256(model: Model) -> str:
    return hashlib.sha256(model.to_bytes()).hexdigest()


def _write_refusals(out: Path, refusals: Sequence[Refusal]) -> None:
    lines = [json.dumps(asdict(refusal), sort_keys=True) + "\n" for refusal in refusals]
    write_bytes(out / REFUSALS, "".join(lines).encode())


def _nothing_admitted(decision: Decision, replies: Replies) -> FederationError:
    return FederationError(
        "no bundle was admitted, so there is nothing to train on "
        f"({reasons(decision.refusals)}; {len(replies.silent)} nodes did not answer)",
        remedy="settle the reasons with the hospitals and start again",
    )
