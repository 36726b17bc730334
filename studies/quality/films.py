"""What a set of networks sees in every validation and test film, counted film by film.

The counts hold no pixel, name or diagnosis: which hospital and patient a film is of, as numbers,
its split, and each network's votes and sums. Diagnoses are read from the hospitals' own tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdshare.cohort import Cohort, Split
from gdshare.errors import RunError
from gdshare.films import read_film
from gdshare.patch_tensors import sample_patches
from gdshare.patches import Grid, cut_rows, normalise
from gdshare.protocol import PatchClass, Protocol
from studies.networks import Network
from studies.quality.figures import Films
from studies.quality.networks import baseline_network, cohorts_of, contributions_of, pooled
from studies.quality.plan import Baseline, seed_of
from studies.runner import Piece, Result, read_arrays, write_arrays

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
    protocol = cohorts[0].protocol.model_copy(update={"stride": showing.stride})
    films = [
        (film, site, patients_of(cohort).index(film.patient))
        for site, cohort in enumerate(cohorts)
        for split in SPLITS
        for film in cohort.films_of(split)
    ]
    counts: list[Counts] = []
    for number, (film, _, _) in enumerate(films):
        path = piece.folder / f"{number:05d}.npz"
        if not path.exists():
            write_arrays(path, look(film.image, protocol, networks))
            piece.keep()
        counts.append(read_arrays(path))
    seed = seed_of(piece.seed, "test-patches", showing.fold)
    x, classes = sample_patches(cohorts, "test", showing.score_patches * len(cohorts), seed)
    scores = [network.patch_score(x, classes) for network in networks]
    return Result(
        {"films": len(films), "patch_scores": list(scores)},
        {
            "split": np.array([film.split for film, _, _ in films]),
            "site": np.array([site for _, site, _ in films], np.uint16),
            "patient": np.array([patient for _, _, patient in films], np.uint16),
            "votes": np.stack([one["votes"] for one in counts], 1),
            "sums": np.stack([one["sums"] for one in counts], 1),
        },
    )


def patients_of(cohort: Cohort) -> list[str]:
    """A hospital's patients in the order in which they are numbered, the same in every fold."""
    return sorted({film.patient for film in cohort.films})


def look(image: Path, protocol: Protocol, networks: Sequence[Network]) -> Counts:
    x = windows(image, protocol)
    return count(torch.stack([network.probabilities(x) for network in networks]).numpy())


def windows(image: Path, protocol: Protocol) -> Tensor:
    """All windows of a film as networks see them: float32 [windows, 1, side, side], normalised."""
    film = read_film(image)
    grid = Grid.on(film, protocol)
    grid.require_windows(film.name)
    rows = np.concatenate(list(cut_rows(film.scaled(), grid, protocol.side)))
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
    films = Films(
        site.astype(np.int64),
        patient.astype(np.int64),
        positive,
        votes.astype(np.float64),
        sums.astype(np.float64),
    )
    return {name: films.where(split == name) for name in SPLITS}


def _networks(piece: Piece, showing: Showing, protocol: Protocol) -> list[Network]:
    if showing.baseline:
        folder = piece.needs[TRAINED].folder
        return [baseline_network(folder, showing.baseline, protocol.side)]
    scheme = str(piece.needs[SCHEME].result.facts["scheme"])
    seed = seed_of(piece.seed, "theta0-films", showing.fold)
    return pooled(contributions_of(piece), protocol, scheme, seed, showing.networks)
