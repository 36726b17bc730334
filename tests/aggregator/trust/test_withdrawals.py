"""Withdrawals at the aggregator: who may withdraw what, and which models are affected."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from command_kit import Ended, gdshare
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Context, Message, RecordDict
from grid_kit import ClientApp, MemoryGrid
from round_kit import (
    SITES,
    World,
    again,
    disown,
    entries,
    lines,
    newer,
    refused_with,
    released,
    revoke,
    with_new_key,
)
from site_kit import NOW, make_bundle, manifest

import aggregator.round
from aggregator.results import RoundResult
from gdshare.bundle.attestation import Withdrawal
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.errors import FederationError
from gdshare.ledger import read_ledger
from gdshare.messages import ANSWER_RECORD, MAX_WITHDRAWALS
from gdshare.signing import new_key

HOUR = datetime(2026, 3, 31, 11, tzinfo=UTC)


def digest_of(files: Mapping[str, bytes]) -> str:
    return subject_digest(digests_of(files))


def signed(
    key: ec.EllipticCurvePrivateKey,
    digest: str,
    site: str = "east",
    sequence: int = 1,
    why: str = "",
) -> bytes:
    return Withdrawal(site=site, sequence=sequence, at=HOUR, reason=why).signed(digest, key)


def withdraw(world: World, sequence: int = 1, why: str = "") -> str:
    """East withdraws its bundle, as gdshare withdraw would; returns its digest."""
    outbox = world.folder / "east" / "outbox"
    folder = outbox / f"east-{sequence}"
    digest = digest_of({path.name: path.read_bytes() for path in folder.iterdir()})
    shutil.rmtree(folder)
    content = signed(world.keys["east"], digest, sequence=sequence, why=why)
    (outbox / f"east-{sequence}.withdrawal").write_bytes(content)
    return digest


def handing(**more: object) -> ClientApp:
    """A node that sends these files."""

    def app(message: Message, context: Context) -> Message:
        return Message(RecordDict({ANSWER_RECORD: ConfigRecord(dict(more))}), reply_to=message)  # type: ignore[arg-type]

    return app


def hold(world: World, *sites: str, grid: MemoryGrid | None = None, seed: int = 0) -> RoundResult:
    return world.hold(grid or world.grid(*sites), ensemble=1, seed=seed)


def admitted(world: World, *sites: str) -> set[str]:
    return set(hold(world, *sites).bundles)


def test_withdrawal_that_a_node_hands_over_is_recorded_before_anything_is_admitted(
    world: World,
) -> None:
    released(world)
    digest = withdraw(world, why="a consent was taken back")
    assert admitted(world) == {"north", "west"}
    assert entries(world)[:2] == [("withdraw", "east-1", digest), entries(world)[1]]
    assert entries(world)[1][:2] == ("admit", "north-1")
    assert read_ledger(world.ledger)[0].why.endswith(": a consent was taken back")
    assert refused_with(world) == {1: "nothing-released"}


def test_withdrawn_bundle_is_refused_for_ever(world: World) -> None:
    files = make_bundle("east", world.keys["east"])
    hold(released(world))
    again(world)
    withdraw(world)
    hold(world)
    for _ in range(2):
        again(world)
        shutil.rmtree(world.folder / "east" / "outbox")
        world.release("east", files)
        assert admitted(world) == {"north", "west"}
        assert refused_with(world) == {1: "Withdrawn"}


def test_withdrawal_beats_the_bundle_that_another_node_still_hands_over(world: World) -> None:
    files = make_bundle("east", world.keys["east"])
    released(world)
    withdraw(world)
    world.release("old", files, "east")
    assert admitted(world, *SITES, "old") == {"north", "west"}
    assert refused_with(world) == {1: "nothing-released", 4: "Withdrawn"}


def test_copy_of_a_withdrawn_bundle_evicts_nobody(world: World) -> None:
    old = make_bundle("east", world.keys["east"])
    released(world)
    withdraw(world)
    hold(world)
    again(world)
    newer(world, "east", 2)
    world.release("thief", old, "east")
    assert admitted(world, *SITES, "thief") == set(SITES)
    assert refused_with(world) == {4: "Withdrawn"}


def test_older_bundle_does_not_come_back_after_a_withdrawal(world: World) -> None:
    released(world)
    newer(world, "east", 5)
    hold(world)
    again(world)
    withdraw(world, 5)
    hold(world)
    again(world)
    shutil.rmtree(world.folder / "east" / "outbox")
    world.release("east", make_bundle("east", world.keys["east"], manifest("east", sequence=4)))
    assert admitted(world) == {"north", "west"}
    assert refused_with(world) == {1: "Rollback"}


def test_older_bundle_does_not_come_back_after_one_that_was_never_admitted(world: World) -> None:
    released(world)
    newer(world, "east", 5)
    withdraw(world, 5)
    hold(world)
    again(world)
    newer(world, "east", 4)
    assert admitted(world) == {"north", "west"}
    assert refused_with(world) == {1: "Rollback"}


def test_newer_bundle_is_admitted_after_an_older_was_withdrawn(world: World) -> None:
    released(world)
    withdraw(world)
    old = (world.folder / "east" / "outbox" / "east-1.withdrawal").read_bytes()
    newer(world, "east", 2)
    (world.folder / "east" / "outbox" / "east-1.withdrawal").write_bytes(old)
    for _ in range(2):
        assert admitted(world) == set(SITES)
        assert world.refusals() == []
        again(world)
    assert [entry for entry, *_ in entries(world)].count("withdraw") == 1, "recorded once"


def test_withdrawn_older_bundle_does_not_hide_that_a_newer_was_admitted(world: World) -> None:
    released(world)
    newer(world, "east", 5)
    hold(world)
    again(world)
    newer(world, "east", 2)
    withdraw(world, 2)
    hold(world)
    again(world)
    newer(world, "east", 4)
    assert "east" not in admitted(world)
    assert refused_with(world) == {1: "Rollback"}


# Who may withdraw.


def refused_withdrawal(world: World, content: bytes) -> str:
    """East's node sends a sound bundle and this withdrawal; returns why it was refused."""
    released(world)
    newer(world, "east", 10)
    (world.folder / "east" / "outbox" / "east-9.withdrawal").write_bytes(content)
    assert admitted(world) == set(SITES), "its bundle stands"
    assert "withdraw" not in [entry for entry, *_ in entries(world)]
    [(node, reason)] = refused_with(world).items()
    assert node == 1
    [why] = [entry.why for entry in read_ledger(world.ledger) if entry.act == "refuse"]
    assert why.startswith(f"{reason}: east-9.withdrawal: ")
    return str(reason)


