"""What went wrong in the rounds of a scene: counted twice, lost, or said twice."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aggregator.flower.folder import RESULT
from aggregator.trust.bundle_history import ADMIT, TRAIN
from benchmarks.kills.scene import SITES, Scene
from gdshare.ledger import read_ledger
from gdshare.trust.keys import ledger_beside


@dataclass(frozen=True)
class Tally:
    """Of all rounds that were held.

    Attributes:
        rounds: how many.
        closed: how many of them have a result with counts of every hospital.
        counted_twice: answers in a node's record for a question that it had answered before.
        said_twice: admissions and trainings that a round wrote into the ledger more than once.
    """

    rounds: int
    closed: int
    counted_twice: int
    said_twice: int


def tally(scene: Scene) -> Tally:
    """Look at what the rounds left behind."""
    rounds = sorted(scene.folder.glob("round-*"))
    return Tally(
        len(rounds),
        sum(_is_whole(path / RESULT) for path in rounds),
        sum(_twice(scene.folder / site / "test-counts.json") for site in SITES),
        _said_twice(scene, rounds),
    )


def _is_whole(result: Path) -> bool:
    if not result.exists():
        return False
    return set(json.loads(result.read_bytes())["test"]) == set(SITES)


def _twice(record: Path) -> int:
    entries = json.loads(record.read_bytes())["entries"] if record.exists() else []
    asked = Counter((own["cohort"], own["model"], own["epsilon"]) for own in entries)
    return sum(times - 1 for times in asked.values())


def _said_twice(scene: Scene, rounds: list[Path]) -> int:
    """A bundle is admitted once in each round, and a model trained once from each bundle."""
    entries = read_ledger(ledger_beside(scene.hospitals.trust))
    admitted = Counter(entry.what for entry in entries if entry.act == ADMIT)
    trained = Counter((entry.what, entry.why) for entry in entries if entry.act == TRAIN)
    more = sum(max(0, times - len(rounds)) for times in admitted.values())
    return more + sum(times - 1 for times in trained.values())
