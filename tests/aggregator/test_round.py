"""The whole round in memory: real ClientApps behind a Grid that may lie, stay silent or replay."""

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch
from bundle_factory import STATED
from command_kit import gdshare
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from grid_kit import ClientApp, MemoryGrid, VirtualClock
from round_kit import (
    SITES,
    World,
    again,
    disown,
    entries,
    hand_out,
    in_ledger,
    lines,
    newer,
    next_round,
    refused_with,
    released,
    revoke,
    with_new_key,
)
from site_kit import (
    HEAD,
    METHOD,
    NOW,
    PROTOCOL,
    TEST_FILMS,
    make_bundle,
    make_cohort,
    manifest,
    of_head,
)

import aggregator.admission.decide
import aggregator.admission.verify
import aggregator.results
from aggregator.flower.order import Order
from aggregator.nodes.binding import BoundNode, changing
from aggregator.results import table
from aggregator.round import Round
from aggregator.trust.bundle_history import newest_bundles, signed_with
from gdshare import progress
from gdshare.bundle import Terms, verify_files
from gdshare.bundle.manifest import FORMATS
from gdshare.errors import FederationError, LedgerError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.messages import ANSWER_RECORD
from gdshare.metrics import THRESHOLDS
from gdshare.model import load_model
from gdshare.networks import build
from gdshare.protocol import Protocol
from gdshare.signing import (
    fingerprint,
    load_private_key,
    load_public_key,
    new_key,
    public_pem,
)
from gdshare.theta0 import announced_theta0
from gdshare.trust.key_history import REVOKE, TRUST, from_line, until
from hospital_node.client_app import app as real_app

# A sound round.


def test_a_round_ends_in_one_model_one_epsilon_and_a_table(world: World) -> None:
    result = released(world).hold(world.grid(), seed=3)

    assert set(result.test) == set(SITES) == set(result.bundles)
    assert result.epsilon in THRESHOLDS
    assert [row.name for row in result.rows] == [*SITES, "all sites"]
    assert result.rows[-1].sent.films == len(SITES) * TEST_FILMS
    model, record = load_model(world.folder / "out" / "model")
    assert (model.network, model.protocol) == ("convnet", PROTOCOL)
    assert len(model.ensemble) == result.networks == 5
    origin = {"bundles": result.bundles, "pooling": "average", "ensemble": 5, "seed": 3}
    assert record.origin == origin | {"threshold": result.epsilon}, "classify uses this ε"
    text = (world.folder / "out" / "table.txt").read_text(encoding="utf-8")
    assert text == table(result)
    assert "0.877" in text, "the source's figures stand beside ours"
    assert world.refusals() == []
    saved = json.loads((world.folder / "out" / "round.json").read_text(encoding="utf-8"))
    assert saved["epsilon"] == result.epsilon
    handed = [world.folder / site / "outbox" / f"{site}-1" for site in SITES]
    assert saved["bytes_moved"] == {
        "bundles": sum(path.stat().st_size for folder in handed for path in folder.iterdir()),
        "model": (world.folder / "out" / "model" / "model.safetensors").stat().st_size,
    }
    assert len(saved["validation"]["north"]) == len(saved["thresholds"]) == len(THRESHOLDS)


def test_a_round_ends_in_a_page_with_its_images(world: World, tmp_path: Path) -> None:
    result = released(world).hold(world.grid())
    html = (world.folder / "out" / "report.html").read_text(encoding="utf-8")
    pooled = result.rows[-1].bounds.middle
    assert f"reaches HM {pooled.harmonic_mean:.2f} [" in html
    assert html.count('alt="north, distilled image') == METHOD.images
    for site in SITES:
        assert result.bundles[site][:16] in html
    ended = gdshare("report", world.folder / "out")
    assert ended.status == 2
    assert "with the bundles' images, which are not kept" in ended.err
    gdshare("report", world.folder / "out", "--out", tmp_path / "again.html", check=True)
    assert "distilled image" not in (tmp_path / "again.html").read_text(encoding="utf-8")


