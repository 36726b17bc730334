"""A node counts with models that it trained itself, from bundles by hospitals that it trusts."""

import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from announcement_kit import distilled_for, of_model, sent
from cryptography.hazmat.primitives.asymmetric import ec
from grid_kit import ask_node
from recipe_kit import KEYS, OTHER, OWN, asked, norths_settings, of_east, request
from site_kit import (
    METHOD,
    NOW,
    PROTOCOL,
    make_bundle,
    manifest,
    of_head,
    write_files,
)

from gdshare.bundle import verify_files
from gdshare.cohort import open_cohort
from gdshare.contributions import contribution_of
from gdshare.evaluation import cohort_votes, confusions
from gdshare.messages import CountRequest, counts_from_fields
from gdshare.metrics import THRESHOLDS
from gdshare.pooling import train_alone, train_pooled
from gdshare.protocol import Protocol
from gdshare.signing import new_key
from gdshare.trust.key_history import REVOKE, TRUST, until

Files = Mapping[str, bytes]


@pytest.fixture
def settings(tmp_path: Path, cohort: Path) -> dict[str, object]:
    return norths_settings(tmp_path, cohort)


def fields(*bundles: Files, epsilon: float | None = None, **changes: object) -> dict[str, object]:
    return {**request(*bundles, epsilon=epsilon).to_fields(), **changes}


def key_of(site: str) -> ec.EllipticCurvePublicKey:
    return KEYS[site].public_key()


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_counts_are_those_of_the_model_that_the_aggregator_trains(
    settings: dict[str, object], cohort: Path, epsilon: float | None
) -> None:
    answer = ask_node(settings, "evaluate.counts", fields(OWN, OTHER, epsilon=epsilon))
    bundles = [verify_files(OWN, key_of("north"), NOW), verify_files(OTHER, key_of("east"), NOW)]
    parts = [contribution_of(bundle) for bundle in bundles]
    model = train_pooled(parts, PROTOCOL, "average", 7, 2)
    thresholds = THRESHOLDS if epsilon is None else (epsilon,)
    films = cohort_votes(model, open_cohort(cohort), "val" if epsilon is None else "test")
    answered = counts_from_fields(answer, len(thresholds)).confusions
    assert answered == confusions(films, thresholds)


def test_consent_that_ended_ends_the_use_of_a_model_that_was_trained(
    settings: dict[str, object], tmp_path: Path
) -> None:
    start = of_model(new_key())
    agreed = sent(tmp_path / "agreed" / start.theta0_sha256, start)
    settings["announcements"] = str(tmp_path / "agreed")
    abouts = [manifest(site, sequence=2, **distilled_for(start)) for site in ("north", "east")]
    own, other = (make_bundle(about.site, KEYS[about.site], about) for about in abouts)
    write_files(tmp_path / "outbox" / "north-2", own)
    assert "refused" not in ask_node(settings, "evaluate.counts", fields(own, other))
    name = request(own, other).model_digest
    named = CountRequest("convnet", PROTOCOL, name, None).to_fields()
    assert isinstance(asked(settings, named), dict)
    shutil.rmtree(agreed)
    assert asked(settings, named) == "bundles-refused"
    assert asked(settings, fields(own, other)) == "bundles-refused"
    del settings["announcements"]
    assert asked(settings, fields(own, other)) == "bundles-refused"


def heads(*sites: str) -> list[Files]:
    """Newer bundles than ``OWN`` and ``OTHER``, whose images train the last layer alone."""
    abouts = [manifest(site, sequence=2, **of_head()) for site in sites]
    return [make_bundle(about.site, KEYS[about.site], about) for about in abouts]


def test_heads_are_counted_with_the_network_that_the_aggregator_trains(
    settings: dict[str, object], cohort: Path
) -> None:
    own, other = heads("north", "east")
    write_files(Path(str(settings["outbox"])) / "north-2", own)
    answer = ask_node(settings, "evaluate.counts", fields(own, other))
    bundles = [verify_files(own, key_of("north"), NOW), verify_files(other, key_of("east"), NOW)]
    parts = [contribution_of(bundle) for bundle in bundles]
    films = cohort_votes(train_pooled(parts, PROTOCOL, "average", 7), open_cohort(cohort), "val")
    answered = counts_from_fields(answer, len(THRESHOLDS)).confusions
    assert answered == confusions(films, THRESHOLDS)


def test_heads_and_whole_networks_make_no_model(settings: dict[str, object]) -> None:
    [head] = heads("east")
    assert asked(settings, fields(OWN, head)) == "model-refused"


@pytest.mark.parametrize("files", [OTHER, *heads("east")], ids=["all", "head"])
def test_network_of_one_bundle_alone_is_the_average_of_one(files: Files) -> None:
    part = contribution_of(verify_files(files, key_of("east"), NOW))
    alone = train_alone(part, PROTOCOL, 3, 2)[0].end
    [pooled] = train_pooled([part], PROTOCOL, "average", 3, 1).ensemble
    assert all(bool((alone[name] == pooled[name]).all()) for name in alone)


def test_weights_of_somebodys_making_are_not_counted(settings: dict[str, object]) -> None:
    weights = train_pooled(
        [contribution_of(verify_files(OWN, key_of("north"), NOW))], PROTOCOL, "average", 7
    ).to_bytes()
    weighed = CountRequest("convnet", PROTOCOL, weights)
    assert asked(settings, weighed) == "model-untied"
    assert asked({**settings, "untied-models": 1}, weighed) != "model-untied"


