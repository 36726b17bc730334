import pytest
from site_kit import make_cohort

from gdshare.cohort import open_cohort, read_table
from gdshare.errors import CohortError
from gdshare.protocol import Protocol
from studies.hospitals import Division, cut_fold, table_of
from studies.runner import Piece

PROTOCOL = Protocol(patch=16, stride=16, side=8)

DIAGNOSIS = {f"patient-{number:03d}": number % 5 < 2 for number in range(83)}


def of(splits, wanted):
    return {name for name, split in splits.items() if split == wanted}


def divide(diagnosis, count, fold, seed):
    return Division(None, count, fold, 0.2, PROTOCOL).splits(diagnosis, seed)


def folds(count=3):
    return [divide(DIAGNOSIS, count, fold, 7) for fold in range(count)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_patient_is_tested_in_exactly_one_fold(count):
    tested = [of(splits, "test") for splits in folds(count)]
    assert set.union(*tested) == set(DIAGNOSIS)
    assert sum(len(one) for one in tested) == len(DIAGNOSIS)


def test_in_each_fold_every_patient_is_in_exactly_one_split():
    for splits in folds():
        assert set(splits) == set(DIAGNOSIS)
        assert set(splits.values()) == {"train", "val", "test"}


def test_diagnoses_are_spread_evenly():
    positives = sum(DIAGNOSIS.values())
    for splits in folds():
        tested = of(splits, "test")
        rest = positives - sum(DIAGNOSIS[name] for name in tested)
        assert abs(sum(DIAGNOSIS[name] for name in tested) - positives / 3) < 1
        held_out = of(splits, "val")
        assert abs(sum(DIAGNOSIS[name] for name in held_out) - 0.2 * rest) <= 0.5
        assert abs(len(held_out) - 0.2 * (len(DIAGNOSIS) - len(tested))) <= 1


def test_validation_patients_differ_between_folds():
    first, second, third = (of(splits, "val") for splits in folds())
    assert len({frozenset(first), frozenset(second), frozenset(third)}) == 3


def test_only_the_seed_and_the_set_of_patients_matter():
    backwards = dict(reversed(DIAGNOSIS.items()))
    assert divide(backwards, 3, 1, 7) == folds()[1]
    assert divide(DIAGNOSIS, 3, 1, 8) != folds()[1]


def test_too_few_patients_of_a_diagnosis_are_refused():
    few = {f"n{i}": False for i in range(9)} | {"p0": True, "p1": True}
    with pytest.raises(CohortError, match="2 positive patients"):
        divide(few, 2, 0, 0)


def test_a_patient_with_two_films_keeps_both_in_one_split(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(
        "patient,image,mask,diagnosis\n"
        "a,1.png,m.png,negative\n"
        "a,2.png,,negative\n"
        "b,3.png,m.png,positive\n"
    )
    rows = read_table(table)
    again = tmp_path / "elsewhere" / "table.csv"
    again.parent.mkdir()
    again.write_bytes(table_of(rows, {"a": "test", "b": "train"}))
    found = read_table(again)
    assert [row.split for row in found] == ["test", "test", "train"]
    assert [row.image for row in found] == [row.image for row in rows]
    assert [row.mask for row in found] == [row.mask for row in rows]
    assert [row.positive for row in found] == [False, False, True]


def test_the_cell_cuts_a_cohort_by_the_division_and_clears_lost_attempts_away(tmp_path):
    make_cohort(tmp_path / "site")
    table, division = tmp_path / "site" / "labels.csv", Division(None, 2, 1, 0.2, PROTOCOL)
    piece = Piece(tmp_path / "cell", seed=5)
    (piece.folder / ".cohort.lost").mkdir(parents=True)
    result = cut_fold(table, piece, division)
    cohort = open_cohort(piece.folder / "cohort")
    diagnosis = {film.patient: film.positive for film in cohort.films}
    assert {film.patient: film.split for film in cohort.films} == division.splits(diagnosis, 5)
    assert result.facts["counts"]["test"]["films"] == 6
    assert not (piece.folder / ".cohort.lost").exists()
    assert cut_fold(table, piece, division) == result  # killed before its record: taken as it is
