import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from outline_kit import runs
from pycocotools import mask as pycoco

from gdshare.errors import FilmError
from gdshare.films.outlines.runs import MAX_CHARACTERS, Runs, decode_compact

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
LENGTH = st.integers(0, 200_000)


def painted(lengths, shape, film=None, offset=(0, 0), down=True):
    mask = np.zeros(film or shape, bool)
    Runs(np.array(lengths, np.int64), *offset, *shape, down).paint(mask)
    return mask


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_plain_runs_are_decoded_down_columns_and_along_rows(mask):
    np.testing.assert_array_equal(painted(runs(mask.T.ravel()), mask.shape), mask)
    np.testing.assert_array_equal(painted(runs(mask.ravel()), mask.shape, down=False), mask)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_compact_runs_of_pycocotools_are_decoded(mask):
    text = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")
    assert decode_compact(text).tolist() == runs(mask.T.ravel())
    np.testing.assert_array_equal(painted(decode_compact(text), mask.shape), mask)


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTH, min_size=1, max_size=40))
def test_compact_text_of_any_lengths_is_decoded_as_pycocotools_encoded_it(lengths):
    size = [sum(lengths), 1]
    text = pycoco.frPyObjects({"size": size, "counts": lengths}, *size)["counts"].decode("ascii")
    assert decode_compact(text).tolist() == lengths


def test_mask_is_painted_at_its_offset():
    mask = painted([1, 2, 3], (2, 3), film=(5, 7), offset=(3, 2), down=False)
    assert np.argwhere(mask).tolist() == [[3, 3], [3, 4]]


@pytest.mark.parametrize(
    "lengths", [[], [5], [7], [-1, 7], [3, 2**62, 2**62], [2**63 - 1, 2**63 - 1, 8]]
)
def test_lengths_that_do_not_fill_the_mask_are_refused(lengths):
    with pytest.raises(FilmError, match="do not fill"):
        Runs(np.array(lengths, np.int64), 0, 0, 2, 3, down=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 1", "invalid character"),
        ("0\N{SNOWMAN}", "invalid character"),
        ("0\ud800", "invalid character"),
        ("0P", "within a run"),
        ("P" * 8 + "0", "longer than any film"),
        ("0" * (MAX_CHARACTERS + 1), "too long for any film"),
    ],
)
def test_text_that_no_tool_writes_is_refused(text, why):
    with pytest.raises(FilmError, match=why):
        decode_compact(text)


def test_empty_text_has_no_lengths():
    assert decode_compact("").tolist() == []


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30))
def test_any_text_gives_lengths_or_an_error(text):
    try:
        decode_compact(text)
    except FilmError:
        return
