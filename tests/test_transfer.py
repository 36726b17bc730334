"""A hospital with few films trains on its own, helped by other hospitals' images."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import torch
from command_kit import gdshare
from film_kit import small_cohort
from site_kit import make_bundle, manifest, of_head, write_files

from gdshare.bundle import Terms
from gdshare.cli import train as command
from gdshare.contributions import read_source
from gdshare.last_layer import PENALTIES
from gdshare.method import Method
from gdshare.model import load_model
from gdshare.pooling import train_pooled
from gdshare.protocol import Protocol
from gdshare.signing import new_key, public_pem
from gdshare.training import TrainingPlan, train_on_real
from gdshare.training_folder import load_snapshot, save_snapshot
from gdshare.transfer import transfer_from

YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
PROTOCOL = Protocol(patch=16, stride=16, side=16)
SCATTERING = Method(epochs=1, steps=1)
PLAN = TrainingPlan(network="convnet", per_class=8, epochs=2, batch=12, rates=(1e-3, 1e-2))
OPTIONS = ("--per-class", 8, "--epochs", 1, "--device", "cpu")


class PowerCutError(Exception):
    """Ends a training where a power cut would."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("films"), protocol=PROTOCOL)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Two hospitals' bundles, and the key of both."""
    folder, key = tmp_path_factory.mktemp("bundles"), new_key()
    (folder / "both.pub").write_bytes(public_pem(key.public_key()))
    for site in ("east", "north"):
        write_bundle(folder / site, key, site)
    return folder


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    """The same, distilled by the defaults: for scattering's last layer."""
    folder, key = tmp_path_factory.mktemp("scattered"), new_key()
    (folder / "both.pub").write_bytes(public_pem(key.public_key()))
    for site in ("east", "north"):
        write_bundle(folder / site, key, site, **of_head(SCATTERING, PROTOCOL))
    return folder


def write_bundle(folder, key, site, **changes):
    def darker(distilled):
        return replace(distilled, images=distilled.images - len(site) / 100)

    about = manifest(site, YESTERDAY, **({"protocol": PROTOCOL} | changes))
    write_files(folder, make_bundle(site, key, about, darker))
    return folder


def contributions_of(bundles):
    sources = [read_source(bundles / site, datetime.now(UTC)) for site in ("north", "east")]
    return [source.contribution for source in sources]


def transfer_of(bundles, use):
    return transfer_from(contributions_of(bundles), PROTOCOL, use, "average", seed=0)


def helped(cohort, bundles, out, *words, check=True):
    ends = ("--from", bundles / "east", "--from", bundles / "north", "--out", out, *OPTIONS)
    keys = ("--key", bundles / "both.pub")
    return gdshare("train", cohort.path, *ends, *keys, *words, check=check)


def test_start_is_the_network_of_a_receiver_of_the_same_images(cohort, bundles):
    """Whatever the order the bundles come in."""
    both = contributions_of(bundles)
    pooled = train_pooled(both[::-1], PROTOCOL, "sequential", seed=4)
    transfer = transfer_from(both, PROTOCOL, "start", "sequential", seed=4)
    assert all(torch.equal(pooled.ensemble[0][n], w) for n, w in transfer.start.items())
    assert torch.equal(transfer.images[:3], torch.from_numpy(both[1].distilled.images))


@pytest.mark.parametrize("use", ["start", "both"])
def test_own_films_never_make_the_start_worse_on_validation_patients(cohort, bundles, use):
    """Rates at which training leaves all sense: the network of the images is kept as it was."""
    ruinous = replace(PLAN, rates=(1e4, 1e5), patience=1)
    transfer = transfer_of(bundles, use)
    trained = train_on_real([cohort], ruinous, transfer=transfer)
    assert trained.epoch == 0
    assert trained.score == trained.others_score
    (weights,) = trained.model.ensemble
    assert all(torch.equal(transfer.start[name], w) for name, w in weights.items())


@pytest.mark.parametrize("use", ["start", "both"])
def test_own_films_make_the_start_better_where_they_can(cohort, bundles, use):
    transfer = transfer_of(bundles, use)
    before = [weights.clone() for weights in transfer.start.values()]
    transfer = replace(transfer, weights=(0.1,))
    trained = train_on_real([cohort], PLAN, transfer=transfer)
    assert trained.others_score is not None
    assert trained.score > trained.others_score
    assert trained.epoch > 0
    assert all(map(torch.equal, before, transfer.start.values()))


