"""Small numbers of patients and patches are not told."""

import re

import pytest
from bundle_factory import NOW, READ, distilled, key, manifest, png
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gdshare.bundle import build_files, verify_files
from gdshare.bundle.counts import PublishedCounts, format_count, published_counts
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.manifest import FORMAT_1_2
from gdshare.method import Counts

RARE = READ.model_copy(update={"patients_positive": 3, "patches_p": 4})


@given(
    st.builds(Counts, **{name: st.integers(0, 50) for name in Counts.model_fields}),
    st.integers(0, 20),
)
def test_a_number_is_told_exactly_if_it_is_not_below_the_bound(counts, below):
    told = published_counts(counts, below).model_dump(exclude={"suppressed_below", "noisy"})
    assert told == {
        name: value if value >= below else None for name, value in counts.model_dump().items()
    }


def test_a_small_number_stands_nowhere_in_what_leaves():
    about = manifest(counts=published_counts(RARE, 5))
    files = build_files(about, distilled(about), png(), key())
    told = verify_files(files, key().public_key(), NOW).manifest.counts
    assert (told.patients_positive, told.patches_p, told.patients) == (None, None, None)
    for name in ("README.md", "croissant.json"):
        text = files[name].decode()
        assert "fewer than 5" in text
        # Nor can it be had by subtraction.
        assert f"{RARE.patients} (" not in text


def test_two_different_small_numbers_give_the_same_bundle():
    others = RARE.model_copy(update={"patients_positive": 1, "patches_p": 2})
    one, other = (manifest(counts=published_counts(each, 5)) for each in (RARE, others))
    assert one.to_bytes() == other.to_bytes()
    assert datasheet(one, distilled()) == datasheet(other, distilled())


@pytest.mark.parametrize(("positive", "below"), [(4, 5), (None, 0)])
def test_a_manifest_that_breaks_its_own_bound_is_refused(positive, below):
    counts = READ.model_dump() | {"patients_positive": positive, "suppressed_below": below}
    with pytest.raises(ValidationError, match="patients_positive"):
        PublishedCounts(**counts)


def test_a_number_that_is_not_told_weighs_as_one():
    assert published_counts(RARE, 5).patients_at_least == RARE.patients_negative + 1
    assert published_counts(RARE, 0).patients_at_least == RARE.patients


def test_noisy_counts_are_suppressed_like_others_and_never_shown_as_exact():
    counts = published_counts(RARE, 5, noisy=True)
    assert counts.patients_positive is None
    assert format_count(counts.patients_positive, counts) == "fewer than 5 (noisy)"
    assert format_count(counts.patients_negative, counts) == "about 20 (noisy)"


def test_no_description_gives_a_noisy_count_as_exact():
    about = manifest(FORMAT_1_2)
    files = build_files(about, distilled(about), png(), key())
    for name in ("README.md", "croissant.json"):
        text = files[name].decode()
        for count in (20, 21):
            assert f"about {count} (noisy)" in text
            assert len(re.findall(rf"(?<![\d.-]){count}(?![\d.:])", text)) == text.count(
                f"about {count} (noisy)"
            )
        assert "41" not in text.split("sha256")[0]