def bundle_digest(world: World, site: str) -> str:
    return digest_of(make_bundle(site, world.keys[site]))


def test_forged_withdrawal_is_refused(world: World) -> None:
    mine = signed(world.keys["east"], bundle_digest(world, "east"))
    theirs = json.loads(signed(world.keys["west"], bundle_digest(world, "east")))
    old = json.loads(mine)["dsseEnvelope"]["signatures"][0]["sig"].encode()
    new = theirs["dsseEnvelope"]["signatures"][0]["sig"].encode()
    assert refused_withdrawal(world, mine.replace(old, new)) == "UnsoundAttestation"


def test_withdrawal_signed_with_a_strangers_key_is_refused(world: World) -> None:
    content = signed(new_key(), bundle_digest(world, "east"))
    assert refused_withdrawal(world, content) == "UnknownSite"


def test_hospital_cannot_withdraw_in_anothers_name(world: World) -> None:
    content = signed(world.keys["east"], bundle_digest(world, "north"), "north")
    assert refused_withdrawal(world, content) == "WrongSite"


def test_hospital_cannot_withdraw_anothers_bundle_under_a_name_of_its_own(world: World) -> None:
    hold(released(world))
    again(world)
    shutil.rmtree(world.folder / "east")
    shutil.rmtree(world.folder / "north")
    shutil.rmtree(world.folder / "west")
    content = signed(world.keys["east"], bundle_digest(world, "north"), sequence=9)
    assert refused_withdrawal(world, content) == "WrongSite"


