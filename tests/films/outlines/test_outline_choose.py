import unicodedata

import pytest

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape
from gdshare.films.outlines.choose import shapes_of, sheet_of
from gdshare.films.outlines.rings import box


def sheets(*names):
    return [AnnotationSet(name, (4, 4), ()) for name in names]


@pytest.mark.parametrize(
    ("film", "stated"),
    [
        ("films/17.png", "17.png"),
        ("films\\17.png", "a/b/17.png"),
        ("17.png", "C:\\annotate\\17.png"),
        ("17.dcm", "17.png"),
        ("17.png", "17.JPG"),
        ("1.2.840.17", "1.2.840.17.png"),
    ],
)
def test_film_is_found_whatever_its_folders_and_image_format(film, stated):
    assert sheet_of(sheets("other.png", stated), film).film == stated


def test_file_name_itself_goes_before_a_copy_in_another_format():
    assert sheet_of(sheets("17.jpg", "17.png"), "17.png").film == "17.png"


def test_numbers_after_a_dot_tell_films_apart():
    with pytest.raises(FilmError, match="says nothing of the film"):
        sheet_of(sheets("1.2.840.18"), "1.2.840.17")


def test_of_two_with_the_same_name_the_one_in_the_same_folder_is_taken():
    both = sheets("root/anna/film.png", "root/berta/film.png")
    assert sheet_of(both, "/data/berta/film.png").film == "root/berta/film.png"
    with pytest.raises(FilmError, match="several films that may be"):
        sheet_of(both, "/data/clara/film.png")


def test_name_is_found_however_its_accents_are_composed():
    stated = unicodedata.normalize("NFD", "\u304c\u3093.png")
    assert sheet_of(sheets(stated), "\u304c\u3093.png").film == stated


def test_sheet_without_a_film_is_every_films():
    assert sheet_of([AnnotationSet(None, None, ())], "17.png").film is None


def drawn(*labels):
    area = (box((0, 0), (2, 2)),)
    return AnnotationSet("17.png", (4, 4), tuple(Shape(label, "polygon", area) for label in labels))


def test_only_label_of_the_file_needs_no_naming():
    annotations = drawn("stomach", "stomach")
    assert shapes_of([annotations], annotations, None) == ("stomach", annotations.shapes)


def test_another_label_on_another_film_must_be_told_apart_too():
    annotations = drawn("stomach")
    with pytest.raises(FilmError, match="'liver', 'stomach'; say which is the organ with --organ"):
        shapes_of([drawn("liver"), annotations], annotations, None)


def test_at_most_ten_names_are_listed_and_no_control_character_is_printed():
    annotations = drawn("\x1b[2J", "x" * 100, *map(str, range(20)))
    with pytest.raises(FilmError) as caught:
        shapes_of([annotations], annotations, None)
    assert "\x1b" not in str(caught.value)
    assert "and 12 more" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_label_in_any_script_is_shown_as_itself():
    annotations = drawn("胃")
    with pytest.raises(FilmError, match="but '胃'"):
        shapes_of([annotations], annotations, "肝")
    assert shapes_of([annotations], annotations, "胃")[0] == "胃"


def test_sheet_without_shapes_has_nothing_by_any_name():
    assert shapes_of([drawn()], drawn(), None) == ("", ())
    with pytest.raises(FilmError, match="but nothing; check --organ"):
        shapes_of([drawn()], drawn(), "stomach")
