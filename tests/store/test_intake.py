import csv
import itertools
import json
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_kit import NAME, gradient, radiograph, save

from gdshare.errors import StoreError
from gdshare.films import read_film
from gdshare.films.box import Box
from gdshare.films.dicom.decoder import decoder
from gdshare.films.value import range_used
from gdshare.store import Identities, Intake, import_films, make_store, open_identities, open_store
from gdshare.store.identities import Subject
from gdshare.store.listing import list_folder

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
real_films = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real films in {REAL}")


def random_names():
    """Names that count upwards, in the base 32 alphabet."""
    for number in itertools.count():
        yield "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> 5 * k & 31] for k in range(16))


@pytest.fixture
def hospital(tmp_path):
    """Two films of one patient, a film of another, and a text file."""
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


def new_intake(tmp_path, decode=None, names=None, **options):
    store = make_store(tmp_path / "store")
    names = names or random_names()
    identities = Identities(tmp_path / "who.csv", lambda: next(names))
    return Intake(store, identities, decode or refuse, **options)


def refuse(frame):
    raise AssertionError("no film here is compressed")


def files_in(folder):
    return list_folder(folder).files


def kinds(folder, intake):
    return [outcome.kind for outcome in import_films(files_in(folder), intake)]


def test_films_are_imported_under_random_names(hospital, tmp_path):
    intake = new_intake(tmp_path)
    assert kinds(hospital, intake) == ["released", "released", "released", "not DICOM"]
    films = list(intake.store.films())
    assert [film.patient for film in films] == [films[0].patient] * 2 + [films[2].patient]
    assert films[0].patient != films[2].patient
    assert len({film.study for film in films}) == 3
    for film in films:
        assert intake.store.pixels(film).spacing == (0.15, 0.15)
        np.testing.assert_array_equal(
            intake.store.pixels(film).pixels, np.rint(gradient() / 4095 * 65535)
        )


