"""A round that goes on from the model of the one before, as its aggregator announced it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from announcement_kit import distilled_for, of_model, of_number, sent
from command_kit import gdshare
from grid_kit import VirtualClock
from round_kit import SITES, World, again, hand_out, lines, make_world, refused_with, released
from site_kit import NOW, make_bundle, make_cohort, manifest

from aggregator.flower.order import Order
from aggregator.round import Round
from aggregator.trust.bundle_history import TRAIN
from gdshare.announcement import AnnouncedStart, read_announcement
from gdshare.cli.passphrase import VARIABLE
from gdshare.errors import AnnouncementError, FederationError, TrustError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.model import load_model
from gdshare.networks import digest
from gdshare.release.publish import WITHDRAW
from gdshare.signing import fingerprint, new_key

AGGREGATOR = new_key()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("films"))


@pytest.fixture
def world(tmp_path: Path, cohort: Path) -> World:
    return make_world(tmp_path, cohort)


def announced(world: World, *more: object, model: Path | None = None) -> Path:
    """The folder that ``gdshare announce`` makes of a round's model."""
    keys = world.folder / "keys"
    if not keys.exists():
        gdshare("keys", "new", "--name", "tokyo", "--out", keys, check=True)
    out = world.folder / "announced"
    which = ("--model", model or world.folder / "out" / "model")
    who = ("--trust", world.folder / "trust", "--key", keys / "tokyo.key", "--name", "tokyo")
    gdshare("announce", *who, *(more or which), "--out", out, check=True)
    return out


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "correct horse")


def consenting(world: World, folder: Path, *sites: str) -> None:
    """The settings' ``announcements`` of these sites, with the announcement in it."""
    start = read_announcement(folder)
    for site in sites or SITES:
        shutil.copytree(folder, world.folder / site / "agreed" / start.theta0_sha256)


class SecondWorld(World):
    """Whose nodes know where consents are kept."""

    def settings(self, site: str) -> dict[str, object]:
        return {**super().settings(site), "announcements": str(self.folder / site / "agreed")}


def going_on(world: World) -> SecondWorld:
    return SecondWorld(world.folder, world.cohort, world.keys)


def release_for(world: World, start: AnnouncedStart, *sites: str) -> None:
    for site in sites or SITES:
        about = manifest(site, sequence=2, **distilled_for(start))
        hand_out(world, site, make_bundle(site, world.keys[site], about))


@pytest.mark.parametrize("pooling", ["average", "in-step", "sequential"])
def test_second_round_starts_from_the_first_ones_model(world: World, pooling: str) -> None:
    released(world).hold(world.grid(), pooling=pooling)
    first = load_model(world.folder / "out" / "model")[0].ensemble[0]
    folder = announced(world)
    assert read_announcement(folder).theta0_sha256 == digest(first)
    world = going_on(world)
    release_for(world, read_announcement(folder))
    consenting(world, folder)
    again(world)
    result = world.hold(world.grid(), pooling=pooling, announcement=folder)
    assert set(result.bundles) == set(result.test) == set(SITES), "each trained it itself"
    assert result.missing == []
    [second] = load_model(world.folder / "out" / "model")[0].ensemble
    assert not torch.equal(second["0.weight"], first["0.weight"])
    distance = max(float((second[name] - first[name]).abs().max()) for name in first)
    assert distance < 1, "a few steps away"


def test_bundle_for_another_theta0_is_not_admitted_to_an_announced_round(world: World) -> None:
    released(world, "west").hold(world.grid("west"))
    folder, world = announced(world), going_on(world)
    release_for(world, read_announcement(folder), "east", "north")
    consenting(world, folder)
    again(world)
    result = world.hold(world.grid(), announcement=folder)
    assert set(result.bundles) == {"east", "north"}
    assert refused_with(world) == {3: "DoesNotFit"}
    assert "not distilled for the θ0 that was announced" in str(world.refusals())


