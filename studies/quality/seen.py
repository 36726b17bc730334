"""What networks saw of the films, counted film by film: all that figures are worked out from.

``seen.npz`` holds no pixel, name or diagnosis: which hospital and patient a film is of, as numbers,
its split, and each network's votes and sums. Diagnoses are read from the hospitals' own tables.
"""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from benchmarks.pieces.archive import SEEN
from gdshare.cohort import Split
from gdshare.errors import RunError
from gdshare.protocol import PatchClass
from gdshare.storage import replacing
from studies.quality.figures import Films

SPLITS: tuple[Split, ...] = ("val", "test")

Film = dict[str, npt.NDArray[np.generic]]
Diagnoses = Sequence[npt.NDArray[np.bool_]]
"""Of each hospital, bool [patients]: positive; in the order in which its patients are numbered."""


def gather(folder: Path, count: int) -> None:
    """Count what was kept of every film, ``00000.npz`` and so on, into ``seen.npz``.

    Args:
        folder: of the piece.
        count: of films.

    Raises:
        RunError: a film is missing or damaged.
    """
    films = [_read(folder / f"{number:05d}.npz") for number in range(count)]
    with replacing(folder / SEEN) as stream:
        np.savez_compressed(
            stream,
            split=np.array([film["split"] for film in films]),
            site=np.array([film["site"] for film in films], np.uint16),
            patient=np.array([film["patient"] for film in films], np.uint16),
            votes=np.stack([_votes(film) for film in films], 1).astype(np.uint16),
            sums=np.stack([_organ_sums(film) for film in films], 1).astype(np.float32),
        )


def read_seen(folder: Path, diagnoses: Diagnoses) -> dict[Split, Films]:
    """Read what ``gather`` wrote, split by split.

    Raises:
        RunError: it is missing or damaged, or tells of patients that the hospitals do not have.
    """
    path = folder / SEEN
    kept = _read(path)
    site, patient = (kept[name].astype(np.int64) for name in ("site", "patient"))
    try:
        pairs = zip(site, patient, strict=True)
        positive = np.array([diagnoses[at][number] for at, number in pairs], np.bool_)
    except IndexError as error:
        raise RunError(f"{path}: tells of patients of other films; choose another --out") from error
    votes, sums = (kept[name].astype(np.float64) for name in ("votes", "sums"))
    found: dict[Split, Films] = {}
    for split in SPLITS:
        own = kept["split"] == split
        found[split] = Films(site[own], patient[own], positive[own], votes[:, own], sums[:, own])
    return found


def _read(path: Path) -> Film:
    try:
        # The stream is ours: on a damaged file numpy leaves its own open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove its folder, and run again"
        ) from error


def _votes(film: Film) -> npt.NDArray[np.int64]:
    """Each network's windows called I, N, P: int64 [networks, 3]."""
    called = film["called"]
    return np.stack([(called == label).sum(1) for label in PatchClass], 1)


def _organ_sums(film: Film) -> npt.NDArray[np.float64]:
    """Each network's probabilities summed over the windows that it calls N or P itself.

    Returns:
        float64 [networks, 3].
    """
    kept = film["called"] != PatchClass.I
    sums: npt.NDArray[np.float64] = (film["probabilities"] * kept[:, :, None]).sum(
        1, dtype=np.float64
    )
    return sums
