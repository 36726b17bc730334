"""What a set of networks sees in every validation and test film, kept film by film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.quality.baselines import baseline_network
from benchmarks.quality.claims import Facts, Watch
from benchmarks.quality.distilled import pooled, scheme_of
from benchmarks.quality.figures import Films
from benchmarks.quality.fold import Fold
from benchmarks.quality.network import Network
from benchmarks.quality.plan import Baseline
from gdshare.cohort import CohortFilm, Split
from gdshare.distill.settings import Settings
from gdshare.errors import RunError
from gdshare.films import read_film
from gdshare.patches import Grid, cut_rows, normalise
from gdshare.protocol import PatchClass, Protocol
from gdshare.storage import replacing
from gdshare.training import sample_patches

SEEN: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class Entry:
    """One film to be seen.

    Attributes:
        site: index of its hospital.
        patient: number of its patient among the hospital's, the same in every fold.
        film: where it lies, its diagnosis and its split.
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
        patients = sorted({film.patient for film in cohort.films})
        for split in SEEN:
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
            positive=np.bool_(entry.film.positive),
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


def read_films(folder: Path, count: int) -> dict[Split, Films]:
    """Read what ``see`` wrote, split by split.

    Args:
        folder: of the piece.
        count: of films, as its record says.

    Raises:
        RunError: a film is missing or damaged.
    """
    kept: dict[Split, list[dict[str, npt.NDArray[np.generic]]]] = {split: [] for split in SEEN}
    for number in range(count):
        film = _read(folder / f"{number:05d}.npz")
        for split in SEEN:
            if str(film["split"]) == split:
                kept[split].append(film)
    return {split: _gathered(films) for split, films in kept.items()}


def _read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        # The stream is ours: on a damaged file numpy leaves its own open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove its folder, and run again"
        ) from error


def _gathered(films: Sequence[dict[str, npt.NDArray[np.generic]]]) -> Films:
    votes = [
        np.stack([(film["called"] == label).sum(1) for label in PatchClass], 1) for film in films
    ]
    return Films(
        site=np.array([film["site"] for film in films], np.int64),
        patient=np.array([film["patient"] for film in films], np.int64),
        positive=np.array([film["positive"] for film in films], np.bool_),
        votes=np.stack(votes, 1).astype(np.float64),
        sums=np.stack([_organ_sums(film) for film in films], 1),
    )


def _organ_sums(film: dict[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.float64]:
    """Each network's probabilities summed over the windows that it calls N or P itself.

    Returns:
        float64 [networks, 3].
    """
    kept = film["called"] != PatchClass.I
    sums: npt.NDArray[np.float64] = (film["probabilities"] * kept[:, :, None]).sum(
        1, dtype=np.float64
    )
    return sums
