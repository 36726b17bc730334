"""The protocol of a round, and what a file of before means that lacks one of its fields."""

import json

import pytest
from bundle_run_kit import run_record
from film_kit import small_cohort

from gdshare.cohort import open_cohort
from gdshare.errors import UsageError
from gdshare.method import RunRecord, Settings
from gdshare.protocol import Protocol, Tone


class LaterProtocol(Protocol):
    """As it is once another tone has become the default."""

    tone: Tone = "field"


def test_a_file_of_before_the_tone_means_none_whatever_the_default_is():
    assert LaterProtocol().tone == "field"
    assert LaterProtocol.model_validate_json("{}").tone == "none"
    assert LaterProtocol.model_validate_json('{"tone": "half"}').tone == "half"


def test_another_tone_is_refused_by_name():
    with pytest.raises(UsageError, match=r"west: .*\(tone half instead of none\)"):
        Protocol(tone="none").require_same(Protocol(tone="half"), "west")


def test_a_cohort_of_before_the_tone_is_read(tmp_path):
    cohort = small_cohort(tmp_path)
    index = json.loads((cohort.path / "cohort.json").read_text(encoding="utf-8"))
    del index["protocol"]["tone"]
    (cohort.path / "cohort.json").write_text(json.dumps(index), encoding="utf-8")
    assert open_cohort(cohort.path) == cohort


def test_a_run_of_before_the_tone_is_read():
    record = run_record(Settings())
    values = record.model_dump(mode="json")
    del values["protocol"]["tone"]
    assert RunRecord.model_validate_json(json.dumps(values)) == record
