"""Where the films come from: three real hospitals, or synthetic ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pieces.claims import Facts, Watch
from gdshare.errors import UsageError
from gdshare.films.phantom import write_phantom_cohort
from studies.quality.plan import Phantoms

NAMES = ("montgomery", "shenzhen-a", "shenzhen-b")
TABLE = "labels.csv"
FILMS = "films"


@dataclass(frozen=True)
class Hospital:
    """One hospital: its name here, and its table of films."""

    name: str
    table: Path


def real_hospitals(data: Path) -> tuple[Hospital, ...]:
    """The hospitals of tb_cxr.

    Args:
        data: folder with a folder for each hospital.

    Raises:
        UsageError: a hospital's table is not there.
    """
    found = tuple(Hospital(name, (data / name / TABLE).absolute()) for name in NAMES)
    for hospital in found:
        if not hospital.table.is_file():
            raise UsageError(
                f"{hospital.table}: no such table, so there are no real films to measure on; give "
                "the folder tb_cxr by --data, or try everything out on synthetic films by --quick"
            )
    return found


def digests(hospitals: tuple[Hospital, ...]) -> dict[str, str]:
    """Hospital -> SHA-256 of its table, by which a run knows its films again."""
    return {
        hospital.name: hashlib.sha256(hospital.table.read_bytes()).hexdigest()
        for hospital in hospitals
    }


def phantom_hospitals(out: Path, phantoms: Phantoms) -> tuple[Hospital, ...]:
    """Synthetic hospitals; ``draw_films`` makes their films."""
    names = [f"phantom-{number}" for number in range(phantoms.hospitals)]
    return tuple(Hospital(name, (out / name / FILMS / TABLE).absolute()) for name in names)


def draw_films(phantoms: Phantoms, number: int, folder: Path, watch: Watch) -> Facts:
    """The piece that draws one synthetic hospital's films into ``folder``."""
    films = folder / FILMS
    if not films.exists():  # they appear whole or not at all
        write_phantom_cohort(
            films,
            site=number,
            negatives=phantoms.per_diagnosis,
            positives=phantoms.per_diagnosis,
            size=phantoms.size,
        )
    return {"films": 2 * phantoms.per_diagnosis}
