"""Networks on both sides: trained on all hospitals' distilled images, or on their real patches.

The source's network is torchvision's ResNet18 with BatchNorm; the project's has GroupNorm, since
BatchNorm cannot be distilled into three images. A baseline might be held back by that, so it is
trained with BatchNorm too: by torchvision's own initialiser, and for the rest exactly as
``gdshare.training`` does it, on the same patches in the same order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from gdshare.cohort import Cohort, Split, open_cohort
from gdshare.dead_taps import find_trims, restore_dead, trim_network
from gdshare.distill.run_folder import read_record, read_result
from gdshare.errors import DivergedError, RunError
from gdshare.films import read_film
from gdshare.method import Settings
from gdshare.networks import INITIALISERS, Parameters, build
from gdshare.patch_tensors import sample_patches
from gdshare.patches import Grid, film_patches, normalise
from gdshare.pooling import Contribution, Scheme, contribution_from, train_pooled
from gdshare.protocol import CLASSES, PatchClass, Protocol
from gdshare.seeding import derived_seed, torch_generator
from gdshare.training import VALIDATION_PER_CLASS, TrainingPlan, train_on_real
from studies.hospitals import COHORT
from studies.networks import RUN, Best, Network, distil_in_piece, probabilities, train_early_stopped
from studies.quality.figures import Films
from studies.quality.plan import Baseline, Kind, seed_of
from studies.runner import Facts, Piece, Result, read_arrays, write_arrays

COHORTS, IMAGES = "cohort-", "images-"  # roles, each followed by a hospital's name


@dataclass(frozen=True)
class Choosing:
    fold: int
    schemes: tuple[Scheme, ...]  # to choose from
    networks: int  # θ0 that each is tried from
    score_patches: int  # validation patches of each class and site, at most


def cohorts_of(piece: Piece) -> list[Cohort]:
    """The cohorts that a cell needs, in the order of their hospitals."""
    return [
        open_cohort(need.folder / COHORT)
        for role, need in piece.needs.items()
        if role.startswith(COHORTS)
    ]


def contributions_of(piece: Piece) -> list[Contribution]:
    """What the distillations that a cell needs bring to a pooled training, in hospitals' order."""
    brought = []
    for role, need in piece.needs.items():
        if role.startswith(IMAGES):
            run = need.folder / RUN
            record, result = read_record(run), read_result(run)
            drawn = INITIALISERS[record.settings.network]
            if record.initialiser != drawn:
                what = f"distilled for the θ0 scheme {record.initialiser}, and this draws {drawn}"
                raise RunError(what, run, "choose another --out")
            site, patients = role.removeprefix(IMAGES), record.counts.patients
            brought.append(contribution_from(site, result, record, patients))
    return brought


def distil_site(piece: Piece, settings: Settings) -> Result:
    """The cell that distils one hospital's training patches of one fold on one arm's network."""
    (cohort,) = cohorts_of(piece)
    outcome = distil_in_piece(cohort, settings, piece)
    score = outcome.score
    facts: Facts = {"patch_score": score.mean, "patch_score_deviation": score.deviation}
    if outcome.train_score is not None:
        facts["train_score"] = outcome.train_score
    return Result(facts | {"step": outcome.step, "at_chance": outcome.at_chance})


def choose_scheme(piece: Piece, choosing: Choosing) -> Result:
    """The cell that chooses an arm's way of pooling by patch scores on validation patients."""
    cohorts, brought = cohorts_of(piece), contributions_of(piece)
    seed = seed_of(piece.seed, "scheme", choosing.fold)
    x, classes = sample_patches(cohorts, "val", choosing.score_patches * len(cohorts), seed)
    theta0 = seed_of(piece.seed, "theta0-scheme", choosing.fold)
    scores: dict[Scheme, list[float]] = {}
    for scheme in choosing.schemes:
        networks = pooled(brought, cohorts[0].protocol, scheme, theta0, choosing.networks)
        scores[scheme] = [network.patch_score(x, classes) for network in networks]
    best = max(scores, key=lambda scheme: mean(scores[scheme]))
    return Result({"scheme": best, "scores": {way: list(own) for way, own in scores.items()}})


