"""Bundles and models that are named by digest pass every check that they passed in full."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from grid_kit import ask_node
from recipe_kit import KEYS, OTHER, OWN, asked, norths_settings, of_east, request
from site_kit import NOW, PROTOCOL, make_bundle, make_cohort, manifest, write_files

import hospital_node.tied
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.ledger import open_ledger
from gdshare.messages import CountRequest, counts_from_fields
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.networks import build, draw
from gdshare.protocol import Protocol
from gdshare.release.publish import WITHDRAW
from gdshare.signing import new_key
from gdshare.trust.key_history import REVOKE
from hospital_node.client_app import reporting

EPSILON = THRESHOLDS[8]


def digest(files: Mapping[str, bytes]) -> str:
    return subject_digest(digests_of(files))


@pytest.fixture
def settings(tmp_path: Path, cohort: Path) -> dict[str, object]:
    return norths_settings(tmp_path, cohort)


IN_FULL = request(OWN, OTHER)
BY_DIGEST = request(digest(OWN), digest(OTHER))
NAMED = replace(IN_FULL, model=IN_FULL.model_digest)


def test_a_bundle_that_was_never_shown_is_unknown(settings: dict[str, object]) -> None:
    assert asked(settings, BY_DIGEST) == "bundle-unknown"
    assert asked(settings, request(OWN, digest(OTHER))) == "bundle-unknown"


def test_a_bundle_travels_once(settings: dict[str, object]) -> None:
    first = asked(settings, IN_FULL)
    assert isinstance(first, dict)
    assert asked(settings, BY_DIGEST) == first
    assert asked(settings, request(OWN, digest(OTHER), model=BY_DIGEST.model)) == first
    assert isinstance(asked(settings, replace(BY_DIGEST, epsilon=EPSILON)), dict)


def test_a_bundle_that_was_refused_is_not_kept(settings: dict[str, object]) -> None:
    strange = make_bundle("east", new_key())
    assert asked(settings, request(OWN, strange)) == "bundles-refused"
    assert asked(settings, request(OWN, digest(strange))) == "bundle-unknown"


def test_a_model_that_was_never_shown_is_unknown(settings: dict[str, object]) -> None:
    assert asked(settings, NAMED) == "model-unknown"


def test_a_test_question_names_the_model_of_the_validation_question(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = asked(settings, IN_FULL)
    assert isinstance(validation, dict)
    monkeypatch.setattr(hospital_node.tied, "train_pooled", None)  # nothing is trained again
    assert asked(settings, NAMED) == validation
    named = asked(settings, replace(NAMED, epsilon=EPSILON))
    assert isinstance(named, dict)
    counted = counts_from_fields(named, 1).confusions[0]
    assert counted.films == 4
    assert asked(settings, replace(IN_FULL, epsilon=EPSILON)) == named, "it is the same model"
    assert asked(settings, replace(NAMED, epsilon=THRESHOLDS[9])) == "test-already-counted"


def test_a_model_is_of_the_network_and_protocol_that_it_was_trained_for(
    settings: dict[str, object],
) -> None:
    asked(settings, IN_FULL)
    assert asked(settings, replace(NAMED, network="resnet18")) == "model-unknown"
    other = Protocol(patch=16, stride=8, side=8, tone="none")
    assert asked(settings, replace(NAMED, protocol=other)) == "protocol-differs"


def revoke_east(settings: dict[str, object], folder: Path) -> None:
    of_east(folder, REVOKE, "stolen")


def untrust_east(settings: dict[str, object], folder: Path) -> None:
    (folder / "peers" / "east.pub").unlink()


def withdraw_east(settings: dict[str, object], folder: Path) -> None:
    with open_ledger(folder / "peers-ledger.jsonl") as ledger:
        ledger.write(NOW, WITHDRAW, "an operator", "east-1", digest(OTHER), "a patient's wish")


def newer_own(settings: dict[str, object], folder: Path) -> None:
    files = make_bundle("north", KEYS["north"], manifest("north", sequence=2))
    write_files(folder / "outbox" / "north-2", files)


def no_list(settings: dict[str, object], folder: Path) -> None:
    shutil.rmtree(folder / "peers")


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (revoke_east, "bundles-refused"),
        (untrust_east, "bundles-refused"),
        (withdraw_east, "bundles-refused"),
        (newer_own, "bundles-refused"),
        (no_list, "no-trust-list"),
    ],
)
def test_what_is_kept_is_checked_again_each_time(
    settings: dict[str, object], tmp_path: Path, meanwhile, reason: str
) -> None:
    assert isinstance(asked(settings, IN_FULL), dict)
    meanwhile(settings, tmp_path)
    for again in (NAMED, BY_DIGEST, IN_FULL):
        for epsilon in (None, EPSILON):
            assert asked(settings, replace(again, epsilon=epsilon)) == reason


def test_a_model_without_its_bundles_is_of_no_use(
    settings: dict[str, object], tmp_path: Path
) -> None:
    asked(settings, IN_FULL)
    shutil.rmtree(tmp_path / "state" / "bundles")
    assert asked(settings, NAMED) == "bundle-unknown"
    assert isinstance(asked(settings, IN_FULL), dict)
    assert isinstance(asked(settings, NAMED), dict)


def test_a_kept_model_that_somebody_put_other_weights_into_is_trained_anew(
    settings: dict[str, object], tmp_path: Path
) -> None:
    first = asked(settings, IN_FULL)
    [path] = (tmp_path / "state" / "models").iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert asked(settings, NAMED) == "model-unknown"
    assert asked(settings, BY_DIGEST) == first


def test_weights_may_be_named_only_where_weights_are_taken(settings: dict[str, object]) -> None:
    asked(settings, IN_FULL)
    state = Path(str(settings["state"]))
    [path] = (state / "models").iterdir()
    weights = path.read_bytes()[-100:]  # any bytes: they are refused unread
    sent = CountRequest("convnet", PROTOCOL, weights)
    assert asked(settings, sent) == "model-untied"
    assert asked(settings, replace(sent, model=sent.model_digest)) == "model-unknown"


def test_weights_travel_once_too(settings: dict[str, object]) -> None:
    takes = {**settings, "untied-models": 2}
    module = build("convnet", PROTOCOL.side)
    weights = draw("convnet", module, torch.Generator().manual_seed(0))
    model = Model("convnet", PROTOCOL, (weights,))
    sent = CountRequest("convnet", PROTOCOL, model.to_bytes())
    named = replace(sent, model=sent.model_digest)
    first = asked(takes, sent)
    assert isinstance(first, dict)
    assert asked(takes, named) == first
    assert isinstance(asked(takes, replace(named, epsilon=EPSILON)), dict)
    assert asked(settings, named) == "model-untied", "the hospital takes none any more"


def test_films_are_reported_in_tens_and_only_those_that_the_counts_tell(
    settings: dict[str, object], tmp_path: Path
) -> None:
    many = make_cohort(tmp_path / "many", patients=72)  # 24 validation films, 12 of either kind
    reports: list[tuple[str, int, int]] = []
    with reporting(lambda *words: reports.append(words)):
        asked({**settings, "cohort": str(many)}, IN_FULL)
    assert reports == [
        ("training", 0, 2),
        ("training", 1, 2),
        ("training", 2, 2),
        ("counting", 0, 24),
        ("counting", 10, 24),
        ("counting", 20, 24),
        ("counting", 24, 24),
    ]
    reports.clear()
    with reporting(lambda *words: reports.append(words)):
        asked({**settings, "cohort": str(many), "suppress-below": 13}, BY_DIGEST)
    assert {of for doing, _, of in reports if doing == "counting"} <= {0}


def test_the_bundle_that_the_aggregator_has_is_not_sent_again(
    settings: dict[str, object],
) -> None:
    kind = "query.collect"
    assert ask_node(settings, kind, {"have": digest(OWN)}) == {"unchanged": digest(OWN)}
    assert ask_node(settings, kind, {"have": digest(OTHER)}) == OWN
    assert ask_node(settings, kind, {}) == OWN
    assert ask_node(settings, kind, {"have": "x"}) == {"refused": "question-malformed"}
