"""The protocol of a round, and what a file of before means that lacks one of its fields."""

import json

import pytest
from bundle_run_kit import run_record
from film_kit import PROTOCOL, small_cohort
from pydantic import ValidationError

from gdshare.cohort import open_cohort
from gdshare.errors import UsageError
from gdshare.method import RunRecord, Settings
from gdshare.protocol import Protocol


def test_a_file_of_before_the_tone_means_none():
    assert Protocol.model_validate_json("{}").tone == "none"
    assert Protocol.model_validate_json('{"tone": "equalise"}').tone == "equalise"


def test_another_tone_is_refused_by_name():
    with pytest.raises(UsageError, match=r"west: .*\(tone levels instead of none\)"):
        Protocol(tone="none").require_same(Protocol(tone="levels"), "west")


def test_a_cohort_of_before_the_tone_is_read(tmp_path):
    cohort = small_cohort(tmp_path, protocol=PROTOCOL.model_copy(update={"tone": "none"}))
    index = json.loads((cohort.path / "cohort.json").read_text(encoding="utf-8"))
    del index["protocol"]["tone"]
    (cohort.path / "cohort.json").write_text(json.dumps(index), encoding="utf-8")
    assert open_cohort(cohort.path) == cohort


def test_a_run_of_before_the_tone_is_read():
    record = run_record(Settings()).model_copy(update={"protocol": Protocol(tone="none")})
    values = record.model_dump(mode="json")
    del values["protocol"]["tone"]
    assert RunRecord.model_validate_json(json.dumps(values)) == record


def test_a_run_whose_announced_theta0_was_still_called_fixed_is_read():
    record = run_record(Settings(network="convnet", theta0="announced", theta0_number=7))
    values = record.model_dump(mode="json")
    assert values["settings"]["theta0"] == "announced"
    values["settings"]["theta0"] = "fixed"
    assert RunRecord.model_validate_json(json.dumps(values)) == record


@pytest.mark.parametrize("theta0", [["fixed"], {"fixed": 1}, None, 5])
def test_theta0_of_another_kind_than_a_word_is_refused(theta0):
    with pytest.raises(ValidationError, match="theta0"):
        Settings.model_validate_json(json.dumps({"theta0": theta0}))
