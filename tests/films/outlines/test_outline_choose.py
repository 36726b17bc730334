import unicodedata

import pytest

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape
from gdshare.films.outlines.choose import annotations_for, organ_shapes
from gdshare.films.outlines.rings import box


def annotation_sets(*names):
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
    assert annotations_for(film, annotation_sets("other.png", stated)).film == stated


def test_exact_file_name_wins_over_a_copy_in_another_format():
    assert annotations_for("17.png", annotation_sets("17.jpg", "17.png")).film == "17.png"


def test_number_after_the_last_dot_distinguishes_films():
    with pytest.raises(FilmError, match="has no annotation of the film"):
        annotations_for("1.2.840.17", annotation_sets("1.2.840.18"))


def test_of_two_with_the_same_name_the_one_in_the_same_folder_wins():
    both = annotation_sets("root/anna/film.png", "root/berta/film.png")
    assert annotations_for("/data/berta/film.png", both).film == "root/berta/film.png"
    with pytest.raises(FilmError, match="several films that may be"):
        annotations_for("/data/clara/film.png", both)


def test_name_is_found_however_its_accents_are_composed():
    stated = unicodedata.normalize("NFD", "\u304c\u3093.png")
    assert annotations_for("\u304c\u3093.png", annotation_sets(stated)).film == stated


def test_annotation_set_without_a_film_name_fits_every_film():
    assert annotations_for("17.png", [AnnotationSet(None, None, ())]).film is None


@pytest.mark.parametrize(
    ("film", "stated"),
    [
        ("films/film a.png", "images/film%20a.png"),
        ("film a.png", "film%20a.jpg"),
        ("\u80c3.png", "%E8%83%83.png"),
        ("17.png", "images%2F17.png"),
        ("100%.png", "100%.png"),
        ("film.png", "images\\1/90fbb0c7-film.png"),
        ("film (a).png", "/data/upload/1/90fbb0c7-film_a.png"),
        ("film.png", "film_png.rf.0a1B2c3D.jpg"),
        ("film.dcm", "film_png.rf.0a1B2c3D.jpg"),
    ],
)
def test_film_that_a_tool_renamed_is_found(film, stated):
    assert annotations_for(film, annotation_sets("other.png", stated)).film == stated


def test_name_as_it_stands_wins_over_a_decoded_one():
    both = annotation_sets("film%20a.png", "film a.png")
    assert annotations_for("film a.png", both).film == "film a.png"
    assert annotations_for("film%20a.png", both).film == "film%20a.png"


def test_original_name_that_the_file_states_is_found():
    renamed = AnnotationSet("x1_png.rf.00ff.jpg", (4, 4), (), ("film.png",))
    assert annotations_for("film.png", [*annotation_sets("other.png"), renamed]) is renamed


def test_two_uploads_of_one_name_are_refused_with_both_and_the_option():
    both = annotation_sets("90fbb0c7-film.png", "1234abcd-film.png")
    with pytest.raises(FilmError) as refusal:
        annotations_for("film.png", both)
    assert "'90fbb0c7-film.png', '1234abcd-film.png'" in str(refusal.value)
    assert "gdshare outline --image NAME" in str(refusal.value)
    assert annotations_for("film.png", both, "1234abcd-film.png") is both[1]


@pytest.mark.parametrize(
    "image", ["a/film%20x.png", "film%20x.png", "film x.png", "a/film x.png", "original.png"]
)
def test_image_is_named_as_it_stands_decoded_or_without_its_folders(image):
    wanted = AnnotationSet("a/film%20x.png", (4, 4), (), ("original.png",))
    assert annotations_for("17.png", [*annotation_sets("17.png"), wanted], image) is wanted


def test_image_that_is_not_in_the_file_is_refused_with_those_that_are():
    with pytest.raises(FilmError, match=r"no annotation of an image 'b\.png', only of 'a\.png'"):
        annotations_for("a.png", annotation_sets("a.png"), "b.png")


def test_image_without_folders_that_fits_two_is_refused_with_both():
    both = annotation_sets("anna/film.png", "berta/film.png")
    with pytest.raises(FilmError, match=r"several images 'film\.png': 'anna/film\.png', 'be"):
        annotations_for("17.png", both, "film.png")
    assert annotations_for("17.png", both, "berta/film.png") is both[1]


def drawn(*labels):
    area = (box((0, 0), (2, 2)),)
    return AnnotationSet("17.png", (4, 4), tuple(Shape(label, "polygon", area) for label in labels))


def test_only_label_of_the_file_needs_no_name():
    annotations = drawn("stomach", "stomach")
    assert organ_shapes(annotations, [annotations], None) == ("stomach", annotations.shapes)


def test_second_label_on_another_film_makes_the_name_necessary():
    annotations = drawn("stomach")
    with pytest.raises(
        FilmError, match="'liver', 'stomach'; choose the organ's label with --organ"
    ):
        organ_shapes(annotations, [drawn("liver"), annotations], None)


def test_at_most_ten_names_are_listed_and_no_control_character_is_printed():
    annotations = drawn("\x1b[2J", "x" * 100, *map(str, range(20)))
    with pytest.raises(FilmError) as caught:
        organ_shapes(annotations, [annotations], None)
    assert "\x1b" not in str(caught.value)
    assert "and 12 more" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_control_characters_of_a_shapes_kind_are_escaped():
    drawing = AnnotationSet("17.png", (4, 4), (Shape("stomach", "\x1b[2J", ()),))
    with pytest.raises(FilmError, match="which encloses nothing") as refusal:
        organ_shapes(drawing, [drawing], "stomach")
    assert str(refusal.value).isprintable()


def test_label_in_any_script_is_shown_as_itself():
    annotations = drawn("胃")
    with pytest.raises(FilmError, match="only '胃'"):
        organ_shapes(annotations, [annotations], "肝")
    assert organ_shapes(annotations, [annotations], "胃")[0] == "胃"


def test_annotation_set_without_shapes_has_no_label():
    assert organ_shapes(drawn(), [drawn()], None) == ("", ())
    with pytest.raises(FilmError, match="nor any other; check --organ"):
        organ_shapes(drawn(), [drawn()], "stomach")