def test_no_identifier_of_the_header_is_anywhere_in_the_store(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    everything = b"".join(
        path.read_bytes() + str(path.relative_to(tmp_path / "store")).encode()
        for path in (tmp_path / "store").rglob("*")
        if path.is_file()
    )
    for secret in (NAME, "4711", "1.2.1", "19501231", "20240102", "0.dcm"):
        assert secret.encode() not in everything


def test_identities_are_one_file_readable_by_its_owner_only(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    path = tmp_path / "who.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["patient_id"] for line in lines] == ["4711", "4711", "815"]
    assert [line["film"] for line in lines] == open_store(tmp_path / "store").names()


def test_identities_file_that_others_may_read_is_refused(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    (tmp_path / "who.csv").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        new_intake(tmp_path)


@pytest.mark.parametrize("damage", [lambda text: text + "x,y\n", lambda text: "a,b\n" + text])
def test_damaged_identities_file_is_refused_so_that_patients_are_not_mixed(
    hospital, tmp_path, damage
):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    path = tmp_path / "who.csv"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(StoreError, match="damaged"):
        new_intake(tmp_path)


def test_second_import_recognises_films_and_patients(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    more = radiograph(gradient(), PatientID="815", StudyInstanceUID="1.4")
    save(more, hospital / "new.dcm")
    later = new_intake(tmp_path, names=iter(["z" * 16, "y" * 16]))
    assert kinds(hospital, later) == ["known", "known", "known", "held", "not DICOM"]
    patients = [film.patient for film in later.store.films()]
    assert sorted(map(patients.count, set(patients))) == [2, 2]


def test_killed_import_continues_under_the_same_name(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    first = intake.store.names()[0]
    intake.store.record_path(first).unlink()  # pixels written, record not
    again = new_intake(tmp_path, names=iter(()))
    assert kinds(hospital, again)[0] == "released"
    assert again.store.names()[0] == first


@pytest.mark.parametrize(("tag", "state"), [("NO", "released"), ("YES", "held"), (None, "held")])
def test_film_whose_header_does_not_say_no_is_held(tmp_path, tag, state):
    folder = tmp_path / "dicom"
    folder.mkdir()
    elements = {} if tag is None else {"BurnedInAnnotation": tag}
    save(radiograph(gradient(), **elements), folder / "film.dcm")
    intake = new_intake(tmp_path)
    assert kinds(folder, intake) == [state]
    (film,) = intake.store.films()
    assert bool(film.reasons) == (state == "held")


def test_border_and_boxes_are_blacked_out_before_anything_is_written(hospital, tmp_path):
    intake = new_intake(tmp_path, border=3, boxes=(Box(10, 10, 20, 30),))
    list(import_films(files_in(hospital), intake))
    for film in intake.store.films():
        pixels = intake.store.pixels(film).pixels
        for piece in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:], pixels[10:30, 10:20]):
            assert not piece.any()
        assert pixels[5, 5] > 0
        assert Box(10, 10, 20, 30) in film.blanked


def test_refused_film_neither_stops_the_import_nor_leaves_a_file(hospital, tmp_path):
    save(radiograph(gradient(), SamplesPerPixel=3), hospital / "0a.dcm")
    intake = new_intake(tmp_path)
    outcomes = list(import_films(files_in(hospital), intake))
    assert [outcome.kind for outcome in outcomes] == [
        "released",
        "refused",
        *["released"] * 2,
        "not DICOM",
    ]
    assert "0a.dcm: is not gray-scale" in outcomes[1].reason
    assert len(intake.store.names()) == 3


def test_films_without_a_patient_id_do_not_become_one_patient(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number in range(2):
        save(radiograph(gradient(), PatientID=""), folder / f"{number}.dcm")
    intake = new_intake(tmp_path)
    list(import_films(files_in(folder), intake))
    assert len({film.patient for film in intake.store.films()}) == 2


def test_same_patient_id_of_two_issuers_is_two_patients(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for issuer in ("St Mary", "St Jude"):
        save(radiograph(gradient(), IssuerOfPatientID=issuer), folder / f"{issuer}.dcm")
    intake = new_intake(tmp_path)
    list(import_films(files_in(folder), intake))
    assert len({film.patient for film in intake.store.films()}) == 2


def test_store_is_not_created_in_a_folder_with_other_files(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="is not a store, and not empty"):
        make_store(tmp_path / "store")


@pytest.mark.parametrize(
    "name", ["../secret", "f-AAAAAAAAAAAAAAAA", "f-a", "", "f-aaaaaaaaaaaaaaaa\n"]
)
def test_name_cannot_lead_out_of_the_store(tmp_path, name):
    store = make_store(tmp_path / "store")
    with pytest.raises(StoreError, match="not a film's name"):
        store.record(name)


def test_damaged_record_is_refused_with_its_path(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    path = intake.store.record_path(intake.store.names()[0])
    path.write_text(json.dumps({"film": "x"}), encoding="utf-8")
    with pytest.raises(StoreError, match=f"{path}: damaged"):
        list(intake.store.films())


def test_compressed_film_is_decoded(tmp_path):
    from pydicom.uid import JPEGLSLossless

    folder = tmp_path / "dicom"
    folder.mkdir()
    save(radiograph(gradient()), folder / "film.dcm", JPEGLSLossless)
    with decoder() as decode:
        assert kinds(folder, new_intake(tmp_path, decode)) == ["held"]


def test_identities_file_of_another_store_is_refused_before_patients_get_second_names(
    hospital, tmp_path
):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    intake.identities.require_films(intake.store.names())
    (tmp_path / "who.csv").unlink()
    with pytest.raises(StoreError, match="lacks 3 films of the store"):
        new_intake(tmp_path).identities.require_films(intake.store.names())


def test_line_cut_short_by_a_kill_is_dropped_and_its_film_named_again(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    path = tmp_path / "who.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + b'"f-aaaa')
    again = new_intake(tmp_path)
    assert path.read_bytes() == whole
    again.identities.require_films(again.store.names())


def test_last_line_without_a_newline_is_kept_if_complete(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    path = tmp_path / "who.csv"
    whole = path.read_bytes()
    path.write_bytes(whole.removesuffix(b"\n"))
    again = new_intake(tmp_path)
    assert path.read_bytes() == whole
    again.identities.require_films(again.store.names())


def test_last_line_in_another_programs_format_is_not_cut_off(hospital, tmp_path):
    list(import_films(files_in(hospital), new_intake(tmp_path)))
    path = tmp_path / "who.csv"
    content = path.read_bytes().replace(b'"', b"").removesuffix(b"\n")
    path.write_bytes(content)
    with pytest.raises(StoreError, match="last line was written by another program"):
        new_intake(tmp_path)
    assert path.read_bytes() == content


def test_empty_identities_file_that_others_may_read_is_refused(tmp_path):
    (tmp_path / "who.csv").touch()
    (tmp_path / "who.csv").chmod(0o644)
    with pytest.raises(StoreError, match=r"others may read it; chmod 600 who\.csv"):
        new_intake(tmp_path)


def test_empty_identities_file_gets_its_header(tmp_path):
    (tmp_path / "who.csv").touch(mode=0o600)
    new_intake(tmp_path)
    assert (tmp_path / "who.csv").read_text(encoding="utf-8").startswith('"film"')


def test_second_import_is_refused_while_the_first_runs(tmp_path):
    path, names = tmp_path / "who.csv", random_names()
    with open_identities(path, lambda: next(names)) as first:
        with (
            pytest.raises(StoreError, match="another import is using it"),
            open_identities(path, lambda: next(names)),
        ):
            pass
        first.name(Subject("4711", "", "1.2", "1.2.3", 1))
    with open_identities(path, lambda: next(names)) as second:
        assert second.find("1.2.3", 1)


def test_second_import_does_not_touch_a_line_the_first_is_writing(tmp_path):
    path = tmp_path / "who.csv"
    with open_identities(path, lambda: "a" * 16):
        with path.open("ab") as stream:
            stream.write(b'"f-half')
        before = path.read_bytes()
        with pytest.raises(StoreError), open_identities(path, lambda: "b" * 16):
            pass
        assert path.read_bytes() == before


def test_second_patient_under_one_instance_uid_is_refused(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number, patient in enumerate(("A", "B")):
        pixels = gradient() // (number + 1)
        save(
            radiograph(pixels, PatientID=patient, SOPInstanceUID="1.2.3"), folder / f"{number}.dcm"
        )
    intake = new_intake(tmp_path)
    assert kinds(folder, intake) == ["held", "refused"]
    (film,) = intake.store.films()
    np.testing.assert_array_equal(
        intake.store.pixels(film).pixels, np.rint(gradient() / 4095 * 65535)
    )


def test_copies_of_a_film_are_imported_once(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for number in range(3):
        save(radiograph(gradient(), SOPInstanceUID="1.2.3"), folder / f"{number}.dcm")
    assert kinds(folder, new_intake(tmp_path)) == ["held", "known", "known"]


@pytest.mark.parametrize("patient", ["12\r34", "M\ufffd1", "x" * 2000])
def test_patient_id_that_may_be_mistaken_for_another_is_refused(tmp_path, patient):
    folder = tmp_path / "dicom"
    folder.mkdir()
    dataset = radiograph(gradient(), SpecificCharacterSet="ISO_IR 192")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientID = patient
        save(dataset, folder / "film.dcm")
    intake = new_intake(tmp_path)
    assert kinds(folder, intake) == ["refused"]
    assert intake.store.names() == []


def test_files_half_written_by_a_kill_are_deleted(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    (intake.store.folder / ".f-aaaaaaaaaaaaaaaa.tif.x").write_bytes(b"pixels")
    intake.store.sweep()
    assert not list(intake.store.folder.glob(".f-*"))
    assert len(intake.store.names()) == 3


def test_next_import_restores_a_deleted_record_under_its_name(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    path = intake.store.record_path(intake.store.names()[0])
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="delete it and import the film again"):
        list(intake.store.films())
    path.unlink()
    assert kinds(hospital, new_intake(tmp_path))[:3].count("released") == 1
    assert len(list(intake.store.films())) == 3


def held_film(tmp_path, pixels, bits=16, **elements):
    """The record of the only film of a folder, whose header says that no text is burned in."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    no_window = {"WindowCenter": None, "WindowWidth": None, "BurnedInAnnotation": "NO"}
    save(radiograph(pixels, bits, **no_window | elements), folder / "film.dcm")
    intake = new_intake(tmp_path)
    (outcome,) = import_films(files_in(folder), intake)
    (film,) = intake.store.films()
    assert outcome.reasons == film.reasons
    assert (outcome.kind, film.state) == (("held",) * 2 if film.reasons else ("released",) * 2)
    return film


DARK = ("its pixels use less than 25% of the range from black to white",)


@pytest.mark.parametrize("bits", [8, 12, 14])
def test_film_that_comes_out_all_but_black_is_held(tmp_path, bits):
    assert held_film(tmp_path, gradient(bits)).reasons == DARK


def test_film_that_comes_out_all_but_white_is_held(tmp_path):
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    assert held_film(tmp_path, gradient(12), **inverted).reasons == DARK


def test_film_whose_window_is_far_too_wide_is_held(tmp_path):
    window = {"WindowCenter": 32768, "WindowWidth": 65536}
    assert held_film(tmp_path, gradient(12), 12, **window).reasons == DARK


def test_marker_and_padding_do_not_hide_that_a_film_is_all_but_black(tmp_path):
    pixels = gradient(12, rows=200, columns=200)
    pixels[:10, :30] = 65535
    assert held_film(tmp_path, pixels).reasons == DARK


@pytest.mark.parametrize("bits", [15, 16])
def test_film_that_uses_half_of_the_range_is_not_held(tmp_path, bits):
    assert held_film(tmp_path, gradient(bits)).reasons == ()


def test_collimated_film_is_not_held(tmp_path):
    pixels = np.zeros((200, 200), np.uint16)
    pixels[80:110, 80:110] = gradient(16, rows=30, columns=30)
    assert held_film(tmp_path, pixels).reasons == ()


STRAY = ("its values have more bits than its header says",)


def test_film_of_more_bits_than_its_header_says_is_held(tmp_path):
    assert held_film(tmp_path, gradient(16), 12).reasons == STRAY


@pytest.mark.parametrize("pixels", [gradient(12), gradient(12) | 0xF000], ids=["cut", "kept"])
def test_sign_and_its_repetitions_are_no_stray_bits(tmp_path, pixels):
    values = np.where(gradient(12) > 2047, pixels, gradient(12)).astype(np.uint16)
    assert held_film(tmp_path, values.view(np.int16), 12).reasons == ()


def test_positive_signed_values_of_more_bits_are_stray(tmp_path):
    assert held_film(tmp_path, gradient(15).astype(np.int16), 12).reasons == STRAY


def test_overlay_that_the_header_declares_is_no_stray_bit(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    pixels = gradient(12)
    pixels[::3] |= 0x4000
    dataset = radiograph(pixels, 12, BurnedInAnnotation="NO")
    dataset.add_new((0x6002, 0x0102), "US", 14)
    save(dataset, folder / "film.dcm")
    assert kinds(folder, new_intake(tmp_path)) == ["released"]
    dataset[0x6002, 0x0102].value, dataset.SOPInstanceUID = 13, "1.2.3"
    save(dataset, folder / "film.dcm")
    names = iter(["q" * 16, "r" * 16, "s" * 16])
    assert kinds(folder, new_intake(tmp_path, names=names)) == ["held"]


def test_black_border_of_the_import_does_not_count(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    pixels = (gradient(8, rows=40) + 60_000).astype(np.uint16)
    save(radiograph(pixels, 16, WindowCenter=None, WindowWidth=None), folder / "film.dcm")
    intake = new_intake(tmp_path, border=5)
    list(import_films(files_in(folder), intake))
    (film,) = intake.store.films()
    assert DARK[0] in film.reasons


def test_record_of_an_earlier_version_is_read(hospital, tmp_path):
    intake = new_intake(tmp_path)
    list(import_films(files_in(hospital), intake))
    path = intake.store.record_path(intake.store.names()[0])
    fields = json.loads(path.read_bytes())
    del fields["range_used"]
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert intake.store.record(path.stem).reasons == ()


@real_films
def test_no_real_film_is_held_for_its_range_or_bits(tmp_path):
    with decoder() as decode:
        intake = new_intake(tmp_path, decode)
        kinds(REAL / "dicom", intake)
    films = list(intake.store.films())
    assert len(films) == 5
    assert not [film for film in films if {*DARK, *STRAY} & {*film.reasons}]
    chests = sorted((REAL / "tb_cxr").glob("*/images/*.png"))[::8]
    assert min(range_used(read_film(path).pixels) for path in chests) > 0.6