def pooled(
    brought: Sequence[Contribution], protocol: Protocol, scheme: Scheme, seed: int, count: int
) -> list[Network]:
    """So many networks trained on all hospitals' distilled images, each from a θ0 of its own."""
    networks = []
    for number in range(count):
        try:
            theta0 = derived_seed(seed, "theta0", number)
            network = Network.of(train_pooled(brought, protocol, scheme, theta0))
        except DivergedError:
            module = build(brought[0].method.network, protocol.side)
            # Weights of 0 give equal logits, of which the first class is called: every window I.
            zeros = {n: torch.zeros(p.shape) for n, p in module.named_parameters()}
            network = Network(module, zeros)
        networks.append(network)
    return networks


Patches = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Training:
    plan: TrainingPlan
    kind: Kind


def train_baseline(piece: Piece, training: Training) -> Result:
    """The cell that trains one baseline of one fold; a kill loses it whole."""
    cohorts, plan = cohorts_of(piece), training.plan
    if training.kind == "batch":
        network, facts = train_batchnorm(cohorts, plan)
    else:
        real = train_on_real(cohorts, plan)
        network, facts = Network.of(real.model), {"patch_score": real.score, "rate": real.rate}
        facts |= {"epoch": real.epoch, "patches": real.patches}
    network.write(piece.folder)
    return Result(facts)


def shape() -> nn.Module:
    """ResNet18 with BatchNorm for gray patches, in evaluation mode, its weights without memory."""
    with torch.device("meta"):
        return _resnet18().eval()


def drawn(seed: int) -> nn.Module:
    """The same with weights by torchvision's own initialiser, in training mode.

    The initialiser draws from torch's global generator, whose state is given back afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, "real-theta0"))
        return _resnet18()


def train_batchnorm(cohorts: Sequence[Cohort], plan: TrainingPlan) -> tuple[Network, Facts]:
    """Train on real patches, choosing learning rate and epoch on validation patients."""
    train = sample_patches(cohorts, "train", plan.per_class, plan.seed)
    val = sample_patches(cohorts, "val", VALIDATION_PER_CLASS * len(cohorts), plan.seed)
    trained = {rate: _train_at(rate, plan, train, val) for rate in plan.rates}
    rate = max(trained, key=lambda rate: trained[rate].score)
    facts: Facts = {"patch_score": trained[rate].score, "rate": rate, "epoch": trained[rate].epoch}
    return Network(shape(), trained[rate].weights), facts | {"patches": len(train[1])}


def _train_at(rate: float, plan: TrainingPlan, train: Patches, val: Patches) -> Best:
    whole, (x, classes) = drawn(plan.seed), train
    trims = find_trims(shape(), x.shape[-1])
    module = trim_network(whole, trims)

    def epochs() -> Iterator[list[Tensor]]:
        for epoch in range(1, plan.epochs + 1):
            shuffle = torch_generator(plan.seed, "real-shuffle", epoch)
            minibatches = torch.split(torch.randperm(len(x), generator=shuffle), plan.batch)
            # A single patch has no batch statistics where maps are 1 x 1.
            yield [rows for rows in minibatches if len(rows) > 1]

    def loss(rows: Tensor) -> Tensor:
        return functional.cross_entropy(module.train()(x[rows]), classes[rows])

    def validate() -> tuple[float, Parameters]:
        weights = _weights(module)
        return Network(module.eval(), weights).patch_score(*val), weights

    adam = torch.optim.Adam(module.parameters(), lr=rate, fused=True)
    best = train_early_stopped(adam, epochs(), loss, validate, plan.patience)
    return replace(best, weights=restore_dead(best.weights, _weights(whole), trims))


def _resnet18() -> nn.Module:
    network: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=len(CLASSES))
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    # As torchvision draws every convolution; fan_out does not depend on the input channels.
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _weights(module: nn.Module) -> Parameters:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


SPLITS: tuple[Split, ...] = ("val", "test")
SCHEME, TRAINED = "scheme", "trained"  # roles: the choice of the way of pooling, a baseline

Counts = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Showing:
    fold: int
    stride: int  # px between the windows of a film
    networks: int  # how many
    score_patches: int  # test patches of each class and site for their patch scores, at most
    baseline: Baseline | None = None  # None: trained on an arm's distilled images


def see_films(piece: Piece, showing: Showing) -> Result:
    """The cell that shows every validation and test film to networks, one film at a time."""
    cohorts = cohorts_of(piece)
    networks = _networks(piece, showing, cohorts[0].protocol)
    seen = show(piece, cohorts, showing.stride, lambda site: networks)
    seed = seed_of(piece.seed, "test-patches", showing.fold)
    x, classes = sample_patches(cohorts, "test", showing.score_patches * len(cohorts), seed)
    scores = [network.patch_score(x, classes) for network in networks]
    return replace(seen, facts=seen.facts | {"patch_scores": list(scores)})


def show(
    piece: Piece,
    cohorts: Sequence[Cohort],
    stride: int,
    networks: Callable[[int], Sequence[Network]],
    splits: Sequence[Split] = SPLITS,
) -> Result:
    """Show every validation and test film to its hospital's ``networks``, as many at each."""
    protocol = cohorts[0].protocol.model_copy(update={"stride": stride})
    # The order in which a hospital's patients are numbered is the same in every fold.
    patients = [sorted({film.patient for film in cohort.films}) for cohort in cohorts]
    films = [
        (film, site, patients[site].index(film.patient))
        for site, cohort in enumerate(cohorts)
        for split in splits
        for film in cohort.films_of(split)
    ]
    counts: list[Counts] = []
    for number, (film, site, _) in enumerate(films):
        path = piece.folder / f"{number:05d}.npz"
        if not path.exists():
            write_arrays(path, look(film.image, protocol, networks(site)))
            piece.keep()
        counts.append(read_arrays(path))
    return Result(
        {"films": len(films)},
        {
            "split": np.array([film.split for film, _, _ in films]),
            "site": np.array([site for _, site, _ in films], np.uint16),
            "patient": np.array([patient for _, _, patient in films], np.uint16),
            "votes": np.stack([film["votes"] for film in counts], 1),
            "sums": np.stack([film["sums"] for film in counts], 1),
        },
    )


