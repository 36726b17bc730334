"""An identifier that this site knows is found in what would leave, however it got there."""

import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_factory import distilled, manifest, sound
from film_kit import small_cohort

from gdshare.audit.identifiers import (
    PLANTED,
    Known,
    Leaving,
    Searched,
    _plants,
    identifiers_result,
    known_of,
    search_identifiers,
)
from gdshare.errors import UsageError

PATIENT = "PID-004711-Quokka"
FILES = {name: content for name, content in sound().items() if name != "bundle.sig"}
TENSORS, PROTOCOL = distilled(manifest()), manifest().protocol


def searched(**changed: bytes) -> Searched:
    files = {**FILES, **{name.replace("_", "."): content for name, content in changed.items()}}
    return search_identifiers(files, TENSORS, PROTOCOL, Known(frozenset({PATIENT}), 0))


def test_nothing_is_found_in_a_sound_bundle_and_the_control_fires() -> None:
    result = searched()
    assert (dict(result.found), result.blind) == ({}, ())
    assert (result.attack.name, result.attack.figure) == ("identifiers/1", 0.0)


def test_identifier_in_a_file_is_found_with_where_it_is() -> None:
    content = FILES["README.md"] + PATIENT.encode().hex().encode()
    result = searched(README_md=content)
    assert result.found == {PATIENT: "README.md, hex"}
    assert result.attack.figure == 1.0


@pytest.mark.parametrize("way", ["lowest bits of the images", "gray levels of the images"])
def test_identifier_spelled_by_the_numbers_is_found(way: str) -> None:
    files, tensors = _plants(FILES, TENSORS, PROTOCOL)[way]
    result = search_identifiers(files, tensors, PROTOCOL, Known(frozenset({PLANTED}), 0))
    assert set(result.found) == {PLANTED}
    assert "the numbers" in result.found[PLANTED]
    assert np.allclose(tensors.images, TENSORS.images, atol=1e-4) == (way[0] == "l"), "unseen"


def test_control_that_misses_a_plant_is_blind_and_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gdshare.audit.leaks.UNDO", {})
    assert "base64 in README.md" in searched().blind
    assert "as it is in README.md" not in searched().blind


def test_one_of_many_is_not_rounded_away() -> None:
    many = Known(frozenset({PATIENT, *(f"somebody-else-{n}" for n in range(1999))}), 0)
    files = {**FILES, "README.md": FILES["README.md"] + PATIENT.encode()}
    assert search_identifiers(files, TENSORS, PROTOCOL, many).attack.figure == 0.001


def test_patients_films_and_folders_of_the_cohort_are_known(tmp_path: Path) -> None:
    cohort = small_cohort(tmp_path / "Dr-Sato-archive", 6)
    known = known_of(cohort)
    film = cohort.index.films[0]
    assert str(film.image) in known.texts
    assert any("Dr-Sato-archive" in text for text in known.texts)
    assert known.short >= len(
        {film.patient for film in cohort.index.films if len(film.patient) < 6}
    )


