import unicodedata
from itertools import count

import pytest

from gdshare.store.identities import Subject, open_identities


def patients(path, *identifiers):
    """The random names of these patient IDs, each on a film of its own study."""
    numbers = count()
    with open_identities(path, lambda: str(next(numbers))) as identities:
        return [
            identities.name(Subject(text, issuer, f"study {number}", f"film {number}", 1)).patient
            for number, (text, issuer) in enumerate(identifiers)
        ]


def test_patient_id_in_two_encodings_is_one_patient(tmp_path):
    name = "M\u00fcller"
    first, second, third = patients(
        tmp_path / "identities.csv",
        (name, name),
        (unicodedata.normalize("NFD", name), unicodedata.normalize("NFD", name)),
        ("Muller", name),
    )
    assert first == second != third


@pytest.mark.parametrize("blank", ["", "\u00a0"])
def test_films_without_a_patient_id_are_of_different_patients(tmp_path, blank):
    first, second = patients(tmp_path / "identities.csv", (blank, ""), (blank, ""))
    assert first != second
