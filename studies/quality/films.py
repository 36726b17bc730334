"""What a set of networks sees in every validation and test film, kept film by film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.pieces.claims import Facts, Watch
from gdshare.cohort import CohortFilm
from gdshare.films import read_film
from gdshare.method import Settings
from gdshare.patches import Grid, cut_rows, normalise
from gdshare.protocol import Protocol
from gdshare.storage import replacing
from gdshare.training import sample_patches
from studies.quality.baselines import baseline_network
from studies.quality.distilled import pooled, scheme_of
from studies.quality.fold import Fold
from studies.quality.network import Network
from studies.quality.plan import Baseline
from studies.quality.seen import SPLITS, gather


@dataclass(frozen=True)
class Entry:
    """One film to be seen.

    Attributes:
        site: index of its hospital.
        patient: number of its patient among the hospital's, the same in every fold.
        film: where it lies, and its split.
    """

    site: int
    patient: int
    film: CohortFilm


def see_distilled(fold: Fold, arm: Settings, folder: Path, watch: Watch) -> Facts:
    """The piece that shows films to the networks trained on one arm's distilled images."""
    networks = pooled(fold, arm, scheme_of(fold, arm), "films", fold.plan.networks)
    return see(fold, networks, folder, watch)


def see_real(fold: Fold, baseline: Baseline, folder: Path, watch: Watch) -> Facts:
    """The piece that shows films to a network trained on real patches."""
    return see(fold, [baseline_network(fold, baseline)], folder, watch)


def see(fold: Fold, networks: Sequence[Network], folder: Path, watch: Watch) -> Facts:
    """Show every validation and test film to all networks, one film in memory at a time.

    Returns:
        how many films, and each network's patch score on test patients.
    """
    entries = list(entries_of(fold))
    for number, entry in enumerate(entries):
        path = folder / f"{number:05d}.npz"
        if not path.exists():
            keep_film(path, entry, networks, fold.plan.film_protocol)
            watch.keep()
    gather(folder, len(entries))
    seed = fold.plan.seed_of("test-patches", fold.number)
    per_class = fold.plan.score_patches * len(fold.sites)
    x, classes = sample_patches(fold.cohorts, "test", per_class, seed)
    return {
        "films": len(entries),
        "patch_scores": [network.patch_score(x, classes) for network in networks],
    }


def entries_of(fold: Fold) -> Iterator[Entry]:
    """The films to be seen, in a fixed order."""
    for site, cohort in enumerate(fold.cohorts):
        patients = list(fold.patients[site])
        for split in SPLITS:
            for film in cohort.films_of(split):
                yield Entry(site, patients.index(film.patient), film)


def keep_film(path: Path, entry: Entry, networks: Sequence[Network], protocol: Protocol) -> None:
    """Show one film to all networks and write what they see.

    The classes are kept beside the probabilities: rounded ones may tie where exact ones did not.
    """
    x = windows(entry.film.image, protocol)
    exact = torch.stack([network.probabilities(x) for network in networks]).numpy()
    with replacing(path) as stream:
        np.savez(
            stream,
            probabilities=exact.astype(np.float16),
            called=exact.argmax(2).astype(np.uint8),
            site=np.int64(entry.site),
            patient=np.int64(entry.patient),
            split=np.str_(entry.film.split),
        )


def windows(image: Path, protocol: Protocol) -> Tensor:
    """All windows of a film as networks see them: float32 [windows, 1, side, side], normalised.

    Raises:
        FilmError: the film cannot be read, or is smaller than a window.
    """
    film = read_film(image)
    grid = Grid.on(film, protocol)
    grid.require_windows(film.name)
    rows = np.concatenate(list(cut_rows(film.scaled(), grid, protocol.side)))
    return torch.from_numpy(normalise(rows, protocol)).unsqueeze(1)