def test_round_page_shows_a_guarantee_as_what_the_site_states(world: World) -> None:
    released(world)
    newer(world, "east", 2, **STATED)
    assert set(world.hold(world.grid(), ensemble=1).bundles) == set(SITES)
    page = (world.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "the site states" in page
    assert "<td>7.998</td><td>1e-05</td>" in page
    assert "No guarantee is stated by: north, west." in page


def test_aggregator_of_before_refuses_a_bundle_with_a_guarantee_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    newer(world, "east", 2, **STATED)
    monkeypatch.setattr("gdshare.bundle.manifest.FORMATS", FORMATS[:2])
    assert set(world.hold(world.grid(), ensemble=1).bundles) == {"north", "west"}
    [refusal] = world.refusals()
    assert refusal["reason"] == "UnknownFormat"
    assert "gdshare-bundle/1.2" in str(refusal["message"])
    assert "update gdshare" in str(refusal["message"])


def test_a_round_is_not_lost_for_its_page(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aggregator.results, "round_page", lambda *parts: 1 // 0)
    released(world).hold(world.grid())
    assert (world.folder / "out" / "round.json").exists()
    assert not (world.folder / "out" / "report.html").exists()
    assert "page could not be drawn" in caplog.text


def test_heads_of_the_table_stand_over_their_columns(world: World) -> None:
    text = table(released(world).hold(world.grid()))
    head, *rows = text.split("\n\n")[1].splitlines()
    heads = re.split("  +", head.strip())
    assert heads[-6:] == ["TP", "FN", "TN", "FP", "indet. P", "indet. N"]
    starts = [head.index(name) for name in heads]
    for row in rows:
        assert [row[start - 1] for start in starts] == [" "] * len(starts), row
        assert " " not in [row[start] for start in starts], row


def test_epsilon_is_the_best_of_the_pooled_validation_counts(world: World) -> None:
    result = released(world).hold(world.grid())
    pooled = [sum(at[1:], at[0]) for at in zip(*result.validation.values(), strict=True)]
    best = max(confusion.harmonic_mean for confusion in pooled)
    assert pooled[THRESHOLDS.index(result.epsilon)].harmonic_mean == best


def test_test_films_are_asked_for_once_and_last(world: World) -> None:
    grid = released(world).grid()
    world.hold(grid)
    kinds = [kind for _, kind in grid.asked]
    lone = 3 * 2  # each bundle's own network, by the two other hospitals
    assert kinds == ["query.collect"] * 3 + ["evaluate.counts"] * (lone + 6)


def test_the_seed_decides_everything(world: World) -> None:
    first = released(world).hold(world.grid())
    weights = (world.folder / "out" / "model" / "model.safetensors").read_bytes()
    (world.folder / "out").rename(world.folder / "before")
    again = world.hold(world.grid())
    assert (again.rows, again.epsilon) == (first.rows, first.epsilon)
    assert (world.folder / "out" / "model" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("pooling", ["average", "in-step", "sequential", "union"])
def test_every_way_of_pooling_is_reachable(world: World, pooling: str) -> None:
    assert released(world).hold(world.grid(), pooling=pooling).order.pooling == pooling


def test_round_over_heads_ends_in_one_network_on_the_announced_body(world: World) -> None:
    for site in SITES:
        world.release(site, make_bundle(site, world.keys[site], manifest(site, **of_head())))
    result = world.hold(world.grid(), seed=3)
    assert set(result.test) == set(result.bundles) == set(SITES), "each trained it itself"
    assert world.refusals() == []
    [network] = load_model(world.folder / "out" / "model")[0].ensemble
    theta0 = announced_theta0(HEAD, build("convnet", PROTOCOL.side))
    changed = {name for name in network if not torch.equal(network[name], theta0[name])}
    assert {network[name].ndim for name in changed} == {1, 2}, "the last layer"
    assert len(changed) == 2


# Bundles that are refused, while the others go on.


def test_a_bundle_signed_with_a_strangers_key_is_refused(world: World) -> None:
    released(world, "east", "north").release("west", make_bundle("west", new_key()))
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    assert refused_with(world) == {3: "UnknownSite"}


def test_a_bundle_with_one_flipped_bit_is_refused(world: World) -> None:
    files = make_bundle("west", world.keys["west"])
    data = bytearray(files["distilled.safetensors"])
    data[-1] ^= 1
    released(world, "east", "north").release(
        "west", {**files, "distilled.safetensors": bytes(data)}
    )
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    assert refused_with(world) == {3: "Altered"}


def test_a_signature_that_does_not_fit_is_refused(world: World) -> None:
    files = make_bundle("west", world.keys["west"])
    other = make_bundle("west", world.keys["west"], manifest("west", sequence=2))
    mine, theirs = json.loads(files["bundle.sig"]), json.loads(other["bundle.sig"])
    mine["dsseEnvelope"]["signatures"] = theirs["dsseEnvelope"]["signatures"]
    forged = files["bundle.sig"].replace(
        json.loads(files["bundle.sig"])["dsseEnvelope"]["signatures"][0]["sig"].encode(),
        mine["dsseEnvelope"]["signatures"][0]["sig"].encode(),
    )
    released(world, "east", "north").release("west", {**files, "bundle.sig": forged})
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    assert refused_with(world) == {3: "BadSignature"}


def test_a_site_may_not_speak_for_another(world: World) -> None:
    released(world, "north").release("west", make_bundle("east", world.keys["west"]))
    assert set(world.hold(world.grid("north", "west")).bundles) == {"north"}
    assert refused_with(world) == {2: "WrongSite"}


def test_a_replay_of_another_sites_bundle_takes_nobodys_place(world: World) -> None:
    released(world, "east", "north")
    world.release("west", make_bundle("east", world.keys["east"]), "east")
    result = world.hold(world.grid())
    assert set(result.bundles) == {"north"}
    assert refused_with(world) == {1: "SiteTwice", 3: "SiteTwice"}
    assert set(result.test) == {"north"}, "the replaying node is not asked to count either"


def test_two_contents_under_one_number_in_one_round_are_an_alarm(world: World) -> None:
    released(world, "east", "north")
    about = manifest("east", created=NOW - timedelta(days=3))
    world.release("west", make_bundle("east", world.keys["east"], about), "east")
    assert set(world.hold(world.grid()).bundles) == {"north"}
    assert refused_with(world) == {1: "Equivocation", 3: "Equivocation"}


def test_an_expired_bundle_is_refused(world: World) -> None:
    old = manifest("west", created=NOW - timedelta(days=400))
    released(world, "east", "north").release("west", make_bundle("west", world.keys["west"], old))
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    assert refused_with(world) == {3: "Expired"}


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": Protocol(patch=24, stride=16, side=8)},
        {"protocol": PROTOCOL.model_copy(update={"tone": "levels"})},
        {"initialiser": "zero-head/2"},
        {"method": METHOD.model_copy(update={"theta0": "announced"}), "theta0_sha256": "a" * 64},
    ],
)
def test_a_bundle_that_does_not_fit_the_round_is_refused(
    world: World, changes: dict[str, object]
) -> None:
    misfit = manifest("west", **changes)
    released(world, "east", "north").release(
        "west", make_bundle("west", world.keys["west"], misfit)
    )
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    assert refused_with(world) == {3: "DoesNotFit"}


def test_bundle_for_all_weights_is_refused_in_a_round_of_heads(world: World) -> None:
    for site in ("east", "north"):
        world.release(site, make_bundle(site, world.keys[site], manifest(site, **of_head())))
    whole = METHOD.model_copy(update={"theta0": "announced"})
    misfit = manifest("west", **of_head() | {"method": whole})
    world.release("west", make_bundle("west", world.keys["west"], misfit))
    assert set(world.hold(world.grid()).bundles) == {"east", "north"}
    [refusal] = world.refusals()
    assert refusal["reason"] == "DoesNotFit"
    assert "trained part" in str(refusal["message"])


def test_a_bundle_of_other_length_is_refused_in_step_and_admitted_to_an_average(
    world: World,
) -> None:
    longer = manifest("west", method=METHOD.model_copy(update={"steps": 3}))
    released(world, "east", "north").release(
        "west", make_bundle("west", world.keys["west"], longer)
    )
    assert set(world.hold(world.grid(), pooling="in-step").bundles) == {"east", "north"}
    assert refused_with(world) == {3: "DoesNotFit"}
    (world.folder / "out").rename(world.folder / "before")
    assert set(world.hold(world.grid(), pooling="average").bundles) == set(SITES)


def test_no_admitted_bundle_is_an_error_with_the_reasons(world: World) -> None:
    world.release("east", make_bundle("east", new_key()))
    grid = world.grid()
    grid.silent = {3}
    with pytest.raises(FederationError, match=r"UnknownSite.*nothing-released.*1 nodes did not"):
        world.hold(grid)
    assert refused_with(world) == {1: "UnknownSite", 2: "nothing-released"}


# Nodes that do not answer, or not as agreed.


def test_a_silent_hospital_is_counted_and_the_round_goes_on(world: World) -> None:
    grid = released(world).grid()
    grid.silent = {2}
    result = world.hold(grid)
    assert result.silent == (2,)
    assert set(result.test) == {"east", "west"}
    assert "node 2: did not hand anything over" in table(result)


def test_silent_node_has_the_name_of_the_hospital_it_is_bound_to(world: World) -> None:
    bound = BoundNode(node="2", site="north", fingerprint="a" * 64, since=NOW, by="tests")
    with changing(world.folder / "trust") as change:
        change.write(change.binding.with_node(bound))
    grid = released(world).grid()
    grid.silent = {2}
    result = world.hold(grid)
    assert "the node of north: did not hand anything over" in table(result)
    page = (world.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "Without an answer: the node of north." in page


def test_fewer_nodes_than_ordered_go_on_when_the_time_is_up(world: World) -> None:
    result = released(world).hold(world.grid(), sites=9)
    assert set(result.test) == set(SITES)


def test_log_says_who_is_asked_what_and_for_how_long(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aggregator")
    grid = released(world).grid()
    world.hold(grid, timeout=900)
    asked = [line for line in caplog.messages if line.startswith("asked ")]
    assert asked[0] == "asked 3 hospitals to hand over what they released, for at most 900 s"
    assert asked[1:] == [
        "asked east, north, west to count validation films, for at most 900 s",
        "asked east, north, west to count validation films, for at most 900 s",
        "asked east, north, west to count test films, for at most 900 s",
    ]


def test_hospital_that_takes_minutes_does_not_leave_the_operator_in_silence(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 0.01)
    monkeypatch.setattr(progress, "SELDOM_S", 0.02)
    caplog.set_level("INFO", "aggregator")
    grid = released(world).grid()

    def slow(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "query.collect":
            time.sleep(0.3)
        return real_app(message, context)

    grid.apps = {1: slow}
    world.hold(grid)
    waiting = "waiting for 3 hospitals to hand over what they released: for 0:00 now"
    assert waiting in caplog.messages


def test_no_node_at_all_is_an_error(world: World) -> None:
    released(world)
    with pytest.raises(FederationError, match="no hospital connected"):
        world.hold(MemoryGrid({}))


def test_a_site_that_refuses_to_count_is_named(world: World) -> None:
    grid = released(world).grid()
    grid.settings[2]["minimum-films"] = 100  # type: ignore[index]
    result = world.hold(grid)
    assert {(m.site, m.what, m.reason) for m in result.missing} == {
        ("north", "val", "too-few-films"),
        ("north", "test", "too-few-films"),
    }
    assert set(result.test) == {"east", "west"}
    assert set(result.bundles) == set(SITES)


def test_bundle_is_shown_to_no_hospital_that_its_terms_do_not_name(world: World) -> None:
    """They are sent weights, which they do not count unless their settings say so."""
    for_tokyo(world)
    grid = world.grid()
    grid.settings[3]["untied-models"] = 2  # type: ignore[index]
    result = world.hold(grid, name="tokyo")
    assert set(result.bundles) == set(SITES)
    assert set(result.test) == {"east", "west"}, "east may see its own; west accepts weights"
    assert {(missing.site, missing.reason) for missing in result.missing} == {
        ("north", "model-untied")
    }


def test_bundle_is_shown_to_the_hospitals_that_its_terms_name(world: World) -> None:
    for_tokyo(world, "north", "west")
    assert set(world.hold(world.grid(), name="tokyo").test) == set(SITES)


def test_round_with_suppressed_cells_gives_ranges(world: World, tmp_path: Path) -> None:
    films = make_cohort(tmp_path / "large", patients=72)  # 12 of either diagnosis in each split
    grid = released(world).grid()
    for settings in grid.settings.values():
        settings |= {"cohort": str(films), "suppress-below": 5}  # type: ignore[operator]
    result = world.hold(grid)
    assert result.suppress_below == dict.fromkeys(SITES, 5)
    assert all(counts.tp in (0, 5, 12) for counts in result.test.values())
    east = result.rows[0].bounds
    assert (east.worst.films, east.best.films) == (24, 24)
    assert "A hospital does not tell counts of a few films" in table(result)
    saved = json.loads((world.folder / "out" / "round.json").read_text(encoding="utf-8"))
    assert saved["rows"][0]["worst"]["tp"] <= saved["rows"][0]["best"]["tp"]


def answering(**counts: list[int] | float) -> ClientApp:
    """A node that hands over its bundle but counts as it pleases."""

    def app(message: Message, context: Context) -> Message:
        if message.metadata.message_type.startswith("query"):
            return real_app(message, context)
        return Message(RecordDict({ANSWER_RECORD: ConfigRecord(dict(counts))}), reply_to=message)

    return app


def erring(message: Message, context: Context) -> Message:
    if message.metadata.message_type.startswith("query"):
        return real_app(message, context)
    return Message(Error(code=1, reason="/home/secret"), reply_to=message)


N = len(THRESHOLDS)
FLAT = {"tp": [2] * N, "fn": [0] * N, "tn": [0] * N, "fp": [2] * N}
NONE = {"indeterminate_positive": [0] * N, "indeterminate_negative": [0] * N}
NONE |= {"suppress_below": 1, "noise": 0.0}


@pytest.mark.parametrize(
    "app",
    [
        answering(),
        answering(**FLAT),
        answering(**FLAT, **NONE, patients=[1]),
        answering(**{**FLAT, **NONE, "tp": [2]}),
        answering(**{**FLAT, **NONE, "tp": [-1] * N}),
        answering(**{**FLAT, **NONE, "tp": [10**12] * N}),
        answering(**{**FLAT, **NONE, "tp": [2] * (N - 1) + [1]}),
        answering(**{**FLAT, **NONE, "tp": [*range(N)], "fn": [*range(N, 0, -1)]}),
        answering(**{**FLAT, **NONE, "indeterminate_positive": [1] * N}),
        answering(**{**FLAT, **NONE, "noise": -1.0}),
        answering(**{**FLAT, **NONE, "noise": float("nan")}),
        answering(**{**FLAT, **NONE, "suppress_below": 0}),
        answering(**{**FLAT, **NONE, "suppress_below": 3}),
        answering(**{**FLAT, **NONE, "suppress_below": 10**9}),
        erring,
    ],
)
def test_counts_that_cannot_be_are_not_believed(world: World, app: ClientApp) -> None:
    grid = released(world).grid()
    grid.apps = {2: app}
    result = world.hold(grid)
    assert set(result.test) == set(result.validation) == {"east", "west"}
    assert "/home/secret" not in (world.folder / "out" / "round.json").read_text(encoding="utf-8")


def test_no_count_at_all_is_an_error(world: World) -> None:
    grid = released(world).grid()
    grid.apps = dict.fromkeys((1, 2, 3), erring)
    with pytest.raises(FederationError, match="no validation film was counted"):
        world.hold(grid)


# Trust.


def test_one_key_under_two_names_is_refused(world: World) -> None:
    released(world)
    (world.folder / "trust" / "south.pub").write_bytes(
        (world.folder / "trust" / "west.pub").read_bytes()
    )
    with pytest.raises(FederationError, match=r"south.pub and west.pub are the same key"):
        world.hold(world.grid())


class HourlyClock(VirtualClock):
    """A clock that goes an hour further each time it is looked at."""

    def monotonic(self) -> float:
        self.seconds += 3600.0
        return self.seconds


def test_line_of_the_ledger_has_the_time_of_its_act_and_not_of_the_rounds_start(
    world: World,
) -> None:
    order = Order(
        trust=world.folder / "trust", ledger=world.ledger, operator="x", timeout=86400, sites=3
    )
    (world.folder / "out").mkdir()
    Round(released(world).grid(), order, NOW, clock=HourlyClock()).run(world.folder / "out")
    entries = read_ledger(world.ledger)
    at = {act: {entry.at for entry in entries if entry.act == act} for act in ("admit", "train")}
    assert NOW < min(at["admit"]) <= max(at["admit"]) < min(at["train"])


def test_an_empty_trust_list_is_refused(world: World, tmp_path: Path) -> None:
    order = Order(trust=tmp_path / "nobody", ledger=tmp_path / "ledger.jsonl", operator="tests")
    with pytest.raises(FederationError, match=r"holds no NAME\.pub"):
        Round(world.grid(), order, NOW).run(tmp_path)


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do this while the bundles are measured."""

    def measure(*words: object) -> object:
        act()
        return screen(*words)  # type: ignore[arg-type]

    screen = aggregator.admission.decide.screen
    monkeypatch.setattr(aggregator.admission.decide, "screen", measure)


def test_bytes_of_a_bundle_are_verified_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []

    def counted(files: Mapping[str, bytes], *words: object) -> object:
        bundle = verify_files(files, *words)  # type: ignore[arg-type]
        verified.append(bundle.manifest.name)
        return bundle

    monkeypatch.setattr(aggregator.admission.verify, "verify_files", counted)
    released(world).hold(world.grid())
    assert sorted(verified) == ["east-1", "north-1", "west-1"]


def changed_meanwhile(world: World, reason: str) -> None:
    """The round ends, with the new refusal as the ledger's last line and nothing admitted."""
    error = (
        "the trust list or the ledger changed, or a bundle expired, during the round; start again"
    )
    with pytest.raises(FederationError, match=error):
        world.hold(world.grid())
    last = read_ledger(world.ledger)[-1]
    assert (last.act, last.why.partition(":")[0]) == ("refuse", reason)
    assert "admit" not in [act for act, *_ in entries(world)]


def test_key_that_leaves_the_trust_list_while_bundles_are_measured_ends_the_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    meanwhile(monkeypatch, (world.folder / "trust" / "east.pub").unlink)
    changed_meanwhile(world, "UnknownSite")


def test_key_that_is_given_to_another_site_while_bundles_are_measured_ends_the_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    trust = world.folder / "trust"
    meanwhile(monkeypatch, lambda: (trust / "east.pub").rename(trust / "south.pub"))
    changed_meanwhile(world, "UnknownSite")


def test_key_that_is_revoked_while_bundles_are_measured_ends_the_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    meanwhile(monkeypatch, lambda: revoke(world, "east"))
    changed_meanwhile(world, "RevokedKey")


def test_newer_bundle_admitted_by_another_round_while_bundles_are_measured_ends_this_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    key = fingerprint(world.keys["east"].public_key())

    def admit() -> None:
        with open_ledger(world.ledger) as ledger:
            ledger.write(NOW, "admit", "another", "east-2", "ab" * 32, signed_with(key))

    meanwhile(monkeypatch, admit)
    error = (
        "the trust list or the ledger changed, or a bundle expired, during the round; start again"
    )
    with pytest.raises(FederationError, match=error):
        world.hold(world.grid())
    assert read_ledger(world.ledger)[-1].why.startswith("Rollback: ")


def test_key_of_another_hospital_that_is_added_while_bundles_are_measured_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    pem = public_pem(new_key().public_key())
    meanwhile(monkeypatch, lambda: (world.folder / "trust" / "south.pub").write_bytes(pem))
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def test_admissions_and_refusals_are_in_the_ledger(world: World) -> None:
    released(world, "east", "north")
    world.release("west", make_bundle("west", new_key()))
    result = world.hold(world.grid())
    acts = entries(world)
    assert [entry[:2] for entry in acts[1:3]] == [("admit", "east-1"), ("admit", "north-1")]
    assert [entry[2] for entry in acts[1:3]] == [result.bundles["east"], result.bundles["north"]]
    assert (
        acts[0][0] == "refuse"
    )  # before anything is measured, so that an interruption does not lose it
    assert read_ledger(world.ledger)[0].why.startswith("UnknownSite: ")
    assert read_ledger(world.ledger)[0].by == "an operator"


def test_bundle_that_was_admitted_before_is_admitted_again(world: World) -> None:
    released(world).hold(world.grid())
    again(world)
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def test_older_bundle_than_one_admitted_before_is_refused(world: World) -> None:
    released(world)
    newer(world, "east", 5)
    world.hold(world.grid())
    again(world)
    newer(world, "east", 4)
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}
    assert [refusal["reason"] for refusal in world.refusals()] == ["Rollback"]


def test_two_contents_under_one_number_are_an_alarm(world: World) -> None:
    released(world)
    newer(world, "east", 5)
    world.hold(world.grid())
    again(world)
    newer(world, "east", 5, expires=NOW + timedelta(days=77))
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}
    [refusal] = world.refusals()
    assert refusal["reason"] == "Equivocation"
    assert "its key has signed both" in str(refusal["message"])


def test_nothing_is_admitted_while_the_ledger_is_damaged(world: World) -> None:
    released(world).hold(world.grid())
    again(world)
    world.ledger.write_bytes(world.ledger.read_bytes()[:50])
    with pytest.raises(LedgerError, match="cut short"):
        world.hold(world.grid())


def test_bundle_that_was_admitted_before_its_key_was_revoked_stays_good(world: World) -> None:
    released(world).hold(world.grid())
    again(world)
    revoke(world, "east")
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def test_new_bundle_of_a_revoked_key_is_refused_whatever_time_it_claims(world: World) -> None:
    released(world).hold(world.grid())
    again(world)
    revoke(world, "east")
    newer(world, "east", 2, created=NOW - timedelta(days=300), expires=NOW + timedelta(days=9))
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}
    assert [refusal["reason"] for refusal in world.refusals()] == ["RevokedKey"]


def test_site_goes_on_with_its_new_key_after_the_old_was_revoked(world: World) -> None:
    released(world).hold(world.grid())
    again(world)
    revoke(world, "east")
    with_new_key(world, "east")
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def for_tokyo(world: World, *hospitals: str) -> None:
    """East's bundle names its recipients, two aggregators and perhaps hospitals."""
    released(world, "north", "west")
    recipients = tuple(sorted(("osaka", "tokyo", *hospitals)))
    about = manifest("east", terms=Terms(recipients=recipients))
    world.release("east", make_bundle("east", world.keys["east"], about))


@pytest.mark.parametrize("name", [None, "kyoto"])
def test_bundle_for_others_is_refused(world: World, name: str | None) -> None:
    for_tokyo(world)
    assert set(world.hold(world.grid(), name=name).bundles) == {"north", "west"}
    (refusal,) = world.refusals()
    assert refusal["reason"] == "NotForMe"
    todo = "; give --name as east knows it" if name else "; give gdshare aggregate --name osaka"
    assert todo in str(refusal["message"])


def test_bundle_for_this_aggregator_is_admitted(world: World) -> None:
    for_tokyo(world)
    assert set(world.hold(world.grid(), name="tokyo").bundles) == set(SITES)


def test_site_is_not_locked_out_by_a_thiefs_highest_number(world: World) -> None:
    released(world)
    newer(world, "east", 999_999_999)
    world.hold(world.grid())
    disown(world, "east", lines(world, "east-999999999")[0])
    with_new_key(world, "east")
    assert next_round(world) == set(SITES)


def thrice(world: World) -> list[Mapping[str, bytes]]:
    """Three bundles of east's first key are admitted, one a round."""
    bundles = []
    released(world, "north", "west")
    for number in (1, 2, 3):
        files = make_bundle("east", world.keys["east"], manifest("east", sequence=number))
        hand_out(world, "east", files)
        bundles.append(files)
        if (world.folder / "out").exists():
            again(world)
        world.hold(world.grid(), ensemble=1)
    return bundles


def test_older_bundle_stays_old_when_its_key_is_revoked(world: World) -> None:
    """Or between the revocation and the new key's first bundle an older one would pass."""
    first, _, third = thrice(world)
    revoke(world, "east")
    hand_out(world, "east", first)
    assert next_round(world) == {"north", "west"}
    assert [refusal["reason"] for refusal in world.refusals()] == ["Rollback"]
    hand_out(world, "east", third)
    assert next_round(world) == set(SITES)


def test_bundle_admitted_after_its_key_was_stolen_is_refused(
    world: World,
) -> None:
    first, second, third = thrice(world)
    disown(world, "east", lines(world, "east-2")[0])
    for files in (second, third):
        hand_out(world, "east", files)
        assert next_round(world) == {"north", "west"}
        assert [refusal["reason"] for refusal in world.refusals()] == ["RevokedKey"]
    hand_out(world, "east", first)
    assert next_round(world) == set(SITES), "the newest of those that were the hospital's"


def test_bundle_that_was_admitted_again_afterwards_was_the_hospitals_all_the_same(
    world: World,
) -> None:
    released(world).hold(world.grid())
    assert next_round(world) == set(SITES)
    disown(world, "east", lines(world, "east-1")[1])
    assert next_round(world) == set(SITES)


def test_number_of_a_thief_is_free_for_the_hospital(world: World) -> None:
    thrice(world)
    disown(world, "east", lines(world, "east-2")[0])
    with_new_key(world, "east", 2)
    assert next_round(world) == set(SITES)


def test_lost_admission_stays_lost_when_the_key_is_trusted_again(world: World) -> None:
    first, second, third = thrice(world)
    disown(world, "east", lines(world, "east-2")[0])
    in_ledger(world, "east", TRUST, until(NOW + timedelta(days=9)))
    assert newest_bundles(read_ledger(world.ledger))["east"].sequence == 1
    for files, sites in ((first, SITES), (third, SITES), (second, ("north", "west"))):
        hand_out(world, "east", files)
        assert next_round(world) == set(sites), "and what is admitted from then on counts"


def test_disowning_a_key_leaves_other_keys_alone(world: World) -> None:
    thrice(world)
    with_new_key(world, "east", 4)
    assert next_round(world) == set(SITES)
    disown(world, "east", 1)
    assert next_round(world) == set(SITES)


def test_no_words_of_a_revocation_take_an_admission_away(world: World) -> None:
    """They may be a thief's."""
    released(world).hold(world.grid())
    in_ledger(world, "east", REVOKE, from_line(1, "stolen"))
    assert next_round(world) == set(SITES)


# A key that succeeds another.


def test_key_is_rotated_from_the_first_bundle_to_the_old_keys_revocation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phrase = "a passphrase for the test"
    monkeypatch.setenv("GDSHARE_PASSPHRASE", phrase)
    keys, trust, peers = (world.folder / name for name in ("keys", "trust", "peers"))
    gdshare("keys", "new", "--name", "east", "--out", keys, check=True)
    for trusted in (trust, peers):
        shutil.copy(keys / "east.pub", trusted / "east.pub")
    old = load_private_key(keys / "east.key", phrase.encode())

    def bundle(secret: ec.EllipticCurvePrivateKey, number: int) -> Mapping[str, bytes]:
        return make_bundle("east", secret, manifest("east", sequence=number))

    first = bundle(old, 1)
    released(world, "north", "west").release("east", first)
    assert set(world.hold(world.grid(), ensemble=1).bundles) == set(SITES)

    rotate = ("keys", "rotate", keys / "east.key", "east-2027", "--site", "east")
    output = gdshare(*rotate, check=True).out
    spoken = output.split("to say")[1].strip()
    request = keys / "east-2027.request"
    add = ("trust", "add", request, "--fingerprint", spoken, "--trust")
    gdshare(*add, peers, check=True)
    output = gdshare(*add, trust, check=True).out
    assert "of east, trusted" in output.split("vouched for")[1]
    new = load_private_key(keys / "east-2027.key", phrase.encode())

    for number, secret in ((2, old), (3, new), (4, old), (5, new)):
        hand_out(world, "east", bundle(secret, number))
        assert next_round(world) == set(SITES), "either key is good"

    gdshare("keys", "revoke", keys / "east.key", "--why", "we have a new one", check=True)
    gdshare("trust", "revoke", keys / "east.revocation", "--trust", trust, check=True)
    assert next_round(world) == set(SITES)
    for number, reason in ((6, "RevokedKey"), (4, "Rollback")):
        hand_out(world, "east", bundle(old, number))
        assert next_round(world) == {"north", "west"}
        assert [refusal["reason"] for refusal in world.refusals()] == [reason]
    hand_out(world, "east", bundle(new, 6))
    assert next_round(world) == set(SITES)
    assert verify_files(first, load_public_key(keys / "east.pub"), NOW, "east")


# Keys that end.


def ended(world: World, site: str, end: datetime = NOW) -> None:
    in_ledger(world, site, TRUST, until(end))


def test_new_bundle_of_a_key_that_has_ended_is_refused(world: World) -> None:
    ended(released(world), "east")
    old = manifest("east", created=NOW - timedelta(days=300), expires=NOW + timedelta(days=9))
    hand_out(world, "east", make_bundle("east", world.keys["east"], old))
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}
    assert [refusal["reason"] for refusal in world.refusals()] == ["ExpiredKey"]


