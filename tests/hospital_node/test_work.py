"""What a hospital computes for others is counted, also by a node that is killed half way."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hospital_node.work import FILE, WorkError, grant, settle

NOON = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)


def test_no_more_than_the_days_limit_is_granted(tmp_path: Path) -> None:
    settle(tmp_path, grant(tmp_path, 60, 100, NOON), 60)
    assert grant(tmp_path, 60, 100, NOON).seconds == 40
    assert grant(tmp_path, 60, 100, NOON).seconds == 0


def test_what_was_not_used_is_given_back(tmp_path: Path) -> None:
    settle(tmp_path, grant(tmp_path, 100, 100, NOON), 1.5)
    assert grant(tmp_path, 100, 100, NOON).seconds == 98.5


def test_node_that_was_killed_half_way_has_spent_all_that_was_granted(tmp_path: Path) -> None:
    grant(tmp_path, 100, 100, NOON)
    assert grant(tmp_path, 100, 100, NOON + timedelta(hours=1)).seconds == 0


def test_longer_than_granted_counts_in_full(tmp_path: Path) -> None:
    settle(tmp_path, grant(tmp_path, 10, 100, NOON), 80)
    assert grant(tmp_path, 100, 100, NOON).seconds == 20


def test_seconds_come_back_after_a_day_and_midnight_brings_none(tmp_path: Path) -> None:
    settle(tmp_path, grant(tmp_path, 100, 100, NOON), 100)
    for hours, left in ((12, 0), (24, 0), (25, 100)):
        assert grant(tmp_path, 100, 100, NOON + timedelta(hours=hours)).seconds == left


def test_clock_set_back_brings_no_seconds(tmp_path: Path) -> None:
    grant(tmp_path, 100, 100, NOON)
    assert grant(tmp_path, 100, 100, NOON - timedelta(days=30)).seconds == 0


@pytest.mark.parametrize("content", ["", "{", '{"hours": {"2026-03-31T12": -5}}', "[]"])
def test_damaged_record_grants_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(WorkError, match="damaged"):
        grant(tmp_path, 1, 100, NOON)