def test_withdrawal_of_anothers_digest_that_comes_first_withdraws_nothing(world: World) -> None:
    released(world)
    withdraw(world)
    content = signed(world.keys["east"], bundle_digest(world, "north"))
    (world.folder / "east" / "outbox" / "east-1.withdrawal").write_bytes(content)
    assert admitted(world) == {"north", "west"}


def test_withdrawal_by_a_revoked_key_is_refused_and_by_the_new_one_taken(world: World) -> None:
    hold(released(world))
    again(world)
    digest = withdraw(world)
    revoke(world, "east")
    assert admitted(world) == {"north", "west"}
    assert ("RevokedKey", None) in [
        (refusal["reason"], refusal["site"]) for refusal in world.refusals()
    ]
    again(world)
    key = new_key()
    with_new_key(world, "east", key=key)
    content = signed(key, digest)
    (world.folder / "east" / "outbox" / "east-1.withdrawal").write_bytes(content)
    assert admitted(world) == set(SITES)
    assert ("withdraw", "east-1", digest) in entries(world)


def test_site_is_not_locked_out_by_the_highest_number_that_a_thief_withdrew(world: World) -> None:
    released(world)
    content = signed(world.keys["east"], "ab" * 32, sequence=999_999_999, why="a thief's")
    (world.folder / "east" / "outbox" / "east-999999999.withdrawal").write_bytes(content)
    hold(world)
    again(world)
    disown(world, "east", lines(world, "east-999999999", "withdraw")[0])
    with_new_key(world, "east")
    assert admitted(world) == set(SITES)


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 5000, b"[" * 4000])
def test_damaged_withdrawal_is_refused_and_stops_nobody(world: World, content: bytes) -> None:
    released(world)
    grid = world.grid()
    files = make_bundle("east", world.keys["east"])
    grid.apps = {1: handing(**{**files, "east-9.withdrawal": content})}
    assert "east" in hold(world, grid=grid).bundles
    assert refused_with(world) == {1: "UnsoundAttestation"}


def test_node_that_sends_thousands_is_read_to_the_bound_and_refused_once(
    world: World,
) -> None:
    released(world)
    grid = world.grid()
    many = {f"east-{n}.withdrawal": b"x" for n in range(1, 3000)}
    many["east-999999.withdrawal"] = signed(world.keys["east"], "ab" * 32)
    grid.apps = {1: handing(**many)}
    hold(world, grid=grid)
    reasons = [refusal["reason"] for refusal in world.refusals() if refusal["node"] == 1]
    assert sorted(map(str, reasons)) == ["Oversized", "UnsoundAttestation", "nothing-released"]
    assert sum(entry == "refuse" for entry, *_ in entries(world)) == 1
    assert "withdraw" not in [entry for entry, *_ in entries(world)], "it was the last of all"
    assert f"{MAX_WITHDRAWALS} were read" in str(world.refusals())


def test_withdrawals_alone_are_recorded_though_there_is_no_round(world: World) -> None:
    released(world, "east")
    digest = withdraw(world)
    with pytest.raises(FederationError, match="no bundle was admitted"):
        hold(world, "east")
    assert entries(world) == [("withdraw", "east-1", digest)]


# The models.


def test_every_model_and_its_bundles_are_in_the_ledger_before_the_model_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(aggregator.round, "save_model", killed)
        with pytest.raises(KeyboardInterrupt):
            hold(released(world))
    assert not (world.folder / "out" / "model").exists()
    trained = [entry for entry in read_ledger(world.ledger) if entry.act == "train"]
    assert [entry.why for entry in trained] == [
        f"from {site}-1 {bundle_digest(world, site)}" for site in SITES
    ]