def test_key_holds_until_the_very_second(world: World) -> None:
    ended(released(world), "east", NOW + timedelta(seconds=1))
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def test_bundle_that_was_admitted_before_its_key_ended_stays_good(world: World) -> None:
    released(world).hold(world.grid())
    ended(world, "east")
    assert next_round(world) == set(SITES)


def test_key_that_is_trusted_again_has_a_new_end(world: World) -> None:
    ended(released(world), "east")
    ended(world, "east", NOW + timedelta(days=700))
    assert set(world.hold(world.grid()).bundles) == set(SITES)


def test_end_that_cannot_be_read_lets_nobody_in(world: World) -> None:
    in_ledger(released(world), "east", TRUST, "until the end of time")
    with pytest.raises(LedgerError, match="was not written by gdshare trust"):
        world.hold(world.grid())


def test_operator_is_warned_when_the_last_key_of_a_site_ends_soon(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    released(world)
    ended(world, "east", NOW + timedelta(days=29))
    ended(world, "north", NOW + timedelta(days=31))
    world.hold(world.grid())
    [warning] = [record for record in caplog.records if "key" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert warning.getMessage() == (
        "the last key of east ends on 2026-04-29: ask it for a new one (gdshare keys rotate)"
    )
    with_new_key(world, "east")
    caplog.clear()
    again(world)
    world.hold(world.grid())
    assert not [record for record in caplog.records if "key" in record.getMessage()]


def test_replayed_old_bundle_evicts_nobody(world: World) -> None:
    old = make_bundle("east", world.keys["east"])
    released(world)
    newer(world, "east", 2)
    world.hold(world.grid())
    again(world)
    world.release("thief", old, "east")
    result = world.hold(world.grid(*SITES, "thief"))
    assert set(result.bundles) == set(SITES)
    [refusal] = world.refusals()
    assert refusal["reason"] == "Rollback"
    [entry] = [entry for entry in read_ledger(world.ledger) if entry.act == "refuse"]
    assert entry.digest == refusal["digest"] is not None


def test_fixed_weights_that_cannot_be_drawn_refuse_that_bundle_alone(world: World) -> None:
    released(world, "north", "west")
    about = manifest(
        "east",
        protocol=PROTOCOL.model_copy(update={"side": 9}),
        method=METHOD.model_copy(update={"theta0": "announced"}),
        theta0_sha256="ab" * 32,
    )
    world.release("east", make_bundle("east", world.keys["east"], about))
    assert set(world.hold(world.grid()).bundles) == {"north", "west"}
    assert [refusal["reason"] for refusal in world.refusals()] == ["DoesNotFit"]
