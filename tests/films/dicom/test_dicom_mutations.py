"""Damaged DICOM files are read or refused with one sentence, in bounded time and memory."""

import pytest
from dicom_kit import gradient, radiograph, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from gdshare.errors import FilmError
from gdshare.films.dicom import read_dicom
from gdshare.films.dicom.decoder import decoder

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless)

PLACES = st.integers(0, 1 << 16)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PLACES, st.binary(min_size=1, max_size=1)),
        st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=12)),
        st.tuples(st.just("cut"), PLACES, st.binary(min_size=1, max_size=20)),
    ),
    min_size=1,
    max_size=6,
)


def changed(content, changes):
    """The file with its preamble, which nobody reads, left alone."""
    data = bytearray(content)
    for kind, place, piece in changes:
        at = 128 + place % (len(data) - 128)
        end = at if kind == "insert" else at + len(piece)
        data[at:end] = b"" if kind == "cut" else piece
    return bytes(data)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_mutated_file_is_a_film_or_one_sentence(tmp_path, syntax):
    small = gradient(rows=12, columns=10)
    content = save(radiograph(small), tmp_path / "film.dcm", syntax).read_bytes()
    path = tmp_path / "mutated.dcm"
    with decoder(seconds=20) as decode:

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(CHANGES)
        def mutate(changes):
            path.write_bytes(changed(content, changes))
            try:
                read_dicom(path, None, decode)
            except FilmError as refusal:
                assert str(refusal).startswith(f"{path}: ")  # noqa: PT017 - either is right

        mutate()


def test_value_given_twice_where_one_belongs_is_refused(tmp_path):
    path = save(radiograph(gradient(), SOPClassUID=["1.2.3", "1.2.4"]), tmp_path / "odd.dcm")
    with pytest.raises(FilmError, match="not a CR, DX, RF or secondary capture film"):
        read_dicom(path)