def test_shared_model_is_admitted_to_no_round_without_its_announcement(world: World) -> None:
    start = of_model(AGGREGATOR)
    released(world, "east")
    release_for(world, start, "north", "west")
    result = world.hold(world.grid())
    assert set(result.bundles) == {"east"}, "however many others there are"
    assert refused_with(world) == {2: "DoesNotFit", 3: "DoesNotFit"}
    assert "this round has no announcement of it" in str(world.refusals())


def test_node_without_consent_counts_no_film_with_a_shared_model(world: World) -> None:
    folder, world = sent(world.folder / "announced", of_model(AGGREGATOR)), going_on(world)
    release_for(world, read_announcement(folder))
    consenting(world, folder, "east", "north")
    result = world.hold(world.grid(), announcement=folder)
    assert set(result.test) == {"east", "north"}
    missing = {(part.site, part.what, part.reason) for part in result.missing}
    assert ("west", "test", "bundles-refused") in missing


def test_announced_number_fixes_the_rounds_theta0(world: World) -> None:
    """Two bundles of another number would be the majority."""
    folder = sent(world.folder / "announced", of_number(AGGREGATOR, 7))
    release_for(world, read_announcement(folder), "east")
    release_for(world, of_number(AGGREGATOR, 8), "north", "west")
    assert set(world.hold(world.grid(), announcement=folder).bundles) == {"east"}
    again(world)
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}


def test_bundles_that_say_another_number_do_not_stop_an_announced_round(world: World) -> None:
    """They name the announced θ0's digest, but whoever drew from their number would draw another.

    As the majority they would shut out the honest bundle.
    """
    folder = sent(world.folder / "announced", of_number(AGGREGATOR, 7))
    start = read_announcement(folder)
    release_for(world, start, "east")
    lying = distilled_for(of_number(AGGREGATOR, 8)) | {"theta0_sha256": start.theta0_sha256}
    for site in ("north", "west"):
        about = manifest(site, sequence=2, **lying)
        hand_out(world, site, make_bundle(site, world.keys[site], about))
    assert set(world.hold(world.grid(), announcement=folder).bundles) == {"east"}
    assert refused_with(world) == {2: "DoesNotFit", 3: "DoesNotFit"}


def test_announcement_that_was_exchanged_ends_a_round_that_goes_on(world: World) -> None:
    folder = sent(world.folder / "announced", of_number(AGGREGATOR, 7))
    release_for(world, read_announcement(folder), "east")
    with pytest.raises(FederationError, match="asks for 2"):
        world.hold(world.grid("east"), announcement=folder, minimum=2)
    shutil.rmtree(folder)
    sent(folder, of_number(AGGREGATOR, 8))
    order = Order.model_validate(
        {"trust": world.folder / "trust", "ledger": world.ledger, "operator": "an operator"}
        | {"announcement": folder, "wait": 0.1, "minimum": 1}
    )
    again_held = Round(world.grid("east"), order, NOW, clock=VirtualClock())
    with pytest.raises(FederationError, match="announces another θ0 than when the round began"):
        again_held.run(world.folder / "out")


def test_damaged_announcement_ends_the_round_before_anybody_is_asked(world: World) -> None:
    folder = sent(world.folder / "announced", of_model(AGGREGATOR))
    (folder / "theta0.safetensors").write_bytes(b"other weights")
    grid = released(world).grid()
    with pytest.raises(AnnouncementError, match="not the weights that were announced"):
        world.hold(grid, announcement=folder)
    assert grid.asked == []


def test_announcement_is_in_the_ledger_and_a_withdrawal_finds_its_weights(world: World) -> None:
    released(world).hold(world.grid())
    folder = announced(world)
    entries = read_ledger(world.ledger)
    assert (entries[-1].act, entries[-1].what) == ("announce", str(folder))
    assert entries[-1].digest == read_announcement(folder).theta0_sha256
    assert len(lines(world, str(folder), TRAIN)) == len(SITES)
    assert "the weights of a shared model" in entries[-1].why


