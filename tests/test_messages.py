"""The module both sides share: what is sent is read back, and anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdshare.bundle.layout import BOUNDS
from gdshare.messages import (
    MAX_BUNDLES,
    MAX_RECIPE_BYTES,
    CountRequest,
    Counts,
    Reason,
    Recipe,
    RequestError,
    counts_from_fields,
    counts_to_fields,
    fit_one_request,
    refusal,
    refusal_in,
)
from gdshare.metrics import THRESHOLDS, Confusion
from gdshare.protocol import Protocol

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.lists(st.integers(-1, 5), max_size=3),
)
NAMES = st.sampled_from(["what", "network", "protocol", "model", "epsilon", "tp", "fn", "refused"])
FIELDS = st.dictionaries(st.one_of(NAMES, st.text(max_size=5)), VALUES, max_size=8)
REQUEST = CountRequest("convnet", Protocol(), b"weights")


@given(st.sampled_from([None, *THRESHOLDS]))
def test_a_request_is_read_as_it_was_sent(epsilon: float | None) -> None:
    request = CountRequest("convnet", Protocol(side=32), b"weights", epsilon)
    assert CountRequest.from_fields(request.to_fields()) == request
    assert request.split == ("val" if epsilon is None else "test")
    assert request.thresholds == (THRESHOLDS if epsilon is None else (epsilon,))


@given(FIELDS)
def test_any_other_request_is_refused_by_name(received: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        CountRequest.from_fields(received)


@given(NAMES, VALUES)
def test_a_request_with_one_field_replaced_is_refused_or_valid(name: str, value: object) -> None:
    try:
        request = CountRequest.from_fields({**REQUEST.to_fields(), name: value})
    except RequestError:
        return
    assert request.split == "val"
    assert isinstance(request.model, bytes)
    assert isinstance(request.network, str)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9))
def test_counts_are_read_as_they_were_sent(tp: int, fp: int, lost: int, spared: int) -> None:
    high = Confusion(tp, lost, spared, fp, lost, spared)
    low = Confusion(0, tp + lost, fp + spared, 0, lost, spared)
    counts = Counts([high, low])
    assert counts_from_fields(counts_to_fields(counts), 2) == counts


@given(FIELDS, st.integers(1, 3))
def test_other_counts_are_refused_by_name(received: dict[str, object], thresholds: int) -> None:
    with pytest.raises(RequestError):
        counts_from_fields(received, thresholds)


@given(st.lists(st.lists(st.integers(-1, 3), min_size=2, max_size=2), min_size=6, max_size=6))
def test_accepted_counts_could_be_those_of_films(columns: list[list[int]]) -> None:
    names = ["tp", "fn", "tn", "fp", "indeterminate_positive", "indeterminate_negative"]
    try:
        fields = dict(zip(names, columns, strict=True))
        first, second = counts_from_fields(
            {**fields, "suppress_below": 1, "noise": 0.0}, 2
        ).confusions
    except RequestError:
        return
    assert first.films == second.films
    assert first.sensitivity >= second.sensitivity
    assert first.specificity <= second.specificity


def test_more_films_than_any_hospital_has_are_refused_before_they_are_expanded() -> None:
    for films, refused in ((100_000, False), (100_001, True), (10**18, True)):
        fields = counts_to_fields(Counts([Confusion(films, 0, 0, 0)]))
        if refused:
            with pytest.raises(RequestError, match="not an integer in range"):
                counts_from_fields(fields, 1)
        else:
            assert counts_from_fields(fields, 1).confusions[0].tp == films


def test_a_refusal_is_a_word_from_the_list() -> None:
    assert [refusal_in(refusal(reason)) for reason in Reason] == list(Reason)
    assert refusal_in({"refused": "/home/secret/film.png"}) is Reason.FAULT
    assert refusal_in({"refused": b"\xff"}) is Reason.FAULT
    assert refusal_in({"tp": [1]}) is None


def recipe(bundles: int, size: int) -> CountRequest:
    files = {name: bytes(size) for name in BOUNDS}
    return CountRequest("convnet", Protocol(), Recipe("average", 0, 5, [files] * bundles))


def test_thousand_bundles_go_into_one_request_and_no_more() -> None:
    request = recipe(MAX_BUNDLES, 1)
    assert CountRequest.from_fields(request.to_fields()) == request
    with pytest.raises(RequestError):
        CountRequest.from_fields(recipe(MAX_BUNDLES + 1, 1).to_fields())


def test_bundles_of_a_request_have_a_bound_together() -> None:
    """A thousand of the largest bundles would be 40 GB."""
    size = MAX_RECIPE_BYTES // 8 // len(BOUNDS)
    files = {name: bytes(size) for name in BOUNDS}
    assert fit_one_request([files] * 8)
    assert not fit_one_request([files] * 9)
    with pytest.raises(RequestError, match="more than 268,435,456 bytes"):
        CountRequest.from_fields(recipe(9, size).to_fields())
