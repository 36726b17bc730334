"""The comparison: each bundle alone, all pooled, and the same network on pooled real patches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from aggregator.results import POOLED, pooled_by_threshold
from aggregator.trial.hospital import Released
from aggregator.trial.plan import Stage, Trial
from aggregator.trial.votes import VoteBook
from gdshare.cohort import Split
from gdshare.distill.score import PatchScore
from gdshare.errors import FederationError
from gdshare.evaluation import LocalFigures, confusions, local_figures
from gdshare.metrics import Confusion, best_threshold
from gdshare.model import Model, load_model, save_model
from gdshare.networks import build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.pooling import SCHEMES, Scheme, train_pooled
from gdshare.training import train_on_real

ROW_POOLED = "pooled"
ROW_REAL = "real patches, pooled"


@dataclass(frozen=True)
class Line:
    """One model of the comparison, judged on test films.

    Attributes:
        name: what it was trained from.
        images: distilled images, or real patches, it was trained on.
        patch_score: class-balanced patch accuracy on test patients of all sites, of single networks
            over fresh θ0; a single value for the baseline.
        threshold: the ε fixed on validation films, before any test film was looked at.
        chosen_on: whose validation films.
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
    """All lines, and a further look at the pooled model.

    Attributes:
        lines: each site alone, pooled, real patches.
        pooled_inits: test HM of all sites for each of several seeds of the pooled model, hence
            each of its θ0, ε fixed anew for each on validation films.
        schemes: patch score of each way of pooling, on validation patients of all sites.
    """

    lines: Sequence[Line]
    pooled_inits: Sequence[float]
    schemes: Mapping[Scheme, PatchScore]


@dataclass(frozen=True)
class RoundOutcome:
    """What the federated round gave.

    Attributes:
        model: trained by the aggregator.
        threshold: the ε it fixed.
        test: site -> test counts at ε, taken by the site's node.
    """

    model: Model
    threshold: float
    test: Mapping[str, Confusion]


@dataclass(frozen=True)
class Judge:
    """What is needed to judge a model: the hospitals' films, the plan, and the book of votes."""

    released: Sequence[Released]
    trial: Trial
    book: VoteBook

    def pooled_model(
        self, sites: Sequence[Released], scheme: Scheme, seed: int, ensemble: int
    ) -> Model:
        """The model of some sites' bundles."""
        contributions = [site.contribution for site in sites]
        return train_pooled(contributions, self.trial.protocol, scheme, seed, ensemble)

    def score_over_inits(
        self, sites: Sequence[Released], scheme: Scheme, inits: int, split: Split
    ) -> PatchScore:
        """Patch score of single networks trained from some sites' bundles, each from a new θ0."""
        seed = self.trial.settings.seed
        models = (self.pooled_model(sites, scheme, seed + init, 1) for init in range(inits))
        return self.patch_score(models, split)

    def patch_score(self, models: Iterable[Model], split: Split) -> PatchScore:
        """Patch scores on all sites' patients, of models of one network each."""
        x, y = sample_patches(
            [site.cohort for site in self.released],
            split,
            self.trial.score_patches * len(self.released),
            self.trial.settings.seed,
        )
        module = build(self.trial.settings.network, self.trial.protocol.side)
        return PatchScore(
            tuple(patch_accuracy(module, model.ensemble[0], x, y) for model in models)
        )

    def threshold(self, name: str, model: Model, sites: Sequence[Released]) -> float:
        """The ε of best HM on some sites' validation films together."""
        votes = self.book.all_votes(name, model, sites, "val")
        return best_threshold(pooled_by_threshold([confusions(one) for one in votes.values()]))

    def figures(self, name: str, model: Model, threshold: float) -> dict[str, LocalFigures]:
        """Test figures of each site, and of all films together."""
        generator = np.random.default_rng(self.trial.settings.seed)
        votes = self.book.all_votes(name, model, self.released, "test")
        found = {site: local_figures(own, threshold, generator) for site, own in votes.items()}
        # Patients of different sites must not be taken for one when patients are resampled.
        everyone = [
            type(film)(f"{site}/{film.patient}", film.positive, film.votes)
            for site, own in votes.items()
            for film in own
        ]
        return found | {POOLED: local_figures(everyone, threshold, generator)}


