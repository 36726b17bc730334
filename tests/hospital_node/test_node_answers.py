"""What a node sends, counts and refuses, through the real ClientApp."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from grid_kit import ask_node
from site_kit import (
    PROTOCOL,
    TEST_FILMS,
    VAL_FILMS,
    make_bundle,
    make_cohort,
    manifest,
    write_files,
)

from gdshare.bundle import write_bundle
from gdshare.cohort import open_cohort
from gdshare.errors import UsageError
from gdshare.evaluation import cohort_votes, confusions
from gdshare.messages import CountRequest, counts_from_fields
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.networks import build, draw
from gdshare.protocol import Protocol
from gdshare.signing import new_key
from hospital_node.count_record import read_counts
from hospital_node.settings import NodeSettings

COLLECT, COUNTS = "query.collect", "evaluate.counts"
KEY = new_key()
COUNTS_OF_FILMS = {"tp", "fn", "tn", "fp", "indeterminate_positive", "indeterminate_negative"}
COUNT_FIELDS = COUNTS_OF_FILMS | {"suppress_below", "noise"}


@pytest.fixture
def settings(tmp_path: Path, cohort: Path) -> dict[str, object]:
    return {
        "outbox": str(tmp_path / "outbox"),
        "state": str(tmp_path / "state"),
        "cohort": str(cohort),
        "minimum-films": 4,
        "suppress-below": 1,
        "untied-models": 100,
    }


def model(seed: int = 0) -> Model:
    module = build("convnet", PROTOCOL.side)
    weights = draw("convnet", module, torch.Generator().manual_seed(seed))
    return Model("convnet", PROTOCOL, (weights,))


def request(epsilon: float | None = None, seed: int = 0, **changes: object) -> dict[str, object]:
    fields = CountRequest("convnet", PROTOCOL, model(seed).to_bytes(), epsilon).to_fields
    return {**fields(), **changes}


# Handing over.


def test_hands_over_the_newest_bundle_and_only_its_files(settings: dict[str, object]) -> None:
    outbox = Path(str(settings["outbox"]))
    for sequence in (2, 10, 9):
        about = manifest("north", sequence=sequence)
        write_bundle(outbox, make_bundle("north", KEY, about))
    (outbox / "notes-about-patients.txt").write_text("secret", encoding="utf-8")
    (outbox / ".north-11.half-written").mkdir()

    answer = ask_node(settings, COLLECT, {})

    assert set(answer) == {
        "README.md",
        "bundle.sig",
        "distilled.safetensors",
        "gdshare.json",
        "preview.png",
        "croissant.json",
    }
    assert json.loads(answer["gdshare.json"])["sequence"] == 10


def test_says_so_when_nothing_was_released(settings: dict[str, object]) -> None:
    assert ask_node(settings, COLLECT, {}) == {"refused": "nothing-released"}


def test_does_not_follow_a_link_out_of_the_outbox(
    settings: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "passwords").write_text("secret", encoding="utf-8")
    folder = Path(str(settings["outbox"])) / "north-1"
    write_files(folder, make_bundle("north", KEY))
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "passwords")
    assert ask_node(settings, COLLECT, {}) == {"refused": "outbox-unreadable"}


def test_hands_over_nothing_beyond_a_bundles_bounds(settings: dict[str, object]) -> None:
    files = {**make_bundle("north", KEY), "README.md": b"x" * (64 * 1024 + 1)}
    write_files(Path(str(settings["outbox"])) / "north-1", files)
    assert ask_node(settings, COLLECT, {}) == {"refused": "outbox-unreadable"}


def test_does_not_choose_between_two_sites_bundles(settings: dict[str, object]) -> None:
    for site in ("north", "south"):
        write_bundle(Path(str(settings["outbox"])), make_bundle(site, KEY))
    assert ask_node(settings, COLLECT, {}) == {"refused": "outbox-unreadable"}


# Counting.


def test_validation_counts_at_every_threshold_are_the_local_ones(
    settings: dict[str, object], cohort: Path
) -> None:
    answer = ask_node(settings, COUNTS, request())
    counts = counts_from_fields(answer, len(THRESHOLDS)).confusions
    assert counts == confusions(cohort_votes(model(), open_cohort(cohort), "val"), THRESHOLDS)
    assert counts[0].films == VAL_FILMS


def test_a_model_of_films_of_another_tone_is_refused(settings: dict[str, object]) -> None:
    protocol = PROTOCOL.model_copy(update={"tone": "levels"}).model_dump_json()
    answer = ask_node(settings, COUNTS, request(protocol=protocol))
    assert answer == {"refused": "protocol-differs"}


def test_an_update_that_brought_the_tone_gives_a_cohort_no_new_budget(
    settings: dict[str, object], cohort: Path
) -> None:
    """Records of before name a cohort by the digest of an index without a tone."""
    ask_node(settings, COUNTS, request())
    index = open_cohort(cohort).index.model_dump_json().replace(',"tone":"none"', "")
    (recorded,) = read_counts(Path(str(settings["state"]))).entries
    assert recorded.cohort == hashlib.sha256(index.encode()).hexdigest()


def test_test_counts_at_one_threshold_are_the_local_ones(
    settings: dict[str, object], cohort: Path
) -> None:
    [counts] = counts_from_fields(ask_node(settings, COUNTS, request(0.4)), 1).confusions
    votes = cohort_votes(model(), open_cohort(cohort), "test")
    assert [counts] == confusions(votes, [0.4])
    assert counts.films == TEST_FILMS


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_replies_carry_nothing_but_counts(
    settings: dict[str, object], epsilon: float | None
) -> None:
    answer = ask_node(settings, COUNTS, request(epsilon))
    assert set(answer) == COUNT_FIELDS
    columns = [answer[name] for name in COUNTS_OF_FILMS]
    assert all(type(number) is int for numbers in columns for number in numbers)
    assert {len(numbers) for numbers in columns} == {1 if epsilon else len(THRESHOLDS)}
    assert (answer["suppress_below"], answer["noise"]) == (1, 0.0)


def test_a_second_epsilon_on_test_films_is_refused(settings: dict[str, object]) -> None:
    assert set(ask_node(settings, COUNTS, request(0.4))) == COUNT_FIELDS
    assert ask_node(settings, COUNTS, request(0.45)) == {"refused": "test-already-counted"}


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_the_same_request_gets_the_recorded_answer(
    settings: dict[str, object], epsilon: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask_node(settings, COUNTS, request(epsilon))
    monkeypatch.setattr("hospital_node.counting.cohort_votes", None)
    assert ask_node(settings, COUNTS, request(epsilon)) == first
    assert ask_node({**settings, "suppress-below": 2}, COUNTS, request(epsilon)) == first


def test_repacking_the_same_weights_buys_no_second_epsilon(settings: dict[str, object]) -> None:
    data = model().to_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = (
        (length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :]
    )
    assert Model.from_bytes("convnet", PROTOCOL, padded).to_bytes() == data
    ask_node(settings, COUNTS, request(0.4))
    again = ask_node(settings, COUNTS, request(0.45, model=padded))
    assert again == {"refused": "test-already-counted"}


def test_reordering_or_doubling_an_ensemble_buys_no_second_epsilon(
    settings: dict[str, object],
) -> None:
    first, second = model(0).ensemble[0], model(1).ensemble[0]
    copies = [
        {name: weight.clone() for name, weight in network.items()} for network in (first, second)
    ]
    forwards, backwards, doubled = (
        Model("convnet", PROTOCOL, networks).to_bytes()
        for networks in ((first, second), (second, first), (first, second, *copies))
    )
    assert set(ask_node(settings, COUNTS, request(0.4, model=forwards))) == COUNT_FIELDS
    again = ask_node(settings, COUNTS, request(0.45, model=backwards))
    assert again == {"refused": "test-already-counted"}
    twice = ask_node(settings, COUNTS, request(0.45, model=doubled))
    assert twice == {"refused": "model-refused"}


def test_models_altered_in_the_last_digit_run_into_the_limit(settings: dict[str, object]) -> None:
    limited = {**settings, "test-models": 2}
    for seed in (0, 1):
        assert set(ask_node(limited, COUNTS, request(0.4, seed))) == COUNT_FIELDS
    assert ask_node(limited, COUNTS, request(0.4, 2)) == {"refused": "test-budget-spent"}
    assert set(ask_node(limited, COUNTS, request(0.4, 1))) == COUNT_FIELDS


def test_validation_questions_without_end_run_into_the_limit(settings: dict[str, object]) -> None:
    limited = {**settings, "validation-models": 2, "test-models": 1}
    for seed in (0, 1):
        assert set(ask_node(limited, COUNTS, request(None, seed))) == COUNT_FIELDS
    assert ask_node(limited, COUNTS, request(None, 2)) == {"refused": "validation-budget-spent"}
    assert set(ask_node(limited, COUNTS, request(None, 1))) == COUNT_FIELDS
    assert set(ask_node(limited, COUNTS, request(0.4, 2))) == COUNT_FIELDS, "of test films"


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_noise_is_drawn_once_and_its_price_is_on_the_account(
    settings: dict[str, object], epsilon: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hospital_node")
    with_noise = {**settings, "noise-epsilon": 1.0, "noise-budget": 1.5}
    first = ask_node(with_noise, COUNTS, request(epsilon))
    assert float(str(first["noise"])) > 1
    assert all(ask_node(with_noise, COUNTS, request(epsilon)) == first for _ in range(3))
    assert "have spent ε = 1.00 at δ = 1e-06" in caplog.text
    assert set(ask_node(with_noise, COUNTS, request(epsilon, 1))) == COUNT_FIELDS
    assert "have spent ε = 1.43" in caplog.text
    word = "validation-budget-spent" if epsilon is None else "test-budget-spent"
    assert ask_node(with_noise, COUNTS, request(epsilon, 2)) == {"refused": word}


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_a_damaged_record_stops_counts(settings: dict[str, object], epsilon: float | None) -> None:
    ask_node(settings, COUNTS, request(epsilon))
    (Path(str(settings["state"])) / "test-counts.json").write_text("{}x", encoding="utf-8")
    assert ask_node(settings, COUNTS, request(epsilon)) == {"refused": "fault"}


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_split_of_a_few_films_of_either_diagnosis_is_not_counted(
    settings: dict[str, object], epsilon: float | None
) -> None:
    few = {**settings, "suppress-below": 3}
    assert ask_node(few, COUNTS, request(epsilon)) == {"refused": "too-few-films"}


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_too_few_films_are_not_counted(settings: dict[str, object], epsilon: float | None) -> None:
    few = {**settings, "minimum-films": 5}
    assert ask_node(few, COUNTS, request(epsilon)) == {"refused": "too-few-films"}


def test_a_node_without_a_listed_cohort_counts_nothing(settings: dict[str, object]) -> None:
    settings.pop("cohort")
    assert ask_node(settings, COUNTS, request()) == {"refused": "no-cohort"}


def test_another_patch_protocol_is_refused(settings: dict[str, object]) -> None:
    dense = Protocol(patch=16, stride=1, side=8)
    dense_request = request(protocol=dense.model_dump_json())
    assert ask_node(settings, COUNTS, dense_request) == {"refused": "protocol-differs"}


def test_weights_that_are_not_the_networks_are_refused(settings: dict[str, object]) -> None:
    weights = model().ensemble[0]
    name = next(iter(weights))
    hostile = {
        "nan": {**weights, name: weights[name] * float("nan")},
        "shape": {**weights, name: weights[name][:1]},
        "name": {**weights, "extra": weights[name].clone()},
    }
    for changed in hostile.values():
        data = Model("convnet", PROTOCOL, (changed,)).to_bytes()
        assert ask_node(settings, COUNTS, request(model=data)) == {"refused": "model-refused"}
    for data in (b"", b"\xff" * 64, b"\x80\x04."):
        assert ask_node(settings, COUNTS, request(model=data)) == {"refused": "model-refused"}


@pytest.mark.parametrize(
    "changes",
    [
        {"what": "train"},
        {"what": "test"},
        {"what": "val", "epsilon": 0.4},
        {"what": "test", "epsilon": 0.41},
        {"what": "test", "epsilon": float("nan")},
        {"what": "test", "epsilon": 1},
        {"model": "text"},
        {"network": "x" * 5000},
        {"protocol": "{}x"},
        {"protocol": '{"patch": 16, "films": "all"}'},
        {"films": "secret-patient-1"},
    ],
)
def test_malformed_requests_are_refused(
    settings: dict[str, object], changes: dict[str, object]
) -> None:
    answer = ask_node(settings, COUNTS, request(**changes))
    assert answer == {"refused": "question-malformed"}


def test_an_unknown_network_is_refused(settings: dict[str, object]) -> None:
    assert ask_node(settings, COUNTS, request(network="os")) == {"refused": "model-refused"}


def test_no_error_tells_a_path_or_a_patient(
    settings: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "private-folder"
    cohort = make_cohort(folder)
    for film in folder.glob("secret-patient-*.png"):
        film.write_bytes(b"damaged")
    broken = {**settings, "cohort": str(cohort)}
    assert ask_node(broken, COUNTS, request()) == {"refused": "cohort-unreadable"}
    assert "secret-patient" in caplog.text, "the hospital's own log should say which film"


def test_a_fault_inside_tells_only_that_there_was_one(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("/home/secret/patient-7.png")

    monkeypatch.setattr("hospital_node.counting.cohort_votes", fail)
    assert ask_node(settings, COUNTS, request()) == {"refused": "fault"}


# Settings.


def test_unusable_settings_are_reported_as_such() -> None:
    assert ask_node({"outbox": "relative"}, COLLECT, {}) == {"refused": "node-misconfigured"}


@pytest.mark.parametrize(
    "changes",
    [
        {"outbox": "here"},
        {"cohort": "/c"},
        {"noise-budget": 1.0},
        {"noise-epsilon": 0.0},
        {"minimum-films": 0},
        {"suppress-below": 0},
        {"validation-models": -1},
        {"sign-with": "/key"},
        {"device": "tpu"},
    ],
)
def test_settings_are_closed_and_bounded(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        NodeSettings.from_mapping({"outbox": "/o", "state": "/s", **changes})


def test_there_is_no_third_act(settings: dict[str, object]) -> None:
    for kind in ("train", "train.collect", "query", "query.counts", "evaluate", "evaluate.collect"):
        with pytest.raises(ValueError, match="function registered"):
            ask_node(settings, kind, {})
