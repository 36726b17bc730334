"""Having hospitals count films with a model, and reading their answers as a stranger's."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from aggregator.flower.exchange import Answers, Exchange, Question, named
from aggregator.verified import Verified, may_see
from gdshare.cohort import Split
from gdshare.errors import FederationError
from gdshare.messages import (
    COUNTS,
    CountRequest,
    Counts,
    Recipe,
    RequestError,
    counts_from_fields,
    fit_one_request,
)
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.pooling import Scheme

log = logging.getLogger(__name__)

WORDS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Missing:
    """A site of the round that is missing from one of its counts."""

    site: str
    what: str
    reason: str


@dataclass(frozen=True)
class Counted:
    """Counts by site, and which sites are missing."""

    counts: Mapping[str, Counts]
    missing: Sequence[Missing]

    @property
    def gaps(self) -> str:
        """Which sites are missing, and why, for an error."""
        return "; ".join(f"{missing.site}: {missing.reason}" for missing in self.missing)


@dataclass(frozen=True)
class Trained:
    """A model, and all that a hospital needs to train it.

    Attributes:
        model: its networks vote.
        bundles: it was trained from these.
        pooling, seed, ensemble: in this way.
    """

    model: Model
    bundles: Sequence[Verified]
    pooling: Scheme
    seed: int
    ensemble: int

    @cached_property
    def recipe(self) -> Recipe:
        """How a hospital trains it."""
        files = [bundle.files for bundle in self.bundles]
        return Recipe(self.pooling, self.seed, self.ensemble, files)

    @cached_property
    def weights(self) -> bytes:
        """The model as hospitals get it that may not train it."""
        return self.model.to_bytes()

    @cached_property
    def digest(self) -> str:
        """The name of the model."""
        named = replace(self.recipe, bundles=self.bundle_digests)
        return named.digest(self.model.network, self.model.protocol)

    @cached_property
    def bundle_digests(self) -> tuple[str, ...]:
        """Of the bundles, in order."""
        return tuple(bundle.bundle.digest for bundle in self.bundles)

    @cached_property
    def fits(self) -> bool:
        """Whether one question holds all bundles."""
        return fit_one_request([bundle.files for bundle in self.bundles])

    def hidden_from(self, site: str) -> str:
        """The bundles that a hospital may not be shown, in words; empty if it may train."""
        names = [bundle.name for bundle in self.bundles if not may_see(site, bundle)]
        return ", ".join(names) or ("" if self.fits else "so many bundles")

    def request_for(
        self, site: str, epsilon: float | None, known: frozenset[str] = frozenset()
    ) -> CountRequest:
        """What a hospital is asked: to train the model, if it may be shown the bundles.

        Args:
            site: the hospital.
            epsilon: of test films; None: validation films.
            known: digests of what its node has: the model, or some of the bundles, is only named.
        """
        weights = bool(self.hidden_from(site))
        name = hashlib.sha256(self.weights).hexdigest() if weights else self.digest
        if name in known:
            model: Recipe | bytes | str = name
        elif weights:
            model = self.weights
        else:
            pairs = zip(self.bundle_digests, self.recipe.bundles, strict=True)
            bundles = [digest if digest in known else files for digest, files in pairs]
            model = replace(self.recipe, bundles=bundles)
        return CountRequest(self.model.network, self.model.protocol, model, epsilon)

    def shown_to(self, site: str) -> list[str]:
        """Digests of what a node has that has answered: the model, and the bundles behind it."""
        if self.hidden_from(site):
            return [hashlib.sha256(self.weights).hexdigest()]
        return [self.digest, *self.bundle_digests]


@dataclass(frozen=True)
class Task:
    """A model that hospitals count films with.

    Attributes:
        name: of the model in the round's record: ``pooled``, or the bundle that taught it.
        trained: the model.
        asked: bundles; the node that sent a bundle is asked.
        epsilon: test films are counted at this ε; None: validation films at every ε that is tried.
    """

    name: str
    trained: Trained
    asked: Sequence[Verified]
    epsilon: float | None = None

    @property
    def split(self) -> Split:
        """The films that are counted."""
        return "val" if self.epsilon is None else "test"

    def key(self, site: str) -> str:
        """The name of the question to a hospital in the round's record."""
        return f"{self.split}/{self.name}/{self.trained.digest}/{self.epsilon}/{site}"

    def question(self, bundle: Verified) -> Question:
        """What the node that sent a bundle is asked."""
        site = bundle.site
        return Question(
            self.key(site),
            bundle.node,
            f"evaluate.{COUNTS}",
            lambda known: self.trained.request_for(site, self.epsilon, known).to_fields(),
            site,
            self.trained.shown_to(site),
        )


def count_films(exchange: Exchange, tasks: Sequence[Task], closed: bool = False) -> list[Counted]:
    """Have hospitals count films with models, all at the same time.

    Args:
        exchange: the way to the nodes.
        tasks: all of one split.
        closed: nobody is asked any more; the answers are those in the record.

    Returns:
        one value for each task.
    """
    questions = [task.question(bundle) for task in tasks for bundle in task.asked]
    if closed:
        answers = exchange.kept(questions)
    else:
        for task in tasks:
            _warn_of_weights(task)
        sites = sorted({question.site for question in questions})
        what = f"count {WORDS[tasks[0].split]} films" if tasks else ""
        answers = exchange.ask(questions, named(sites), what)
    return [_counted(task, answers) for task in tasks]


def _warn_of_weights(task: Task) -> None:
    for bundle in task.asked:
        if hidden := task.trained.hidden_from(bundle.site):
            log.warning(
                "%s is sent weights, since it is no recipient of %s; few hospitals accept them",
                bundle.site,
                hidden,
            )


def _counted(task: Task, answers: Answers) -> Counted:
    thresholds = len(THRESHOLDS) if task.epsilon is None else 1
    counts: dict[str, Counts] = {}
    missing: list[Missing] = []
    for bundle in task.asked:
        try:
            counts[bundle.site] = _read(answers, task.key(bundle.site), thresholds)
        except FederationError as error:
            missing.append(Missing(bundle.site, task.split, str(error)))
    return Counted(counts, missing)


def _read(answers: Answers, key: str, thresholds: int) -> Counts:
    if key in answers.refused:
        raise FederationError(answers.refused[key].value)
    if key not in answers.given:
        raise FederationError("no answer")
    try:
        return counts_from_fields(answers.given[key], thresholds)
    except RequestError as error:
        raise FederationError(f"not accepted: {error}") from error
