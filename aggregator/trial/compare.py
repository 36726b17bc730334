"""The comparison: each bundle alone, all pooled, and the same network on pooled real patches."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from aggregator.results import POOLED, pooled_by_threshold
from aggregator.trial.hospital import Participant
from aggregator.trial.plan import Show, Trial
from aggregator.trial.votes import VoteBook
from gdshare.cohort import Split
from gdshare.distill.score import PatchScore
from gdshare.errors import FederationError
from gdshare.evaluation import FilmVote, LocalFigures, confusions, local_figures
from gdshare.metrics import Confusion, best_threshold
from gdshare.model import Model, load_model, save_model
from gdshare.networks import build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.pooling import SCHEMES, Scheme, train_pooled
from gdshare.training import train_on_real

ROW_POOLED = "pooled"
ROW_REAL = "real patches, pooled"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """One model of the comparison, with its figures on test films.

    Attributes:
        name: what it was trained from.
        images: how many distilled images, or real patches, it was trained on.
        patch_score: class-balanced patch accuracy on test patients of all sites, of single networks
            over fresh θ0; a single value for the baseline.
        threshold: the ε fixed on validation films, before any test film was used.
        chosen_on: the sites of those validation films.
        figures: site -> figures; and of all sites together.
    """

    name: str
    images: int
    patch_score: PatchScore
    threshold: float
    chosen_on: str
    figures: Mapping[str, LocalFigures]


@dataclass(frozen=True)
class Comparison:
    """All lines, and how the pooled model varies.

    Attributes:
        lines: each site alone, pooled, real patches.
        pooled_inits: test HM of all sites for each of several seeds of the pooled model, hence
            each of its θ0, ε fixed again for each on validation films.
        schemes: patch score of each way of pooling, on validation patients of all sites.
    """

    lines: Sequence[Line]
    pooled_inits: Sequence[float]
    schemes: Mapping[Scheme, PatchScore]


@dataclass(frozen=True)
class RoundOutcome:
    """The federated round's result.

    Attributes:
        model: trained by the aggregator.
        threshold: the ε it fixed.
        test: site -> test counts at ε, by the site's node.
    """

    model: Model
    threshold: float
    test: Mapping[str, Confusion]


def compare(
    sites: Sequence[Participant], outcome: RoundOutcome, out: Path, trial: Trial, show: Show
) -> Comparison:
    """Train and evaluate every model of the comparison.

    Args:
        sites: the hospitals.
        outcome: of the federated round; its model is the pooled one.
        out: the trial's folder.
        trial: the plan.
        show: shows progress.

    Raises:
        FederationError: a node's counts differ from those of the same films here.
    """
    evaluator = Evaluator(sites, trial, VoteBook(out / "votes", show))
    lines = [evaluator.line_of_site(site, out) for site in sites]
    lines.append(evaluator.line_of_round(outcome))
    lines.append(evaluator.line_of_real_patches(out / "models" / "real", show))
    log.info("the pooled network from other θ0, and by the other ways of pooling")
    return Comparison(lines, evaluator.pooled_inits(), evaluator.schemes())


@dataclass(frozen=True)
class Evaluator:
    """Evaluates models on the hospitals' films.

    Attributes:
        sites: the hospitals.
        trial: the plan.
        book: the votes so far.
    """

    sites: Sequence[Participant]
    trial: Trial
    book: VoteBook

    def line_of_site(self, site: Participant, out: Path) -> Line:
        """One hospital's bundle on all test films; ε by its own validation films."""
        name = f"{site.name} alone"
        log.info("%s: classifying everybody's films", name)
        trial = self.trial
        model = self._pooled_model([site], trial.pooling, trial.settings.seed, trial.ensemble)
        threshold = self._threshold(name, model, [site])
        origin: dict[str, JsonValue] = {"trained_on": site.bundle.name, "threshold": threshold}
        save_model(out / "models" / site.name, model, origin)
        return Line(
            name,
            len(site.contribution.distilled.images),
            self._score_over_inits([site], trial.pooling, trial.patch_inits, "test"),
            threshold,
            f"{site.name}'s",
            self._figures(name, model, threshold),
        )

    def line_of_round(self, outcome: RoundOutcome) -> Line:
        """The round's model at the round's ε, with AUC, which a round does not measure."""
        log.info("%s: classifying everybody's films", ROW_POOLED)
        name = f"{ROW_POOLED}-{self.trial.settings.seed}"
        figures = self._figures(name, outcome.model, outcome.threshold)
        for site, counts in outcome.test.items():
            if figures[site].confusion != counts:
                raise FederationError(
                    f"its node counted {counts}, but the same films give "
                    f"{figures[site].confusion} here",
                    site,
                    "start again in a new folder, and report it if it stays",
                )
        return Line(
            ROW_POOLED,
            sum(len(site.contribution.distilled.images) for site in self.sites),
            self._score_over_inits(self.sites, self.trial.pooling, self.trial.patch_inits, "test"),
            outcome.threshold,
            "all sites'",
            figures,
        )

    def line_of_real_patches(self, folder: Path, show: Show) -> Line:
        """The baseline on pooled real patches, kept in ``folder`` once trained."""
        plan = self.trial.baseline
        cohorts = [site.cohort for site in self.sites]
        if not (folder / "model.json").exists():
            log.info("baseline: training on pooled real patches")
            trained = train_on_real(
                cohorts,
                plan,
                progress=lambda done, total: show("baseline: batches", done, total),
            )
            origin: dict[str, JsonValue] = {
                "trained_on": "real patches",
                "rate": trained.rate,
                "epoch": trained.epoch,
            }
            save_model(folder, trained.model, origin)
        model, _ = load_model(folder)
        log.info("%s: classifying everybody's films", ROW_REAL)
        threshold = self._threshold("real", model, self.sites)
        _, labels = sample_patches(cohorts, "train", plan.per_class, plan.seed)
        return Line(
            ROW_REAL,
            len(labels),
            self._patch_score([model], "test"),
            threshold,
            "all sites'",
            self._figures("real", model, threshold),
        )

    def pooled_inits(self) -> list[float]:
        """Test HM of all sites, for each of several seeds of the pooled model."""
        harmonic_means = []
        for init in self._seeds(self.trial.film_inits):
            name = f"{ROW_POOLED}-{init}"
            model = self._pooled_model(self.sites, self.trial.pooling, init, self.trial.ensemble)
            threshold = self._threshold(name, model, self.sites)
            figures = self._figures(name, model, threshold)
            harmonic_means.append(figures[POOLED].confusion.harmonic_mean)
        return harmonic_means

    def schemes(self) -> dict[Scheme, PatchScore]:
        """Patch score of each way of pooling, on validation patients of all sites."""
        return {
            scheme: self._score_over_inits(self.sites, scheme, self.trial.film_inits, "val")
            for scheme in SCHEMES
        }

    def _seeds(self, count: int) -> range:
        """Of so many θ0; an announced one is the only one."""
        seed, announced = self.trial.settings.seed, self.trial.settings.theta0 == "announced"
        return range(seed, seed + (1 if announced else count))

    def _pooled_model(
        self, sites: Sequence[Participant], scheme: Scheme, seed: int, ensemble: int
    ) -> Model:
        """The model of some sites' bundles."""
        contributions = [site.contribution for site in sites]
        return train_pooled(contributions, self.trial.protocol, scheme, seed, ensemble)

    def _score_over_inits(
        self, sites: Sequence[Participant], scheme: Scheme, inits: int, split: Split
    ) -> PatchScore:
        """Patch score of single networks trained from some sites' bundles, each from a new θ0."""
        models = (self._pooled_model(sites, scheme, seed, 1) for seed in self._seeds(inits))
        return self._patch_score(models, split)

    def _patch_score(self, models: Iterable[Model], split: Split) -> PatchScore:
        """Patch scores on all sites' patients, of models of one network each."""
        x, y = sample_patches(
            [site.cohort for site in self.sites],
            split,
            self.trial.score_patches * len(self.sites),
            self.trial.settings.seed,
        )
        side = self.trial.protocol.side
        return PatchScore(
            tuple(
                patch_accuracy(build(model.network, side), model.ensemble[0], x, y)
                for model in models
            ),
            len(y),
        )

    def _threshold(self, name: str, model: Model, sites: Sequence[Participant]) -> float:
        """The ε of best HM on some sites' validation films together."""
        votes = self.book.all_votes(name, model, sites, "val")
        counts = [confusions(site_votes) for site_votes in votes.values()]
        return best_threshold(pooled_by_threshold(counts))

    def _figures(self, name: str, model: Model, threshold: float) -> dict[str, LocalFigures]:
        """Test figures of each site, and of all films together."""
        generator = np.random.default_rng(self.trial.settings.seed)
        votes = self.book.all_votes(name, model, self.sites, "test")
        figures = {
            site: local_figures(site_votes, threshold, generator)
            for site, site_votes in votes.items()
        }
        # Patients are resampled; two of different sites must not count as one.
        all_votes = [
            FilmVote(f"{site}/{film.patient}", film.positive, film.votes)
            for site, site_votes in votes.items()
            for film in site_votes
        ]
        return figures | {POOLED: local_figures(all_votes, threshold, generator)}
