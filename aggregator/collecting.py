"""Collecting what hospitals released, with what the aggregator has already filled in.

::

    replies = Collecting(order, exchange, store).replies()
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue, TypeAdapter

from aggregator.admission.decide import Checked
from aggregator.flower.exchange import Exchange, Question, Replies
from aggregator.flower.order import Order
from aggregator.record import RoundRecord, Stage
from aggregator.trust.bundle_history import withdrawn_bundles
from aggregator.trust.bundle_store import BundleStore
from gdshare.errors import FederationError
from gdshare.ledger import read_ledger
from gdshare.messages import COLLECT, UNCHANGED, CollectRequest, Fields, Reason, Value
from gdshare.progress import lines

POLL_S: Final = 0.5
COLLECTING: Final = "collect/"
"""How the keys of its questions begin."""
HAD, COLLECTED = "had/", "collected"
"""Names of facts in the record: which bundle a node was told that it need not send; who did not
answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collecting:
    """The first step of a round.

    Attributes:
        order: of the round.
        exchange: the way to the nodes.
        store: the bundles that the aggregator has.
        names: node -> its hospital, as somebody bound them.
    """

    order: Order
    exchange: Exchange
    store: BundleStore
    names: Mapping[int, str]

    @property
    def record(self) -> RoundRecord:
        """Of the round."""
        return self.exchange.record

    def replies(self) -> Replies:
        """What nodes hand over, with bundles that the aggregator had filled in.

        Once bundles are screened, what they handed over before.

        Raises:
            FederationError: no node connected.
        """
        if self.record.has_reached(Stage.SCREENED):
            return self._replies(*self._collected_before())
        nodes = self._wait_for_nodes()
        late = self.order.deadline is not None
        who = "1 hospital" if len(nodes) == 1 else f"{len(nodes)} hospitals"
        what = "hand over what they released"
        before = self.record.keys(COLLECTING).values()
        questions = [self._collecting(node) for node in sorted({*nodes, *before})]
        newcomer = self._collecting if late else None
        answers = self.exchange.ask(questions, who, what, newcomer, self.order.sites)
        given = self.record.keys(COLLECTING)
        refused = {int(key.removeprefix(COLLECTING)): r for key, r in answers.refused.items()}
        silent = sorted(set(nodes) - set(given.values()) - set(refused))
        log.info(
            "%d nodes handed something over, %d refused, %d did not answer",
            len(given),
            len(refused),
            len(silent),
        )
        named: dict[str, JsonValue] = {str(node): reason for node, reason in refused.items()}
        self.record.set_fact(COLLECTED, [named, [str(node) for node in silent]])
        return self._replies(refused, silent)

    def _collected_before(self) -> tuple[dict[int, Reason], list[int]]:
        """Who refused and who was silent, when the round was collecting."""
        fact = TypeAdapter(tuple[dict[int, Reason], list[int]])
        return fact.validate_python(self.record.fact(COLLECTED))

    def _replies(self, refused: Mapping[int, Reason], silent: Sequence[int]) -> Replies:
        kept = self.record.keys(COLLECTING).items()
        answers = {node: self._filled_in(node, self.record.answer(key) or {}) for key, node in kept}
        return Replies(answers, refused, tuple(silent))

    def _filled_in(self, node: int, answer: Fields) -> Fields:
        """An answer with the bundle's files, if it only says that they have not changed."""
        if UNCHANGED not in answer:
            return answer
        rest = {name: value for name, value in answer.items() if name != UNCHANGED}
        digest = self.record.fact(f"{HAD}{node}")
        if not isinstance(digest, str) or answer[UNCHANGED] != digest:
            return rest
        return {**rest, **(self.store.files(digest) or {})}

    def _collecting(self, node: int) -> Question:
        """What a node is asked for: its newest bundle, unless that is the one that is here."""

        def fields(_: frozenset[str]) -> dict[str, Value]:
            digest = self.store.of_node(node)
            self.record.set_fact(f"{HAD}{node}", digest)
            return CollectRequest(digest).to_fields()

        name = self.names.get(node, "")
        return Question(f"{COLLECTING}{node}", node, f"query.{COLLECT}", fields, name)

    def keep(self, checked: Checked) -> None:
        """Sound ones into the store; then what was withdrawn leaves it, and the record."""
        for bundle in checked.verified:
            self.record.note(bundle.node, "answered", bundle.site)
        for bundle in checked.sound:
            self.store.put(bundle.node, bundle.bundle.digest, bundle.files)
        names = {bundle.bundle.digest: bundle.name for bundle in checked.verified}
        withdrawn = withdrawn_bundles(read_ledger(self.order.ledger))
        self.store.drop(digest for name, digest in withdrawn if names.get(digest, name) == name)

    def _wait_for_nodes(self) -> list[int]:
        """Wait until as many nodes are connected as ordered, or the time is up.

        Raises:
            FederationError: no node connected.
        """
        grid, clock = self.exchange.grid, self.exchange.clock
        end = clock.monotonic() + self.order.wait
        nodes = list(grid.get_node_ids())
        with lines("waiting for hospitals to connect", log.info) as report:
            while len(nodes) < self.order.sites and clock.monotonic() < end:
                report(len(nodes), self.order.sites)
                clock.sleep(POLL_S)
                nodes = list(grid.get_node_ids())
        if not nodes:
            raise FederationError(
                f"no hospital connected within {self.order.wait:.0f} s",
                remedy="ask them to start their nodes",
            )
        log.info("%d of %d nodes are connected", len(nodes), self.order.sites)
        return sorted(nodes)

    def reopen(self, admitted: Collection[int]) -> None:
        """Let all nodes but these hand over another bundle, where the round goes on."""
        kept = self.record.keys(COLLECTING)
        self.record.forget(key for key, node in kept.items() if node not in admitted)