def test_bundle_that_is_withdrawn_while_a_model_is_trained_from_it_ends_the_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    train = aggregator.round.train_pooled

    def late(*words: object) -> object:
        arrived = world.folder / "east-1.withdrawal"
        arrived.write_bytes(signed(world.keys["east"], bundle_digest(world, "east")))
        record(world, arrived)
        return train(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(aggregator.round, "train_pooled", late)
    with pytest.raises(FederationError, match="east-1 was withdrawn while the model was trained"):
        hold(world)
    assert not (world.folder / "out" / "model").exists()
    assert "train" not in [entry for entry, *_ in entries(world)]


def record(world: World, *words: object) -> Ended:
    return gdshare("trust", "withdrawn", *words, "--trust", world.folder / "trust")


def model_digest(world: World, out: str) -> str:
    data = (world.folder / out / "model" / "model.safetensors").read_bytes()
    return hashlib.sha256(data).hexdigest()


def test_withdrawal_lists_the_models_that_were_trained_with_the_bundle_and_no_other(
    world: World,
) -> None:
    hold(released(world))
    digests = [model_digest(world, "out")]
    (world.folder / "out").rename(world.folder / "elsewhere")
    hold(world, seed=1)
    digests.append(model_digest(world, "out"))
    again(world)
    hold(world, "north", "west")
    arrived = world.folder / "east-1.withdrawal"
    arrived.write_bytes(signed(world.keys["east"], bundle_digest(world, "east"), why="a reason"))

    status, out, _ = record(world, arrived)
    assert status == 0
    assert all(digest in out.replace("\n", "") for digest in digests)
    assert model_digest(world, "out") not in out
    status, out, _ = record(world, "--json")
    [report] = json.loads(out)
    assert (report["bundle"], report["digest"]) == ("east-1", bundle_digest(world, "east"))
    assert report["why"] == "a reason"
    folder = str(world.folder / "out" / "model")
    assert report["models"] == [
        {"folder": folder, "digest": digest, "trained": f"{NOW:%Y-%m-%d}"} for digest in digests
    ]


def test_withdrawal_by_file_is_refused_whole_where_one_is_not_believed(world: World) -> None:
    released(world)
    good, bad = world.folder / "good.withdrawal", world.folder / "bad.withdrawal"
    good.write_bytes(signed(world.keys["east"], "ab" * 32))
    bad.write_bytes(signed(new_key(), "cd" * 32))
    status, _, err = record(world, good, bad)
    assert status == 3
    assert f"{bad}: a withdrawal signed with a key that is not on the trust list" in err
    assert entries(world) == []
    assert record(world, world.folder / "none")[0] == 2


def test_withdrawal_by_file_refuses_the_bundle_in_the_next_round(world: World) -> None:
    released(world)
    arrived = world.folder / "east-1.withdrawal"
    arrived.write_bytes(signed(world.keys["east"], bundle_digest(world, "east")))
    for _ in range(2):
        status, out, _ = record(world, arrived)
        assert status == 0
        assert "no model is known that was trained with a withdrawn bundle" in out
    assert [entry for entry, *_ in entries(world)] == ["withdraw"], "twice is once"
    assert admitted(world) == {"north", "west"}
    assert refused_with(world) == {1: "Withdrawn"}


def test_hospital_withdraws_again_what_a_thief_had_withdrawn(world: World) -> None:
    """Otherwise an older bundle would come back once the thief's withdrawal is disowned."""
    released(world)
    content = signed(world.keys["east"], "ab" * 32, sequence=5)
    (world.folder / "east" / "outbox" / "east-5.withdrawal").write_bytes(content)
    hold(world)
    again(world)
    disown(world, "east", lines(world, "east-5", "withdraw")[0])
    key = new_key()
    with_new_key(world, "east", key=key)
    content = signed(key, "ab" * 32, sequence=5)
    (world.folder / "east" / "outbox" / "east-5.withdrawal").write_bytes(content)
    assert admitted(world) == {"north", "west"}
    assert len(lines(world, "east-5", "withdraw")) == 2


def test_known_withdrawal_is_no_fault_once_its_key_is_revoked(world: World) -> None:
    released(world)
    withdraw(world)
    hold(world)
    again(world)
    revoke(world, "east")
    hold(world)
    assert "RevokedKey" not in refused_with(world).values()


def test_bundle_that_loses_its_admission_while_a_model_is_trained_is_not_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(world)
    train = aggregator.round.train_pooled

    def late(*words: object) -> object:
        disown(world, "east", lines(world, "east-1")[0])
        return train(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(aggregator.round, "train_pooled", late)
    with pytest.raises(FederationError, match="east-1 lost its admission"):
        hold(world)
    assert not (world.folder / "out" / "model").exists()
    assert "train" not in [entry for entry, *_ in entries(world)]