def test_mixed_in_images_teach_what_own_films_do_not_show(cohort, bundles):
    """Labels of the images turned around: the heavier they weigh, the worse own patches do."""
    transfer = transfer_of(bundles, "mix")
    turned = replace(transfer, labels=transfer.labels.roll(1, dims=1))

    def score(weight):
        plan = replace(PLAN, epochs=4, rates=(1e-3,))
        return train_on_real([cohort], plan, transfer=replace(turned, weights=(weight,))).score

    assert score(1e-6) > score(1000.0)


def test_weight_of_the_images_is_chosen_on_validation_patients(cohort, bundles):
    turned = transfer_of(bundles, "mix")
    turned = replace(turned, labels=turned.labels.roll(1, dims=1), weights=(1000.0, 1e-6))
    trained = train_on_real([cohort], PLAN, transfer=turned)
    assert trained.weight == 1e-6
    assert trained.rate in PLAN.rates


def test_mixing_begins_where_own_films_alone_begin(cohort, bundles):
    """At a rate that moves nothing, what is returned is where the training began."""
    still = replace(PLAN, rates=(1e-12,))
    (alone,) = train_on_real([cohort], still).model.ensemble
    transfer = transfer_of(bundles, "mix")
    (mixed,) = train_on_real([cohort], still, transfer=transfer).model.ensemble
    assert all(torch.allclose(alone[name], mixed[name], atol=1e-6) for name in alone)
    assert not all(torch.allclose(alone[name], transfer.start[name]) for name in alone)


@pytest.mark.parametrize(
    ("use", "batches"), [("start", 1), ("start", 6), ("mix", 6), ("mix", 10), ("both", 10)]
)
def test_resumed_training_gives_the_same_bits(cohort, bundles, tmp_path, use, batches):
    """Two batches an epoch, two epochs a trial: of the first rate, the second, another weight."""
    transfer, done = replace(transfer_of(bundles, use), weights=(0.3, 1.0)), 0
    whole = train_on_real([cohort], PLAN, transfer=transfer)

    def cut(snapshot):
        nonlocal done
        done += 1
        if done == batches:
            save_snapshot(tmp_path, snapshot())
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train_on_real([cohort], PLAN, checkpoint=cut, transfer=transfer)
    again = train_on_real([cohort], PLAN, start=load_snapshot(tmp_path), transfer=transfer)
    assert again.model.to_bytes() == whole.model.to_bytes()
    assert replace(again, model=whole.model) == whole


def test_record_of_the_model_names_the_bundles_and_their_terms(cohort, bundles, tmp_path):
    ended = helped(cohort, bundles, tmp_path / "m", "--use", "both", "--json")
    assert "warning" not in ended.err
    told = json.loads(ended.out)
    origin = load_model(tmp_path / "m")[1].origin
    assert told == {"model": str(tmp_path / "m"), **origin}
    sources = [read_source(bundles / site, datetime.now(UTC)) for site in ("east", "north")]
    assert origin["bundles"] == {source.name: source.digest for source in sources}
    assert (origin["use"], origin["pooling"]) == ("both", "average")
    assert set(origin["terms"]) == {"east", "north"}
    assert origin["terms"]["east"]["retention_days"] == Terms().retention_days
    assert origin["terms"]["east"]["expires"] > "2026"
    assert origin["weight"] in (0.1, 0.3, 1.0)
    assert origin["patch_score"] >= origin["others_score"]


