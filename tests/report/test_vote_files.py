import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from gdshare.films import Film
from gdshare.patches import Grid
from gdshare.report.vote_files import (
    COLUMNS,
    TABLE,
    VoteRecord,
    read_record,
    record_of,
    write_film,
    write_table,
)
from gdshare.vote import VoteMap

PATH, NOW = Path("film.png"), datetime(2026, 11, 29, 12, tzinfo=UTC)
FILM = Film(np.arange(3600, dtype=np.uint16).reshape(60, 60), "film")
SEEN = VoteMap(
    Grid(2, 3, 20, 20), np.array([[[0, 1, 2], [2, 2, 0]], [[0, 0, 0], [1, 2, 0]]], np.uint8)
)


def a_record(name="a/film.png", seen=SEEN):
    return record_of(name, "f" * 64, "e" * 64, seen, 0.5)


def test_a_record_has_every_vote_and_reads_back_to_the_same(tmp_path):
    record = a_record()
    assert record.called == (("INP", "PPI"), ("III", "NPI"))
    write_film(tmp_path, FILM, record, PATH, NOW)
    again = read_record(tmp_path, "a/film.png")
    assert again == record
    assert np.array_equal(again.seen.called, SEEN.called)
    assert again.seen.votes == SEEN.votes
    assert (record.verdict, record.ratio) == ("positive", 4 / 6)


def test_a_record_without_its_picture_or_damaged_does_not_count(tmp_path):
    assert read_record(tmp_path, "a/film.png") is None
    write_film(tmp_path, FILM, a_record(), PATH, NOW)
    path = tmp_path / "a" / "film.png.votes.json"
    whole = path.read_text()
    path.write_text(whole[:-9])
    assert read_record(tmp_path, "a/film.png") is None
    path.write_text(whole)
    (tmp_path / "a" / "film.png.votes.png").unlink()
    assert read_record(tmp_path, "a/film.png") is None


@pytest.mark.parametrize("called", [(("INP",),), (("INP", "PP"),), (("INP", "PPX"),), ()])
def test_votes_that_are_not_of_the_grid_are_refused(called):
    data = json.loads(a_record().model_dump_json()) | {"called": called}
    with pytest.raises(ValidationError):
        VoteRecord.model_validate_json(json.dumps(data))


def test_an_indeterminate_film_has_no_ratio(tmp_path):
    none = VoteMap(Grid(1, 1, 60, 60), np.zeros((1, 1, 1), np.uint8))
    record = a_record(seen=none)
    assert (record.verdict, record.ratio) == ("indeterminate", None)
    with write_table(tmp_path, [record, a_record()]).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert (tmp_path / TABLE).exists()
    assert tuple(rows[0]) == COLUMNS
    assert rows[1] == ["a/film.png", "indeterminate", "", "0.5", "1", "0", "0"]
    assert rows[2][4:] == ["6", "2", "4"]
