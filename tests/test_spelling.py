import unicodedata

import pytest

from gdshare.spelling import folded_name, patient_name

COMPOSED = "J\u00fcrgen"


@pytest.mark.parametrize(
    "text", [unicodedata.normalize("NFD", COMPOSED), f"\t{COMPOSED}\u00a0", f"{COMPOSED}\u3000"]
)
def test_encoding_of_accents_and_surrounding_blanks_do_not_count(text):
    assert patient_name(text) == COMPOSED


def test_blanks_within_a_name_count_as_a_single_blank():
    assert patient_name("Doe \u00a0 Jane") == "Doe Jane"
    assert patient_name("DoeJane") != patient_name("Doe Jane")


@pytest.mark.parametrize("other", ["a1", "A\u200b1", "\uff211"])
def test_capitals_width_and_invisible_characters_count_but_are_folded(other):
    assert patient_name(other) != "A1"
    assert folded_name(other) == folded_name("A1")