def look(image: Path, protocol: Protocol, networks: Sequence[Network]) -> Counts:
    x = windows(image, protocol)
    return count(torch.stack(probabilities(networks, x)).numpy())


def windows(image: Path, protocol: Protocol) -> Tensor:
    """All windows of a film as networks see them: float32 [windows, 1, side, side], normalised."""
    film = read_film(image)
    grid = Grid.on(film, protocol)
    rows = np.concatenate(list(film_patches(film, grid, protocol)))
    return torch.from_numpy(normalise(rows, protocol)).unsqueeze(1)


def count(probabilities: npt.NDArray[np.float32]) -> Counts:
    """Count what networks see in a film: float32 [networks, windows, 3].

    Votes are each network's windows called I, N, P; sums its probabilities, rounded to half
    precision, summed over the windows that it calls N or P itself.
    """
    called = probabilities.argmax(2)  # before rounding: rounded ones may tie
    organ = (called != PatchClass.I)[:, :, None]
    rounded = probabilities.astype(np.float16)
    return {
        "votes": np.stack([(called == label).sum(1) for label in PatchClass], 1).astype(np.uint16),
        "sums": (rounded * organ).sum(1, dtype=np.float64).astype(np.float32),
    }


def films_of(result: Result, diagnoses: Sequence[npt.NDArray[np.bool_]]) -> Mapping[Split, Films]:
    """What networks saw, split by split; with each hospital's diagnoses, bool [patients]."""
    split, site, patient, votes, sums = (
        result.arrays[name] for name in ("split", "site", "patient", "votes", "sums")
    )
    pairs = list(zip(site.tolist(), patient.tolist(), strict=True))
    if any(number >= len(diagnoses[at]) for at, number in pairs):
        raise RunError("the results are of patients of other films; give those by --data")
    positive = np.array([diagnoses[at][number] for at, number in pairs], np.bool_)
    numbers, seen = (site.astype(np.int64), patient.astype(np.int64)), (votes, sums)
    films = Films(*numbers, positive, *(counts.astype(np.float64) for counts in seen))
    return {name: films.where(split == name) for name in SPLITS}


def _networks(piece: Piece, showing: Showing, protocol: Protocol) -> list[Network]:
    if baseline := showing.baseline:
        side = protocol.side
        module = shape() if baseline.kind == "batch" else build(baseline.network, side)
        return [Network.read(piece.needs[TRAINED].folder, module)]
    scheme = TypeAdapter(Scheme).validate_python(piece.needs[SCHEME].result.facts["scheme"])
    seed = seed_of(piece.seed, "theta0-films", showing.fold)
    return pooled(contributions_of(piece), protocol, scheme, seed, showing.networks)
