import csv
import itertools
import json
import stat
import warnings

import numpy as np
import pytest
from dicom_kit import NAME, gradient, radiograph, save

from gdshare.errors import StoreError
from gdshare.films.box import Box
from gdshare.films.dicom.decoder import decoder
from gdshare.store import Identities, Intake, make_store, open_identities, open_store, take_in
from gdshare.store.identities import Subject
from gdshare.store.intake import files_in


def draws():
    """Names that count upwards, in the alphabet of base 32."""
    for number in itertools.count():
        yield "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> 5 * k & 31] for k in range(16))


@pytest.fixture
def hospital(tmp_path):
    """Two films of one patient and one of another, and what lies about in such folders."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number, (patient, study) in enumerate(
        (("4711", "1.2.1"), ("4711", "1.2.2"), ("815", "1.3"))
    ):
        dataset = radiograph(gradient(), PatientID=patient, StudyInstanceUID=study)
        dataset.BurnedInAnnotation = "NO"
        save(dataset, folder / f"{number}.dcm")
    (folder / "notes.txt").write_text("for Jane Doe", encoding="utf-8")
    return folder


def intake(tmp_path, decode=None, names=None, **told):
    store = make_store(tmp_path / "store")
    names = names or draws()
    identities = Identities(tmp_path / "who.csv", lambda: next(names))
    return Intake(store, identities, decode or refuse, **told)


def refuse(frame):
    raise AssertionError("nothing here is compressed")


def kinds(folder, told):
    return [outcome.kind for outcome in take_in(files_in(folder), told)]


def test_films_come_in_under_names_that_say_nothing(hospital, tmp_path):
    told = intake(tmp_path)
    assert kinds(hospital, told) == ["released", "released", "released", "not DICOM"]
    films = list(told.store.films())
    assert [film.patient for film in films] == [films[0].patient] * 2 + [films[2].patient]
    assert films[0].patient != films[2].patient
    assert len({film.study for film in films}) == 3
    for film in films:
        assert told.store.pixels(film).spacing == (0.15, 0.15)
        np.testing.assert_array_equal(
            told.store.pixels(film).pixels, np.rint(gradient() / 4095 * 65535)
        )


def test_nothing_of_the_headers_identifiers_is_anywhere_in_the_store(hospital, tmp_path):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    everything = b"".join(
        path.read_bytes() + str(path.relative_to(tmp_path / "store")).encode()
        for path in (tmp_path / "store").rglob("*")
        if path.is_file()
    )
    for secret in (NAME, "4711", "1.2.1", "19501231", "20240102", "0.dcm"):
        assert secret.encode() not in everything


def test_the_way_back_to_patients_is_one_file_for_its_owner_alone(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    who = tmp_path / "who.csv"
    assert stat.S_IMODE(who.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    with who.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["patient_id"] for line in lines] == ["4711", "4711", "815"]
    assert [line["film"] for line in lines] == open_store(tmp_path / "store").names()


def test_way_back_that_others_may_read_is_refused(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    (tmp_path / "who.csv").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        intake(tmp_path)


@pytest.mark.parametrize("damage", [lambda text: text + "x,y\n", lambda text: "a,b\n" + text])
def test_damaged_way_back_is_refused_rather_than_patients_mixed(hospital, tmp_path, damage):
    list(take_in(files_in(hospital), intake(tmp_path)))
    who = tmp_path / "who.csv"
    who.write_text(damage(who.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(StoreError, match="damaged"):
        intake(tmp_path)


def test_second_import_knows_the_films_and_the_patients(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    more = radiograph(gradient(), PatientID="815", StudyInstanceUID="1.4")
    save(more, hospital / "new.dcm")
    later = intake(tmp_path, names=iter(["z" * 16, "y" * 16]))
    assert kinds(hospital, later) == ["known", "known", "known", "held", "not DICOM"]
    patients = [film.patient for film in later.store.films()]
    assert sorted(map(patients.count, set(patients))) == [2, 2]


def test_import_that_was_killed_goes_on_under_the_same_name(hospital, tmp_path):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    first = told.store.names()[0]
    told.store.record_path(first).unlink()  # pixels written, record not
    again = intake(tmp_path, names=iter(()))
    assert kinds(hospital, again)[0] == "released"
    assert again.store.names()[0] == first


@pytest.mark.parametrize(("tag", "state"), [("NO", "released"), ("YES", "held"), (None, "held")])
def test_film_that_does_not_say_no_is_held(tmp_path, tag, state):
    folder = tmp_path / "dicom"
    folder.mkdir()
    told = {} if tag is None else {"BurnedInAnnotation": tag}
    save(radiograph(gradient(), **told), folder / "film.dcm")
    asked = intake(tmp_path)
    assert kinds(folder, asked) == [state]
    (film,) = asked.store.films()
    assert bool(film.reasons) == (state == "held")


def test_border_and_boxes_are_black_before_anything_is_written(hospital, tmp_path):
    told = intake(tmp_path, border=3, boxes=(Box(10, 10, 20, 30),))
    list(take_in(files_in(hospital), told))
    for film in told.store.films():
        pixels = told.store.pixels(film).pixels
        for piece in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:], pixels[10:30, 10:20]):
            assert not piece.any()
        assert pixels[5, 5] > 0
        assert Box(10, 10, 20, 30) in film.blanked


def test_film_that_is_refused_stops_nothing_and_leaves_nothing(hospital, tmp_path):
    save(radiograph(gradient(), SamplesPerPixel=3), hospital / "0a.dcm")
    told = intake(tmp_path)
    outcomes = list(take_in(files_in(hospital), told))
    assert [outcome.kind for outcome in outcomes] == [
        "released",
        "refused",
        *["released"] * 2,
        "not DICOM",
    ]
    assert "0a.dcm: not gray-scale" in outcomes[1].reason
    assert len(told.store.names()) == 3


def test_films_without_a_patient_id_are_not_taken_for_one_patient(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number in range(2):
        save(radiograph(gradient(), PatientID=""), folder / f"{number}.dcm")
    told = intake(tmp_path)
    list(take_in(files_in(folder), told))
    assert len({film.patient for film in told.store.films()}) == 2


def test_same_id_of_two_issuers_is_two_patients(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for issuer in ("St Mary", "St Jude"):
        save(radiograph(gradient(), IssuerOfPatientID=issuer), folder / f"{issuer}.dcm")
    told = intake(tmp_path)
    list(take_in(files_in(folder), told))
    assert len({film.patient for film in told.store.films()}) == 2


def test_link_out_of_the_folder_is_not_followed(hospital, tmp_path):
    outside = save(radiograph(gradient()), tmp_path / "outside.dcm")
    (hospital / "link.dcm").symlink_to(outside)
    assert "link.dcm" not in [path.name for path in files_in(hospital)]


def test_store_is_not_made_over_something_else(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="something else"):
        make_store(tmp_path / "store")


@pytest.mark.parametrize(
    "name", ["../secret", "f-AAAAAAAAAAAAAAAA", "f-a", "", "f-aaaaaaaaaaaaaaaa\n"]
)
def test_name_cannot_lead_out_of_the_store(tmp_path, name):
    store = make_store(tmp_path / "store")
    with pytest.raises(StoreError, match="not a film's name"):
        store.record(name)


def test_damaged_record_is_refused_by_name(hospital, tmp_path):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    path = told.store.record_path(told.store.names()[0])
    path.write_text(json.dumps({"film": "x"}), encoding="utf-8")
    with pytest.raises(StoreError, match=f"{path}: damaged"):
        list(told.store.films())


def test_compressed_film_comes_in_by_the_decoder(tmp_path):
    from pydicom.uid import JPEGLSLossless

    folder = tmp_path / "dicom"
    folder.mkdir()
    save(radiograph(gradient()), folder / "film.dcm", JPEGLSLossless)
    with decoder() as decode:
        assert kinds(folder, intake(tmp_path, decode)) == ["held"]


def test_way_back_of_another_store_is_refused_before_patients_get_second_names(hospital, tmp_path):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    told.identities.require(told.store.names())
    (tmp_path / "who.csv").unlink()
    with pytest.raises(StoreError, match="does not know 3 films"):
        intake(tmp_path).identities.require(told.store.names())


def test_line_that_a_kill_cut_short_is_dropped_and_its_film_named_again(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    who = tmp_path / "who.csv"
    whole = who.read_bytes()
    who.write_bytes(whole + b'"f-aaaa')
    again = intake(tmp_path)
    assert who.read_bytes() == whole
    again.identities.require(again.store.names())


def test_last_line_whose_end_an_editor_left_out_is_kept(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    who = tmp_path / "who.csv"
    whole = who.read_bytes()
    who.write_bytes(whole.removesuffix(b"\n"))
    again = intake(tmp_path)
    assert who.read_bytes() == whole
    again.identities.require(again.store.names())


def test_last_line_in_another_programs_form_is_not_cut_off(hospital, tmp_path):
    list(take_in(files_in(hospital), intake(tmp_path)))
    who = tmp_path / "who.csv"
    content = who.read_bytes().replace(b'"', b"").removesuffix(b"\n")
    who.write_bytes(content)
    with pytest.raises(StoreError, match="last line was written by another program"):
        intake(tmp_path)
    assert who.read_bytes() == content


def test_way_back_that_others_may_read_is_refused_empty_or_not(tmp_path):
    (tmp_path / "who.csv").touch()
    (tmp_path / "who.csv").chmod(0o644)
    with pytest.raises(StoreError, match=r"others may read it; chmod 600 who\.csv"):
        intake(tmp_path)


def test_empty_way_back_is_begun_anew(tmp_path):
    (tmp_path / "who.csv").touch(mode=0o600)
    intake(tmp_path)
    assert (tmp_path / "who.csv").read_text(encoding="utf-8").startswith('"film"')


def test_second_import_is_turned_away_while_the_first_runs(tmp_path):
    who, names = tmp_path / "who.csv", draws()
    with open_identities(who, lambda: next(names)) as first:
        with (
            pytest.raises(StoreError, match="another import is using it"),
            open_identities(who, lambda: next(names)),
        ):
            pass
        first.name(Subject("4711", "", "1.2", "1.2.3", 1))
    with open_identities(who, lambda: next(names)) as second:
        assert second.known("1.2.3", 1)


def test_second_import_does_not_touch_a_line_that_the_first_is_writing(tmp_path):
    who = tmp_path / "who.csv"
    with open_identities(who, lambda: "a" * 16):
        with who.open("ab") as stream:
            stream.write(b'"f-half')
        before = who.read_bytes()
        with pytest.raises(StoreError), open_identities(who, lambda: "b" * 16):
            pass
        assert who.read_bytes() == before


def test_second_patient_under_one_instance_uid_is_refused(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number, patient in enumerate(("A", "B")):
        pixels = gradient() // (number + 1)
        save(
            radiograph(pixels, PatientID=patient, SOPInstanceUID="1.2.3"), folder / f"{number}.dcm"
        )
    told = intake(tmp_path)
    assert kinds(folder, told) == ["held", "refused"]
    (film,) = told.store.films()
    np.testing.assert_array_equal(
        told.store.pixels(film).pixels, np.rint(gradient() / 4095 * 65535)
    )


def test_copies_of_one_film_come_in_once(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number in range(3):
        save(radiograph(gradient(), SOPInstanceUID="1.2.3"), folder / f"{number}.dcm")
    assert kinds(folder, intake(tmp_path)) == ["held", "known", "known"]


@pytest.mark.parametrize("patient", ["12\r34", "M\ufffd1", "x" * 2000])
def test_patient_id_that_cannot_be_told_from_another_is_refused(tmp_path, patient):
    folder = tmp_path / "dicom"
    folder.mkdir()
    dataset = radiograph(gradient(), SpecificCharacterSet="ISO_IR 192")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientID = patient
        save(dataset, folder / "film.dcm")
    told = intake(tmp_path)
    assert kinds(folder, told) == ["refused"]
    assert told.store.names() == []


def test_what_a_kill_left_half_written_is_swept_away(hospital, tmp_path):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    (told.store.folder / ".f-aaaaaaaaaaaaaaaa.tif.x").write_bytes(b"pixels")
    told.store.sweep()
    assert not list(told.store.folder.glob(".f-*"))
    assert len(told.store.names()) == 3


def test_damaged_record_that_is_deleted_comes_back_with_the_next_import_under_its_name(
    hospital, tmp_path
):
    told = intake(tmp_path)
    list(take_in(files_in(hospital), told))
    path = told.store.record_path(told.store.names()[0])
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="delete it and import the film again"):
        list(told.store.films())
    path.unlink()
    assert kinds(hospital, intake(tmp_path))[:3].count("released") == 1
    assert len(list(told.store.films())) == 3
