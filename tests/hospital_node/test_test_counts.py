"""The record of test counts when two requests come at once."""

from pathlib import Path

import pytest

from gdshare.errors import LockedError
from gdshare.lock import lock, lock_beside
from gdshare.metrics import Confusion
from hospital_node import test_counts as record
from hospital_node.refusal import RefusedError

COUNTS = Confusion(2, 0, 1, 1)


def entry(epsilon: float, model: str = "a", counts: Confusion = COUNTS) -> record.CountEntry:
    return record.CountEntry(model=model, cohort="c", epsilon=epsilon, counts=counts)


def test_of_two_epsilons_at_once_only_the_first_is_recorded(tmp_path: Path) -> None:
    assert record.record_test_counts(tmp_path, entry(0.4), 20) == COUNTS
    with pytest.raises(RefusedError, match="test-already-counted"):
        record.record_test_counts(tmp_path, entry(0.45), 20)
    assert [recorded.epsilon for recorded in record.read_test_counts(tmp_path).entries] == [0.4]


def test_of_two_equal_requests_at_once_both_get_the_recorded_counts(tmp_path: Path) -> None:
    record.record_test_counts(tmp_path, entry(0.4), 20)
    later = entry(0.4, counts=Confusion(0, 2, 1, 1))
    assert record.record_test_counts(tmp_path, later, 20) == COUNTS
    assert len(record.read_test_counts(tmp_path).entries) == 1


def test_of_two_models_at_once_the_one_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    record.record_test_counts(tmp_path, entry(0.4), 1)
    with pytest.raises(RefusedError, match="test-budget-spent"):
        record.record_test_counts(tmp_path, entry(0.4, "b"), 1)


def test_nothing_is_recorded_while_the_record_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "lock", lambda path: lock(path, 0))
    with lock(lock_beside(tmp_path / record.FILE)), pytest.raises(LockedError, match="locked by"):
        record.record_test_counts(tmp_path, entry(0.4), 20)
    assert not (tmp_path / record.FILE).exists()
