import pytest

from gdshare.cohort import read_table
from gdshare.errors import CohortError

HEAD = "patient,image,mask,diagnosis\n"


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_other_columns_are_ignored_and_paths_are_relative_to_the_table(tmp_path):
    path = write(
        tmp_path, "age,patient,image,mask,diagnosis,sex\n61,A,i/a.png,m/a.png,positive,F\n"
    )
    (row,) = read_table(path)
    assert (row.patient, row.positive) == ("A", True)
    assert (row.image, row.mask) == (tmp_path / "i/a.png", tmp_path / "m/a.png")


def test_diagnosis_may_begin_with_a_capital(tmp_path):
    assert read_table(write(tmp_path, HEAD + "A,a.png,,Positive\n"))[0].positive


def test_a_table_may_divide_the_patients(tmp_path):
    path = write(tmp_path, "split," + HEAD + "Train,A,a.png,,negative\ntest,B,b.png,,positive\n")
    assert [row.split for row in read_table(path)] == ["train", "test"]


def test_a_table_may_state_the_pixel_size_of_a_film(tmp_path):
    path = write(tmp_path, "spacing_mm," + HEAD + "0.15,A,a.png,,negative\n,B,b.png,,positive\n")
    assert [row.spacing_mm for row in read_table(path)] == [0.15, None]


@pytest.mark.parametrize("size", ["0", "-1", "0,15", "nan", "inf", "1e9", "0.15 mm"])
def test_an_impossible_pixel_size_is_refused_by_line(tmp_path, size):
    path = write(tmp_path, "spacing_mm," + HEAD + f'"{size}",A,a.png,,negative\n')
    with pytest.raises(CohortError, match=r"line 2: spacing_mm is .*such as 0\.15"):
        read_table(path)


def test_film_without_a_mask_is_accepted(tmp_path):
    (row,) = read_table(write(tmp_path, HEAD + "A,a.png,,negative\n"))
    assert row.mask is None


def test_byte_order_mark_of_a_spreadsheet_is_ignored(tmp_path):
    assert read_table(write(tmp_path, HEAD + "A,a.png,,negative\n", "utf-8-sig"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,image,diagnosis\n", "has no column mask"),
        ("", "has no column patient"),
        (HEAD, "lists no film"),
        (HEAD + ",a.png,,negative\n", "line 2: patient is empty"),
        (HEAD + "A,,,negative\n", "line 2: image is empty"),
        (HEAD + "A,a.png,,maybe\n", "line 2: diagnosis is 'maybe'"),
        (HEAD + "A,a.png,,negative\nB,a.png,,negative\n", "line 3: a.png is listed twice"),
        (HEAD + "A,a.png,,negative\nA,b.png,,positive\n", "line 3: patient A has both"),
        ("split," + HEAD + "test,A,a.png,,negative\n,B,b.png,,negative\n", "line 3: split is ''"),
        ("split," + HEAD + "training,A,a.png,,negative\n", "split is 'training'; write train,"),
        (
            "split," + HEAD + "test,A,a.png,,negative\nval,A,b.png,,negative\n",
            "line 3: patient A is in two splits",
        ),
        (HEAD + "A,a.png\n", "line 2: diagnosis is ''"),
        (HEAD + 'A,"a.png,,negative\n', "not a UTF-8 CSV"),
    ],
)
def test_bad_table_is_refused_with_the_line_and_the_reason(tmp_path, text, message):
    with pytest.raises(CohortError, match=message):
        read_table(write(tmp_path, text))


def test_table_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(CohortError, match="not a UTF-8 CSV"):
        read_table(write(tmp_path, HEAD + "Jürgen,a.png,,negative\n", "latin-1"))


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(CohortError, match="no such table"):
        read_table(tmp_path / "none.csv")