def test_interrupted_command_goes_on_with_the_bundles_it_began_with(
    cohort, bundles, tmp_path, monkeypatch
):
    helped(cohort, bundles, tmp_path / "whole")
    keep = command._Keeper.__call__

    def stop(self, snapshot):
        self.stopping = lambda: True
        keep(self, snapshot)

    monkeypatch.setattr(command._Keeper, "__call__", stop)
    stopped = helped(cohort, bundles, tmp_path / "parts", check=False)
    assert stopped.status == 130
    monkeypatch.undo()
    words = stopped.err.split("continue with: gdshare ")[1].split()
    refused = gdshare(*(word for word in words if "north" not in word), check=False)
    assert refused.status == 2
    gdshare(*words, check=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_bundle_of_another_round_is_refused_on_resume(cohort, bundles, tmp_path, monkeypatch):
    def stop(self, snapshot):
        raise SystemExit(130)

    monkeypatch.setattr(command._Keeper, "__call__", stop)
    alone = ("train", cohort.path, "--out", tmp_path / "m", "--from", bundles / "east")
    gdshare(*alone, *OPTIONS)
    refused = gdshare(*alone[:-1], bundles / "north", "--resume")
    assert refused.status == 2
    assert "this is another training (others differ)" in refused.err


def test_bundle_of_another_patch_protocol_is_refused(cohort, bundles, tmp_path):
    protocol = PROTOCOL.model_copy(update={"stride": 8})
    write_bundle(tmp_path / "west", new_key(), "west", protocol=protocol)
    words = ("train", cohort.path, "--out", tmp_path / "m", "--from", tmp_path / "west")
    ended = gdshare(*words)
    assert ended.status == 2
    assert "another patch protocol (stride 16 instead of 8)" in ended.err
    assert "make it again with the protocol of the round" in ended.err
    assert not (tmp_path / "m").exists()


def test_bundle_released_to_others_is_refused(cohort, tmp_path):
    terms = Terms(recipients=("east", "north"))
    write_bundle(tmp_path / "west", new_key(), "west", terms=terms)
    words = ("train", cohort.path, "--out", tmp_path / "m", "--from", tmp_path / "west", *OPTIONS)
    for name in ((), ("--name", "south")):
        ended = gdshare(*words, *name)
        assert ended.status != 0
        assert "released to east, north only" in ended.err
        assert not (tmp_path / "m").exists()
    gdshare(*words, "--name", "east", check=True)
    terms = load_model(tmp_path / "m")[1].origin["terms"]
    assert terms["west"]["recipients"] == ["east", "north"]


def test_expired_bundle_or_one_of_another_key_is_refused(cohort, bundles, tmp_path):
    old = write_bundle(
        tmp_path / "west", new_key(), "west", expires=YESTERDAY + timedelta(seconds=1)
    )
    ended = gdshare("train", cohort.path, "--out", tmp_path / "m", "--from", old)
    assert "expired" in ended.err
    (tmp_path / "other.pub").write_bytes(public_pem(new_key().public_key()))
    words = ("--from", bundles / "east", "--key", tmp_path / "other.pub")
    ended = gdshare("train", cohort.path, "--out", tmp_path / "m", *words)
    assert ended.status != 0
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--network", "convnet"), "--network has no effect with --from"),
        (("--ensemble", 3), "--ensemble has no effect with --from"),
        (("--images",), "--images has no effect with --from"),
    ],
)
def test_option_without_effect_is_refused(cohort, bundles, tmp_path, words, told):
    ended = helped(cohort, bundles, tmp_path / "m", *words, check=False)
    assert ended.status == 2
    assert told in ended.err


def test_use_of_images_without_images_is_refused(cohort, tmp_path):
    ended = gdshare("train", cohort.path, "--out", tmp_path / "m", "--use", "mix")
    assert "--use has no effect without --from" in ended.err


@pytest.mark.parametrize("use", ["start", "mix", "both"])
def test_a_last_layer_takes_help_in_every_way(cohort, scattered, use):
    plan = TrainingPlan(network="scattering", per_class=8)
    transfer = transfer_of(scattered, use)
    trained = train_on_real([cohort], plan, transfer=transfer)
    assert trained.score > 0.5
    assert (trained.weight > 0) == (use != "start")
    if use != "mix":
        assert trained.score >= trained.others_score


def test_a_last_layer_of_the_others_that_own_films_cannot_better_is_kept(cohort, scattered):
    """One patch of each class against a layer that 300 have taught."""
    transfer = transfer_of(scattered, "start")
    plan = TrainingPlan(network="scattering", per_class=300)
    best = train_on_real([cohort], plan)
    able = replace(transfer, start=best.model.ensemble[0])
    few = train_on_real([cohort], replace(plan, per_class=1), transfer=able)
    assert few.score == few.others_score
    assert few.penalty is None
    (weights,) = few.model.ensemble
    assert all(torch.equal(able.start[name], w) for name, w in weights.items())


def test_command_helps_a_last_layer_and_says_what_was_chosen(cohort, scattered, tmp_path):
    ends = ("--from", scattered / "east", "--from", scattered / "north", "--per-class", 8)
    words = ("train", cohort.path, "--out", tmp_path / "m", *ends, "--key", scattered / "both.pub")
    told = json.loads(gdshare(*words, "--json", check=True).out)
    assert told["penalty"] is None or told["penalty"] in PENALTIES
    assert told["patch_score"] >= told["others_score"]
    assert "rate" not in told
    refused = gdshare(*words[:3], tmp_path / "other", *words[4:], "--epochs", 2)
    assert "--epochs has no effect on scattering" in refused.err