def test_model_of_a_withdrawn_bundle_is_not_announced(world: World) -> None:
    result = released(world).hold(world.grid())
    with open_ledger(world.ledger) as ledger:
        why = "signed with 0"
        at = ledger.entries[-1].at
        ledger.write(at, WITHDRAW, "west", "west-1", result.bundles["west"], why)
    with pytest.raises(AssertionError, match="was trained with west-1, which was withdrawn"):
        announced(world)
    assert not (world.folder / "announced").exists()


def test_model_of_a_thiefs_bundle_is_neither_announced_nor_trained_from(world: World) -> None:
    """gdshare trust revoke --since says of it: retrain or drop."""
    released(world).hold(world.grid())
    folder, world = announced(world), going_on(world)
    key = fingerprint(world.keys["west"].public_key())
    trust = ("--trust", world.folder / "trust")
    since = ("--since", "west-1", "--why", "stolen before")
    gdshare("trust", "revoke", key, *trust, *since, check=True)
    folder.rename(world.folder / "announced-before")
    with pytest.raises(AssertionError, match="was trained with west-1, which was withdrawn or"):
        announced(world)
    again(world)
    with pytest.raises(TrustError, match="was trained with west-1, which was withdrawn or"):
        world.hold(world.grid(), announcement=world.folder / "announced-before")


def test_no_round_is_held_from_a_model_whose_bundle_was_withdrawn_since(world: World) -> None:
    result = released(world).hold(world.grid())
    folder, world = announced(world), going_on(world)
    with open_ledger(world.ledger) as ledger:
        at, digest_of = ledger.entries[-1].at, result.bundles["west"]
        ledger.write(at, WITHDRAW, "west", "west-1", digest_of, "signed with 0")
    release_for(world, read_announcement(folder))
    again(world)
    grid = world.grid()
    with pytest.raises(TrustError, match="was trained with west-1, which was withdrawn"):
        world.hold(grid, announcement=folder)
    assert grid.asked == []


def test_model_from_elsewhere_is_not_announced(world: World, tmp_path: Path) -> None:
    released(world).hold(world.grid())
    shutil.move(world.ledger, tmp_path / "elsewhere")
    Path(f"{world.ledger}.head").unlink()
    with pytest.raises(AssertionError, match="does not show what this model was trained from"):
        announced(world)


def test_number_is_announced_as_json(world: World) -> None:
    announced(world, "--number", 7, "--side", 8)
    start = read_announcement(world.folder / "announced")
    assert start.theta0_sha256 == of_number(AGGREGATOR, 7).theta0_sha256
    keys = world.folder / "keys"
    who = ("--trust", world.folder / "trust", "--key", keys / "tokyo.key", "--name", "tokyo")
    ended = gdshare("announce", *who, "--number", 7, "--out", world.folder / "b", "--json")
    assert json.loads(ended.out)["theta0"] == "drawn from the number 7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "exactly one of the two is needed"),
        (("--number", 7, "--model", "m"), "exactly one of the two is needed"),
        (("--number", 7, "--network", "resnet"), "network 'resnet' is unknown"),
        (("--number", 7, "--side", 31), "must be a multiple of 8"),
        (("--model", "nowhere"), "not a model"),
    ],
)
def test_what_cannot_be_announced_is_refused(
    world: World, words: tuple[object, ...], message: str
) -> None:
    announced(world, "--number", 7)
    keys, out = world.folder / "keys", world.folder / "b"
    who = ("--trust", world.folder / "trust", "--key", keys / "tokyo.key", "--name", "tokyo")
    before = read_ledger(world.ledger)
    ended = gdshare("announce", *who, *words, "--out", out)
    assert ended.status == 2
    assert message in ended.err
    assert read_ledger(world.ledger) == before
    assert not out.exists()