def test_cells_of_a_table_are_known_too(tmp_path: Path) -> None:
    with (tmp_path / "identities.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["patient", "id"], ["Müller^Anna", "0815-4711"], ["x", ""]])
    known = known_of(small_cohort(tmp_path / "c", 6), [tmp_path / "identities.csv"])
    assert {"Müller^Anna", "0815-4711", "patient"} <= known.texts
    assert "x" not in known.texts
    with pytest.raises(UsageError, match="cannot be read as a table"):
        known_of(small_cohort(tmp_path / "d", 6), [tmp_path / "nowhere.csv"])


@pytest.mark.parametrize(
    "content",
    [
        "Name;Nummer\nMüller, Hans;08151234\n".encode(),
        '\ufeffName;Nummer\r\n"Müller, Hans";08151234\r\n'.encode(),
        "Name\tNummer\nMüller, Hans\t08151234\n".encode("utf-16"),
        "Müller, Hans;08151234".encode(),
    ],
)
def test_tables_of_european_spreadsheets_are_divided_as_they_are_meant(
    tmp_path: Path, content: bytes
) -> None:
    """Else the whole line would be sought, which stands nowhere: a search that finds nothing."""
    (tmp_path / "names.csv").write_bytes(content)
    cohort = small_cohort(tmp_path / "site", 6)
    assert {"Müller, Hans", "08151234"} <= known_of(cohort, (tmp_path / "names.csv",)).texts


def test_table_in_another_charset_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_bytes("Müller".encode("latin-1"))
    with pytest.raises(UsageError, match="saved as UTF-8"):
        known_of(small_cohort(tmp_path / "site", 6), (tmp_path / "names.csv",))


def test_thousands_of_names_are_sought_in_seconds() -> None:
    names = frozenset(f"Patient {number:05d} Wombat" for number in range(20_000))
    began = time.process_time()
    result = search_identifiers(
        {**FILES, "README.md": FILES["README.md"] + b"patient 00815 wombat"},
        *(TENSORS, PROTOCOL, Known(names, 0)),
    )
    assert set(result.found) == {"Patient 00815 Wombat"}
    assert time.process_time() - began < 20


def test_ordinary_words_identify_nobody() -> None:
    known = Known(frozenset({PATIENT, "patients", "distilled"}), 0)
    assert known.without(FILES).texts == {PATIENT}


def test_images_too_small_for_a_plant_are_searched_all_the_same() -> None:
    tiny = replace(TENSORS, images=TENSORS.images[:, :, :2, :2])
    result = search_identifiers(FILES, tiny, PROTOCOL, Known(frozenset({PATIENT}), 0))
    assert dict(result.found) == {}


@pytest.mark.parametrize("offset", range(9))
def test_text_in_the_low_bits_is_found_wherever_it_begins(offset: int) -> None:
    bits = np.unpackbits(np.frombuffer(PATIENT.encode(), np.uint8)).astype(np.uint32)
    images = TENSORS.images.copy()
    words = images.reshape(-1).view(np.uint32)[offset : offset + len(bits)]
    words[:] = (words & ~np.uint32(4)) | (bits << np.uint32(2))
    known = Known(frozenset({PATIENT}), 0)
    result = search_identifiers(FILES, replace(TENSORS, images=images), PROTOCOL, known)
    assert set(result.found) == {PATIENT}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("山田太郎", "山田太郎".encode("shift-jis")),
        ("山田太郎", "山田太郎".encode("euc-jp")),
        ("Müller^Anna", "MÜLLER^ANNA".encode()),
        ("Müller^Anna", "müller^anna".encode("latin-1")),
        ("김희중", "김희중".encode("euc-kr")),
    ],
)
def test_name_is_found_in_the_charsets_of_dicom_headers_and_in_capitals(
    name: str, written: bytes
) -> None:
    files = {**FILES, "README.md": FILES["README.md"] + written}
    result = search_identifiers(files, TENSORS, PROTOCOL, Known(frozenset({name}), 0))
    assert set(result.found) == {name}


def test_nothing_sought_is_no_result() -> None:
    with pytest.raises(UsageError, match="nothing is known that could be sought"):
        _ = search_identifiers(FILES, TENSORS, PROTOCOL, Known(frozenset(), 3)).attack


def test_result_has_a_control_and_is_none_where_nothing_is_known(tmp_path: Path) -> None:
    cohort = small_cohort(tmp_path / "Dr-Sato-archive", 6)
    leak = str(cohort.index.films[0].image)
    files = {**FILES, "README.md": FILES["README.md"] + leak.encode()}
    result, searched = identifiers_result(Leaving(files, FILES), TENSORS, cohort)
    assert result is not None
    assert result.control.fired
    assert 0 < result.attack.figure < 1
    assert leak in searched.found
    bare = cohort.index.model_copy(update={"films": ()})
    result, searched = identifiers_result(
        Leaving(FILES, FILES), TENSORS, replace(cohort, index=bare)
    )
    assert (result, searched.known) == (None, 0)