def compare(
    released: Sequence[Released], held: RoundOutcome, out: Path, trial: Trial, stage: Stage
) -> Comparison:
    """Train and judge every model of the comparison.

    Args:
        released: the hospitals.
        held: the federated round, whose model is the pooled one.
        out: the trial's folder.
        trial: the plan.
        stage: told what happens.

    Raises:
        FederationError: the nodes' counts are not those of the same films here.
    """
    judge = Judge(released, trial, VoteBook(out / "votes", stage))
    lines = [_alone(judge, site, out, stage) for site in released]
    lines.append(_pooled(judge, held, stage))
    lines.append(_real(judge, out, stage))
    stage.tell("the pooled network from other θ0, and by the other ways of pooling")
    return Comparison(lines, _pooled_inits(judge), _schemes(judge))


def _alone(judge: Judge, site: Released, out: Path, stage: Stage) -> Line:
    """One hospital's bundle on everybody's test films; ε by its own validation films."""
    name = f"{site.name} alone"
    stage.tell(f"{name}: classifying everybody's films")
    scheme, seed = judge.trial.pooling, judge.trial.settings.seed
    model = judge.pooled_model([site], scheme, seed, judge.trial.ensemble)
    threshold = judge.threshold(name, model, [site])
    save_model(
        out / "models" / site.name, model, {"trained_on": site.bundle.name, "threshold": threshold}
    )
    score = judge.score_over_inits([site], scheme, judge.trial.patch_inits, "test")
    figures = judge.figures(name, model, threshold)
    images = len(site.contribution.distilled.images)
    return Line(name, images, score, threshold, f"{site.name}'s", figures)


def _pooled(judge: Judge, held: RoundOutcome, stage: Stage) -> Line:
    """The federated round's model, at the ε the round fixed; here with AUC beside its counts."""
    stage.tell(f"{ROW_POOLED}: classifying everybody's films")
    scheme, seed = judge.trial.pooling, judge.trial.settings.seed
    score = judge.score_over_inits(judge.released, scheme, judge.trial.patch_inits, "test")
    figures = judge.figures(f"{ROW_POOLED}-{seed}", held.model, held.threshold)
    for site, counted in held.test.items():
        if figures[site].confusion != counted:
            raise FederationError(
                f"its node counted {counted}, but the same films give "
                f"{figures[site].confusion} here",
                site,
                "start again in a new folder, and report it if it stays",
            )
    images = sum(len(site.contribution.distilled.images) for site in judge.released)
    return Line(ROW_POOLED, images, score, held.threshold, "all sites'", figures)


def _real(judge: Judge, out: Path, stage: Stage) -> Line:
    """The same network on pooled real patches, kept in the trial's folder once trained."""
    folder, plan = out / "models" / "real", judge.trial.baseline
    if not (folder / "model.json").exists():
        stage.tell("baseline: training on pooled real patches")
        found = train_on_real(
            [site.cohort for site in judge.released],
            plan,
            progress=lambda done, total: stage.show("baseline: epochs", done, total),
        )
        origin: dict[str, JsonValue] = {
            "trained_on": "real patches",
            "rate": found.rate,
            "epoch": found.epoch,
        }
        save_model(folder, found.model, origin)
    model, _ = load_model(folder)
    stage.tell(f"{ROW_REAL}: classifying everybody's films")
    threshold = judge.threshold("real", model, judge.released)
    score = judge.patch_score([model], "test")
    figures = judge.figures("real", model, threshold)
    drawn = sample_patches(
        [site.cohort for site in judge.released], "train", plan.per_class, plan.seed
    )
    return Line(ROW_REAL, len(drawn[1]), score, threshold, "all sites'", figures)


def _pooled_inits(judge: Judge) -> list[float]:
    scheme, seed = judge.trial.pooling, judge.trial.settings.seed
    found = []
    for init in range(seed, seed + judge.trial.film_inits):
        name = f"{ROW_POOLED}-{init}"
        model = judge.pooled_model(judge.released, scheme, init, judge.trial.ensemble)
        threshold = judge.threshold(name, model, judge.released)
        found.append(judge.figures(name, model, threshold)[POOLED].confusion.harmonic_mean)
    return found


def _schemes(judge: Judge) -> dict[Scheme, PatchScore]:
    return {
        scheme: judge.score_over_inits(judge.released, scheme, judge.trial.film_inits, "val")
        for scheme in SCHEMES
    }
