import logging
import os
import unicodedata

import pytest

from gdshare.cohort import read_listing, read_table
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
        (HEAD + "A,a.png,,\n", "line 2: diagnosis is ''"),
        (HEAD + "A,a.png\n", "line 2: has 2 cells for 4 columns"),
        (HEAD + "A,a.png,,negative,b\n", "line 2: has 5 cells for 4 columns"),
        ("mask," + HEAD + ",A,a.png,,negative\n", "has two columns mask"),
        ("patient,image,mask,diagnose\n", "no column diagnosis, only patient, image, mask, diagno"),
        (HEAD + "A,a.png,,negative\nB,b\0.png,,negative\n", "line 3: .* NUL character"),
        (HEAD + "A,a.png,a.png,negative\n", "line 2: a.png is given as its own mask"),
        (HEAD + 'A,"a.png,,negative\n', "not a UTF-8 CSV"),
    ],
)
def test_bad_table_is_refused_with_the_line_and_the_reason(tmp_path, text, message):
    with pytest.raises(CohortError, match=message):
        read_table(write(tmp_path, text))


def test_table_in_another_encoding_is_refused_by_line(tmp_path):
    with pytest.raises(CohortError, match="line 3: is not a UTF-8 CSV"):
        read_table(write(tmp_path, HEAD + "A,b.png,,negative\nJürgen,a.png,,negative\n", "latin-1"))


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(CohortError, match="no such table"):
        read_table(tmp_path / "none.csv")


READERS = pytest.mark.parametrize("read", [read_table, read_listing])
"""What ``gdshare label`` and ``gdshare import`` read a table with."""

COMPOSED = "M\u00fcller"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@READERS
@pytest.mark.parametrize("other", [DECOMPOSED, f" {COMPOSED}\u00a0", f"{DECOMPOSED}\u3000"])
def test_patient_in_two_spellings_is_one_patient(tmp_path, read, other):
    text = HEAD + f"{COMPOSED},a.png,,positive\n{other},b.png,,positive\n"
    assert {row.patient for row in read(write(tmp_path, text))} == {COMPOSED}
    with pytest.raises(CohortError, match=r"line 3: patient Müller has both .* in line 2"):
        read(write(tmp_path, text.replace("b.png,,positive", "b.png,,negative")))


def test_undiagnosed_film_contradicts_no_diagnosis_and_hides_none(tmp_path):
    head = HEAD + "A,a.png,,\nA,b.png,,positive\n"
    assert [film.positive for film in read_listing(write(tmp_path, head))] == [None, True]
    with pytest.raises(CohortError, match=r"line 4: patient A has both diagnoses, .* line 3"):
        read_listing(write(tmp_path, head + "A,c.png,,negative\n"))


@READERS
@pytest.mark.parametrize("other", ["a1", "\uff211", "A\u200b1"])
def test_patients_that_differ_in_capitals_count_as_two_with_a_warning(
    tmp_path, caplog, read, other
):
    text = HEAD + f"A1,a.png,,positive\n{other},b.png,,negative\n"
    assert [row.patient for row in read(write(tmp_path, text))] == ["A1", other]
    assert "patients A1 (line 2) and" in caplog.text
    assert "(line 3)" in caplog.text


def films(tmp_path):
    """A film and every other path to it."""
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a film")
    (folder / "link.png").symlink_to("a.png")
    os.link(folder / "a.png", folder / "hard.png")
    (tmp_path / "linked").symlink_to("films")


@READERS
@pytest.mark.parametrize(
    "path",
    ["films/../films/a.png", "films/link.png", "films/hard.png", "linked/a.png", "./films//a.png"],
)
def test_film_by_two_paths_is_listed_twice(tmp_path, read, path):
    films(tmp_path)
    text = HEAD + f"A,films/a.png,,negative\nB,{path},,negative\n"
    with pytest.raises(CohortError, match=r"line 3: \w+.png is listed twice, in line 2 for pat"):
        read(write(tmp_path, text))
    with pytest.raises(CohortError, match=r"line 3: \w+.png is listed twice, as in line 2"):
        read(write(tmp_path, text.replace("B,", "A,")))


@pytest.mark.parametrize(("patient", "whose"), [("A", "one patient"), ("B", "two patients")])
def test_copy_of_a_film_is_refused_with_both_lines(tmp_path, patient, whose):
    for name, content in (("a", b"x" * 70_000), ("b", b"x" * 70_000), ("c", b"x" * 69_999 + b"y")):
        (tmp_path / f"{name}.png").write_bytes(content)
    head = HEAD + "A,a.png,,negative\n"
    assert len(read_table(write(tmp_path, head + f"{patient},c.png,,negative\n"))) == 2
    text = head + f"C,c.png,,negative\n{patient},b.png,,negative\n"
    with pytest.raises(CohortError, match=f"line 4: b.png is a copy of a.png in line 2.*{whose}"):
        read_table(write(tmp_path, text))


@READERS
def test_mask_of_two_films_is_warned_of_but_an_annotation_file_is_not(tmp_path, caplog, read):
    (tmp_path / "m.png").write_bytes(b"\x89PNG")
    (tmp_path / "all.json").write_bytes(b"{}")
    text = HEAD + "A,a.png,m.png,negative\nB,b.png,./m.png,negative\n"
    read(write(tmp_path, text.replace("m.png", "all.json")))
    assert not caplog.text
    read(write(tmp_path, text))
    assert "m.png is the mask of 2 films, such as in lines 2 and 3" in caplog.text


@READERS
def test_errors_name_the_line_of_the_file_where_the_row_begins(tmp_path, read):
    text = "\n" + HEAD + 'A,a.png,,negative\n\n \n,,,\n"B\n\nC",b.png,,"positive\n?"\n'
    with pytest.raises(CohortError, match="line 7: diagnosis is"):
        read(write(tmp_path, text))
    fine = write(tmp_path, text.replace("positive\n?", "positive"))
    assert [row.line for row in read(fine)] == [f"{fine}, line 3", f"{fine}, line 7"]


@READERS
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_table_is_read_as_any_spreadsheet_saves_it(tmp_path, read, newline, delimiter, encoding):
    lines = (" Patient |IMAGE|mask|Diagnosis ||", "Jö; rg, 1|a.png|m.png|negative||", "|||||")
    cells = [[f'"{cell}"' if ", " in cell else cell for cell in line.split("|")] for line in lines]
    path = tmp_path / "labels.csv"
    text = newline.join(delimiter.join(row) for row in cells)
    path.write_bytes(text.encode(encoding))
    (row,) = read(path)
    assert (row.patient, row.image.name, row.positive) == ("Jö; rg, 1", "a.png", False)
    assert (row.mask, row.line) == (tmp_path / "m.png", f"{path}, line 2")


def test_columns_left_out_are_named(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    read_table(write(tmp_path, "age,splits," + HEAD + "61,test,A,a.png,,negative\n"))
    assert "labels.csv: columns left out: age, splits" in caplog.text


@READERS
def test_pipe_in_place_of_a_table_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(CohortError, match=r"cannot be read \(not a plain file"):
        read(tmp_path / "labels.csv")
