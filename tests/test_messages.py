"""The module both sides share: what is sent is read back, and anything else is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_kit import make_bundle

from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.layout import BOUNDS
from gdshare.messages import (
    MAX_BUNDLES,
    MAX_RECIPE_BYTES,
    CollectRequest,
    CountRequest,
    Counts,
    Progress,
    Reason,
    Recipe,
    RequestError,
    counts_from_fields,
    counts_to_fields,
    fit_one_request,
    refusal,
    refusal_in,
    unchanged,
    unchanged_in,
)
from gdshare.metrics import THRESHOLDS, Confusion
from gdshare.protocol import Protocol
from gdshare.signing import new_key

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


FILES = {name: f"the content of {name}".encode() for name in BOUNDS}
DIGEST = subject_digest(digests_of(FILES))
OTHER = "0" * 64


@pytest.mark.parametrize(
    "bundles", [[FILES], [DIGEST], [FILES, OTHER], [OTHER, FILES], [OTHER] * MAX_BUNDLES]
)
def test_a_bundle_travels_in_full_or_by_its_digest(bundles: list[dict[str, bytes] | str]) -> None:
    request = CountRequest("convnet", Protocol(), Recipe("average", 3, 2, bundles))
    fields = request.to_fields()
    assert CountRequest.from_fields(fields) == request
    assert sum(name.endswith("/digest") for name in fields) == sum(
        isinstance(bundle, str) for bundle in bundles
    )


@pytest.mark.parametrize(
    "change",
    [
        {"0/digest": DIGEST},
        {"1/digest": DIGEST.upper()},
        {"1/digest": DIGEST + "\n"},
        {"1/digest": DIGEST.encode()},
        {"7/digest": DIGEST},
        {"digest": DIGEST},
        {"-1/digest": DIGEST},
        {"1/digest": "../../" + "a" * 58},
        {"model-digest": DIGEST},
        {"seed": True},
        {"ensemble": 0},
    ],
)
def test_a_recipe_with_anything_else_is_refused(change: dict[str, object]) -> None:
    recipe = Recipe("average", 3, 2, [FILES, OTHER])
    fields = CountRequest("convnet", Protocol(), recipe).to_fields()
    CountRequest.from_fields(fields)
    with pytest.raises(RequestError):
        CountRequest.from_fields(fields | change)


def test_more_bundles_than_a_request_may_have_are_refused_by_digest_too() -> None:
    recipe = Recipe("average", 3, 2, [OTHER] * (MAX_BUNDLES + 1))
    with pytest.raises(RequestError):
        CountRequest.from_fields(CountRequest("convnet", Protocol(), recipe).to_fields())


def test_a_model_has_one_name_however_its_bundles_travel() -> None:
    in_full = CountRequest("convnet", Protocol(), Recipe("average", 3, 2, [FILES]))
    by_digest = replace(in_full, model=Recipe("average", 3, 2, [DIGEST]))
    named = replace(in_full, model=in_full.model_digest, epsilon=THRESHOLDS[3])
    assert in_full.model_digest == by_digest.model_digest == named.model_digest
    assert CountRequest.from_fields(named.to_fields()) == named
    assert named.to_fields().keys() == {"what", "network", "protocol", "model-digest", "epsilon"}


def test_all_that_decides_a_model_is_in_its_name() -> None:
    recipe = Recipe("average", 3, 2, [DIGEST, OTHER])
    request = CountRequest("convnet", Protocol(), recipe)
    others = [
        replace(request, network="resnet18"),
        replace(request, protocol=Protocol(side=64)),
        *(
            replace(request, model=replace(recipe, **{name: value}))
            for name, value in {
                "pooling": "in-step",
                "seed": 4,
                "ensemble": 3,
                "bundles": [OTHER, DIGEST],
            }.items()
        ),
        replace(request, model=replace(recipe, bundles=[DIGEST])),
        replace(request, model=b"weights"),
    ]
    names = {asked.model_digest for asked in (request, *others)}
    assert len(names) == 1 + len(others)
    assert replace(request, epsilon=THRESHOLDS[1]).model_digest == request.model_digest


def test_a_bundles_name_is_that_of_the_bundle_itself() -> None:
    files = make_bundle("east", new_key())
    assert Recipe("average", 0, 1, [files]).bundle_digests == (subject_digest(digests_of(files)),)


def test_an_aggregator_may_say_what_it_has() -> None:
    for request in (CollectRequest(), CollectRequest(DIGEST)):
        assert CollectRequest.from_fields(request.to_fields()) == request
    assert CollectRequest().to_fields() == {}
    for fields in ({"have": b"x"}, {"have": "x"}, {"have": DIGEST, "more": 1}, {"more": DIGEST}):
        with pytest.raises(RequestError):
            CollectRequest.from_fields(fields)


def test_an_unchanged_bundle_is_named_by_its_digest() -> None:
    assert unchanged_in({**unchanged(DIGEST), "east-1.withdrawal": b""}) == DIGEST
    assert unchanged_in(FILES) is None
    for value in ("x", b"x", None, DIGEST[:-1]):
        with pytest.raises(RequestError):
            unchanged_in({"unchanged": value})


PROGRESS = Progress("counting", 20, 23, "ab" * 32, 2, 61)


@given(
    st.sampled_from(["idle", "fetching", "training", "counting"]),
    st.integers(0, 10**6),
    st.integers(0, 8),
)
def test_progress_is_read_as_it_was_sent(doing: str, done: int, waiting: int) -> None:
    for of in (0, done, done + 5):
        progress = Progress(doing, done, of, "ab" * 32, waiting, 7)  # type: ignore[arg-type]
        assert Progress.from_fields(progress.to_fields()) == progress
    assert Progress.from_fields(Progress().to_fields()) == Progress()


@pytest.mark.parametrize(
    "change",
    [
        {"doing": "sleeping"},
        {"doing": 1},
        {"done": 24},
        {"done": -1},
        {"done": 20.0},
        {"done": True},
        {"of": 2**60},
        {"question": "/srv/films/secret.png"},
        {"question": "a" * 200},
        {"question": "a\n"},
        {"waiting": 10**9},
        {"seconds": -1},
        {"seconds": None},
        {"more": 1},
    ],
)
def test_any_other_progress_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Progress.from_fields(PROGRESS.to_fields() | change)
    for name in PROGRESS.to_fields():
        with pytest.raises(RequestError):
            Progress.from_fields({key: v for key, v in PROGRESS.to_fields().items() if key != name})


@given(FIELDS)
def test_progress_that_is_something_else_is_refused(received: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Progress.from_fields(received)


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