def test_bundles_that_an_aggregator_invented_are_refused(settings: dict[str, object]) -> None:
    invented = [make_bundle(f"invented-{n}", new_key(), manifest(f"invented-{n}")) for n in (1, 2)]
    assert asked(settings, fields(OWN, *invented)) == "bundles-refused"
    assert asked(settings, fields(invented[0])) == "bundles-refused"
    in_anothers_name = make_bundle("east", new_key())
    assert asked(settings, fields(OWN, in_anothers_name)) == "bundles-refused"


def test_bundle_of_a_known_hospital_with_other_images_is_refused(
    settings: dict[str, object],
) -> None:
    altered = bytearray(OTHER["distilled.safetensors"])
    altered[-1] ^= 1
    crafted = {**OTHER, "distilled.safetensors": bytes(altered)}
    assert asked(settings, fields(OWN, crafted)) == "bundles-refused"


def test_key_that_speaks_for_another_hospital_is_refused(settings: dict[str, object]) -> None:
    assert asked(settings, fields(OWN, make_bundle("west", KEYS["east"]))) == "bundles-refused"


def test_test_films_are_counted_with_models_of_its_own_bundle_only(
    settings: dict[str, object],
) -> None:
    assert asked(settings, fields(OTHER, epsilon=0.4)) == "bundles-refused"
    third = make_bundle("west", KEYS["west"])
    assert asked(settings, fields(OTHER, third)) == "bundles-refused"
    assert isinstance(asked(settings, fields(OTHER)), dict), "one bundle, tested alone"
    shutil.rmtree(Path(str(settings["outbox"])))
    assert asked(settings, fields(OWN, OTHER, epsilon=0.4)) == "bundles-refused"


def test_older_bundle_of_its_own_does_not_count(settings: dict[str, object]) -> None:
    newer = make_bundle("north", KEYS["north"], manifest("north", sequence=2))
    write_files(Path(str(settings["outbox"])) / "north-2", newer)
    assert asked(settings, fields(OWN, OTHER, epsilon=0.4)) == "bundles-refused"
    assert isinstance(asked(settings, fields(newer, OTHER, epsilon=0.4)), dict)


def test_one_hospital_does_not_count_twice(settings: dict[str, object]) -> None:
    second = make_bundle("east", KEYS["east"], manifest("east", sequence=2))
    assert asked(settings, fields(OWN, OTHER, second)) == "bundles-refused"


def test_expired_bundle_is_refused(settings: dict[str, object]) -> None:
    about = manifest("east", created=NOW - timedelta(days=400))
    assert asked(settings, fields(OWN, make_bundle("east", KEYS["east"], about))) == (
        "bundles-refused"
    )


def test_revoked_or_ended_key_is_refused(settings: dict[str, object], tmp_path: Path) -> None:
    of_east(tmp_path, REVOKE, "stolen")
    assert asked(settings, fields(OWN, OTHER)) == "bundles-refused"
    of_east(tmp_path, TRUST, until(NOW + timedelta(days=1)))
    assert isinstance(asked(settings, fields(OWN, OTHER)), dict)
    of_east(tmp_path, TRUST, until(NOW - timedelta(days=1)))
    assert asked(settings, fields(OWN, OTHER)) == "bundles-refused"


def test_node_without_a_list_of_keys_counts_nothing(
    settings: dict[str, object], tmp_path: Path
) -> None:
    without = {name: value for name, value in settings.items() if name != "trust"}
    assert asked(without, fields(OWN, OTHER)) == "node-misconfigured"
    assert asked({**without, "untied-models": 1}, fields(OWN, OTHER)) == "no-trust-list"
    empty = {**settings, "trust": str(tmp_path / "nobody")}
    assert asked(empty, fields(OWN, OTHER)) == "no-trust-list"
    (tmp_path / "peers-ledger.jsonl").write_text("altered\n", encoding="utf-8")
    assert asked(settings, fields(OWN, OTHER)) == "no-trust-list"


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "resnet18"},
        {"method": METHOD.model_copy(update={"network": "resnet18"})},
        {"initialiser": "zero-head/2"},
        {"protocol": Protocol(patch=24, stride=16, side=8)},
    ],
)
def test_bundles_for_another_network_or_protocol_are_refused(
    settings: dict[str, object], changes: dict[str, object]
) -> None:
    if set(changes) == {"network"}:
        assert asked(settings, fields(OWN, OTHER, **changes)) == "bundles-refused"
        return
    other = make_bundle("east", KEYS["east"], manifest("east", **changes))
    assert asked(settings, fields(OWN, other)) == "bundles-refused"


def test_unknown_way_of_pooling_is_refused(settings: dict[str, object]) -> None:
    assert asked(settings, fields(OWN, OTHER, pooling="crafted")) == "model-refused"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": b"weights as well"},
        {"seed": -1},
        {"seed": 0.5},
        {"ensemble": 0},
        {"ensemble": 11},
        {"0/gdshare.json": "text"},
        {"0/patients.csv": b""},
        {"7/gdshare.json": b""},
        {"bundles": [1]},
    ],
)
def test_malformed_recipes_are_refused(
    settings: dict[str, object], changes: dict[str, object]
) -> None:
    assert asked(settings, fields(OWN, OTHER, **changes)) == "question-malformed"


def test_recipe_that_lacks_a_file_is_malformed(settings: dict[str, object]) -> None:
    cut = fields(OWN, OTHER)
    del cut["1/README.md"]
    assert asked(settings, cut) == "question-malformed"
    assert asked(settings, fields()) == "question-malformed"


def test_record_says_which_models_were_trained_here(settings: dict[str, object]) -> None:
    ask_node(settings, "evaluate.counts", fields(OWN, OTHER))
    text = (Path(str(settings["state"])) / "test-counts.json").read_text(encoding="utf-8")
    assert [entry["tied"] for entry in json.loads(text)["entries"]] == [True]
