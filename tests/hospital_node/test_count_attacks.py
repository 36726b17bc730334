"""What crafted models read out of a node's counts, with exact counts and with suppressed cells."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from crafted_model_kit import Crafted, Pixels, cohort_of, model, noisy, texture, windows
from grid_kit import ask_node
from site_kit import PROTOCOL

from gdshare.messages import CountRequest
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.networks import Parameters

VALIDATION = 12
TRIALS = 16
HALF = THRESHOLDS.index(0.5)
FEATURE = 3
QUESTIONS = 15
EXACT = 1
"""``suppress-below`` of a node that suppresses nothing, as every node did before."""


@dataclass
class Hospital:
    """Twelve validation films, and as many that are in no split that is counted."""

    folder: Path
    validation: list[Pixels]
    elsewhere: list[Pixels]
    settings: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        cohort = cohort_of(self.folder / "films", self.validation, self.elsewhere)
        self.settings = {
            "outbox": str(self.folder / "outbox"),
            "state": str(self.folder / "state"),
            "cohort": str(cohort),
            "untied-models": 100,
        }

    def asked(self, network: Parameters, suppress_below: int) -> dict[str, object]:
        """Have validation films counted with a model."""
        crafted: Model = model(network)
        request = CountRequest("convnet", PROTOCOL, crafted.to_bytes(), None)
        state = {"state": str(self.folder / f"state-{suppress_below}")}
        settings = self.settings | state | {"suppress-below": suppress_below}
        answer = ask_node(settings, "evaluate.counts", request.to_fields())
        assert "refused" not in answer, answer
        return answer


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    random = np.random.default_rng(0)
    films = [texture(random) for _ in range(2 * VALIDATION)]
    return Hospital(tmp_path_factory.mktemp("h"), films[:VALIDATION], films[VALIDATION:])


def test_crafted_model_is_not_counted_at_all(hospital: Hospital) -> None:
    """Unless the operator allows it, as these tests do to show what counts alone tell."""
    request = CountRequest("convnet", PROTOCOL, model(Crafted(1).above(FEATURE, 0.0)).to_bytes())
    settings = {**hospital.settings, "untied-models": 0, "trust": str(hospital.folder / "peers")}
    answer = ask_node(settings, "evaluate.counts", request.to_fields())
    assert answer == {"refused": "model-untied"}


def membership(hospital: Hospital, suppress_below: int) -> tuple[int, int]:
    """Ask one question for each of sixteen films, of which eight are in the split.

    Returns:
        how often it was told rightly whether the film is in the split; and its diagnosis, of the
        eight.
    """
    random, crafted = np.random.default_rng(1), Crafted(1)
    own = [windows(texture(random), hospital.folder) for _ in range(40)]
    others = crafted.features(np.concatenate(own))
    right = diagnosed = 0
    for trial in range(TRIALS):
        place, inside = trial // 2, trial % 2 == 0
        film = (hospital.validation if inside else hospital.elsewhere)[place]
        copy = crafted.features(windows(noisy(film, random), hospital.folder))
        answer = hospital.asked(crafted.recognise(copy, others), suppress_below)
        positives, negatives = answer["tp"][HALF], answer["fp"][HALF]  # type: ignore[index]
        right += (positives + negatives > 0) == inside
        diagnosed += (
            inside and (positives > negatives) == bool(place % 2) and positives != negatives
        )
    return right, diagnosed


def read_feature(hospital: Hospital, suppress_below: int) -> float:
    """Halve, question by question, the range of the highest feature of positive films."""
    crafted = Crafted(1)
    low, high = -10.0, 20.0
    for _ in range(QUESTIONS):
        middle = (low + high) / 2
        answer = hospital.asked(crafted.above(FEATURE, middle), suppress_below)
        low, high = (middle, high) if answer["tp"][1] else (low, middle)  # type: ignore[index]
    return (low + high) / 2


def highest_feature(hospital: Hospital) -> float:
    crafted = Crafted(1)
    positive = hospital.validation[1::2]
    return max(
        float(crafted.features(windows(film, hospital.folder))[:, FEATURE].max())
        for film in positive
    )


def test_exact_counts_tell_who_is_in_a_split_and_with_what_diagnosis(hospital: Hospital) -> None:
    """What every node answered before: the attack works."""
    assert membership(hospital, EXACT) == (16, 8)


def test_counts_without_cells_of_a_few_tell_neither(hospital: Hospital) -> None:
    """Guessing is right in eight of sixteen."""
    assert membership(hospital, 5) == (8, 0)


def test_exact_counts_tell_a_films_feature(hospital: Hospital) -> None:
    error = abs(read_feature(hospital, EXACT) - highest_feature(hospital))
    assert error < 0.002


def test_counts_without_cells_of_a_few_tell_no_films_feature(hospital: Hospital) -> None:
    """Every answer is the same, whatever the film."""
    answers = {
        str(hospital.asked(Crafted(1).above(FEATURE, value), 5)) for value in (-1.0, 0.49, 0.5, 2.0)
    }
    assert len(answers) == 1
    assert abs(read_feature(hospital, 5) - highest_feature(hospital)) > 1
