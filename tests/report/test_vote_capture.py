import io
from datetime import UTC, datetime

import numpy as np
import pytest
from dicom_kit import NAME, gradient, radiograph, save
from pydicom import dcmread

from gdshare.errors import FilmError
from gdshare.films import read_film
from gdshare.patches import Grid
from gdshare.report.vote_capture import DESCRIPTION, capture
from gdshare.report.vote_files import read_record, record_of, write_film
from gdshare.report.vote_map import draw_map
from gdshare.vote import VoteMap

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SEEN = VoteMap(Grid(2, 2, 20, 20), np.array([[[0, 1], [2, 2]]], np.uint8))


def a_record(threshold=0.5):
    return record_of("film.dcm", "f" * 64, "e" * 64, SEEN, threshold)


def captured(path, threshold=0.5):
    picture = draw_map(read_film(path), SEEN, threshold)
    return dcmread(io.BytesIO(capture(path, picture, a_record(threshold), NOW))), picture


def test_a_capture_belongs_to_the_films_patient_and_study_and_says_research(tmp_path):
    film = radiograph(gradient(), PatientOrientation=["L", "F"], BurnedInAnnotation="YES")
    made, picture = captured(save(film, tmp_path / "film.dcm"))
    for name in ("StudyInstanceUID", "PatientID", "PatientBirthDate", "StudyDate"):
        assert made[name].value == film[name].value
    assert str(made.PatientName) == NAME
    assert made.SeriesInstanceUID != film.SeriesInstanceUID
    assert made.SeriesDescription == DESCRIPTION
    assert made.ContentQualification == "RESEARCH"
    assert made.BurnedInAnnotation == "YES"
    assert list(made.PatientOrientation) == ["L", "F"]
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == film.SOPInstanceUID
    assert np.array_equal(made.pixel_array, np.asarray(picture))


def test_equal_votes_make_equal_uids_and_others_do_not(tmp_path):
    path = save(radiograph(gradient()), tmp_path / "film.dcm")
    first, again, other = (captured(path, epsilon)[0] for epsilon in (0.5, 0.5, 0.6))
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == other.SeriesInstanceUID


def test_an_orientation_that_the_film_does_not_say_is_not_made_up(tmp_path):
    made, _ = captured(save(radiograph(gradient()), tmp_path / "film.dcm"))
    assert not made.PatientOrientation


def test_a_film_of_no_study_keeps_its_picture_and_has_no_capture(tmp_path, caplog):
    path = save(radiograph(gradient(), StudyInstanceUID=None), tmp_path / "film.dcm")
    film = read_film(path)
    with pytest.raises(FilmError, match="makes no secondary capture"):
        capture(path, draw_map(film, SEEN, 0.5), a_record(), NOW)
    write_film(tmp_path / "out", film, a_record(), path, NOW)
    assert read_record(tmp_path / "out", "film.dcm") == a_record()
    assert "makes no secondary capture" in caplog.text
    assert not (tmp_path / "out" / "film.dcm.votes.dcm").exists()


def test_a_dicom_film_has_a_capture_beside_its_picture(tmp_path):
    path = save(radiograph(gradient()), tmp_path / "film.dcm")
    write_film(tmp_path / "out", read_film(path), a_record(), path, NOW)
    assert dcmread(tmp_path / "out" / "film.dcm.votes.dcm").Modality == "OT"


def test_no_name_of_the_header_gets_into_a_warning_or_a_refusal(tmp_path, recwarn):
    film = radiograph(gradient(), ReferringPhysicianName="Loner", PatientSex="whoever")
    path = save(film, tmp_path / "film.dcm")
    picture = draw_map(read_film(path), SEEN, 0.5)
    recwarn.clear()
    with pytest.raises(FilmError) as refused:
        capture(path, picture, a_record(), NOW)
    assert not [own for own in recwarn if "Loner" in str(own.message)]
    assert "whoever" not in str(refused.value)
    assert refused.value.__cause__ is None
