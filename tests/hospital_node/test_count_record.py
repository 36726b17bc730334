"""The record of counts: two questions at once, and a record of an earlier gdshare."""

import json
from pathlib import Path

import pytest

from gdshare.lock import lock, lock_beside
from gdshare.messages import Counts, Reason
from gdshare.metrics import Confusion
from hospital_node import count_record as record
from hospital_node.refusal import RefusedError

COUNTS = Confusion(2, 0, 1, 1)
LIMITS = record.Limits(validation=3, test=20, untied=1)


def answer(
    epsilon: float | None, model: str = "a", counts: Confusion = COUNTS, tied: bool = True
) -> record.Answer:
    return record.Answer.to(record.Question(model, "c", epsilon, tied), Counts([counts]))


def test_of_two_epsilons_at_once_only_the_first_is_recorded(tmp_path: Path) -> None:
    assert record.record_counts(tmp_path, answer(0.4), LIMITS) == answer(0.4)
    with pytest.raises(RefusedError, match="test-already-counted"):
        record.record_counts(tmp_path, answer(0.45), LIMITS)
    assert [entry.epsilon for entry in record.read_counts(tmp_path).entries] == [0.4]


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_of_two_equal_questions_at_once_both_get_the_recorded_counts(
    tmp_path: Path, epsilon: float | None
) -> None:
    first = record.record_counts(tmp_path, answer(epsilon), LIMITS)
    later = answer(epsilon, counts=Confusion(0, 2, 1, 1))
    assert record.record_counts(tmp_path, later, LIMITS) == first
    assert len(record.read_counts(tmp_path).entries) == 1


def test_of_two_models_at_once_the_one_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    limits = record.Limits(validation=1, test=1, untied=0)
    for epsilon in (None, 0.4):
        record.record_counts(tmp_path, answer(epsilon), limits)
    for epsilon, word in ((None, "validation-budget-spent"), (0.4, "test-budget-spent")):
        with pytest.raises(RefusedError, match=word):
            record.record_counts(tmp_path, answer(epsilon, "b"), limits)


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_weights_of_somebodys_making_have_a_smaller_limit(
    tmp_path: Path, epsilon: float | None
) -> None:
    record.record_counts(tmp_path, answer(epsilon, "a"), LIMITS)
    first = record.record_counts(tmp_path, answer(epsilon, "b", tied=False), LIMITS)
    with pytest.raises(RefusedError, match="model-untied"):
        record.record_counts(tmp_path, answer(epsilon, "c", tied=False), LIMITS)
    assert record.record_counts(tmp_path, answer(epsilon, "b", tied=False), LIMITS) == first


def test_nothing_is_recorded_while_the_record_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "LOCK_S", 0)
    locked = lock(lock_beside(tmp_path / record.FILE))
    with locked, pytest.raises(RefusedError, match="locked by") as refused:
        record.record_counts(tmp_path, answer(0.4), LIMITS)
    assert refused.value.reason is Reason.BUSY
    assert not (tmp_path / record.FILE).exists()


def test_what_an_earlier_gdshare_counted_still_counts(tmp_path: Path) -> None:
    counts = {"tp": 2, "fn": 0, "tn": 1, "fp": 1}
    entry = {"model": "a", "cohort": "c", "epsilon": 0.4, "counts": counts}
    earlier = {"format": "gdshare-test-counts/1", "entries": [entry]}
    (tmp_path / "test-counts.json").write_text(json.dumps(earlier), encoding="utf-8")
    with pytest.raises(RefusedError, match="test-already-counted"):
        record.record_counts(tmp_path, answer(0.45), LIMITS)
    assert record.record_counts(tmp_path, answer(0.4), LIMITS).sent == Counts((COUNTS,))
    record.record_counts(tmp_path, answer(0.4, "b"), LIMITS)
    assert len(record.read_counts(tmp_path).entries) == 2
