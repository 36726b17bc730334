"""The trust list: adding and revoking keys."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_kit import Ended, gdshare
from cryptography.hazmat.primitives.asymmetric import ec

from aggregator.trust.bundle_history import ADMIT, admitted_digests, signed_with, trained_from
from gdshare.errors import FederationError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.signing import (
    fingerprint,
    load_public_key,
    new_key,
    public_pem,
    write_request,
    write_revocation,
)
from gdshare.trust.key_history import DisownedLines, disowned_lines, key_ends, revoked_keys
from gdshare.trust.keys import load_trust

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A hospital's public key, as it arrived."""
    path = tmp_path / "arrived.pub"
    path.write_bytes(public_pem(new_key().public_key()))
    return path


class Desk:
    """The operator's desk, with the trust folder."""

    def __init__(self, folder: Path) -> None:
        self.trust, self.ledger = folder / "trust", folder / "trust-ledger.jsonl"

    def gdshare(self, *words: object) -> Ended:
        return gdshare("trust", *words, "--trust", self.trust)

    def add(self, key: Path, site: str = "st-mary", typed: str | None = None) -> int:
        digits = fingerprint(load_public_key(key)) if typed is None else typed
        return self.gdshare("add", key, "--site", site, "--fingerprint", digits)[0]

    def listed(self) -> list[dict[str, str | None]]:
        keys: list[dict[str, str | None]] = json.loads(self.gdshare("list", "--json")[1])
        return keys


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def another(tmp_path: Path, name: str = "second") -> Path:
    path = tmp_path / f"{name}.pub"
    path.write_bytes(public_pem(new_key().public_key()))
    return path


def test_hospital_that_trusts_a_key_is_not_sent_on_to_hold_a_round(
    desk: Desk, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def added_as(site: str, file: Path) -> Ended:
        typed = fingerprint(load_public_key(file))
        return desk.gdshare("add", file, "--site", site, "--fingerprint", typed)

    assert "gdshare aggregate" in added_as("tokyo", key).out
    monkeypatch.setenv("GDSHARE_SITE", "st-mary")
    added = added_as("st-luke", another(tmp_path))
    assert added.status == 0
    assert "aggregate" not in added.out


def test_key_is_trusted_once_its_fingerprint_was_typed_as_it_was_heard(
    desk: Desk, key: Path
) -> None:
    digest = fingerprint(load_public_key(key))
    spoken = " ".join(digest[at : at + 4] for at in range(0, 24, 4)).upper()
    assert desk.add(key, typed=spoken) == 0
    [key_on_list] = load_trust(desk.trust).keys
    assert (key_on_list.site, key_on_list.fingerprint, key_on_list.path.name) == (
        "st-mary",
        digest,
        "st-mary.pub",
    )
    [entry] = read_ledger(desk.ledger)
    assert (entry.act, entry.what, entry.digest) == ("trust", "st-mary", digest)


@pytest.mark.parametrize("typed", ["", "ab", "0" * 16, "0" * 64])
def test_key_of_another_fingerprint_is_not_trusted(desk: Desk, key: Path, typed: str) -> None:
    status, _, err = desk.gdshare("add", key, "--site", "st-mary", "--fingerprint", typed)
    assert status == 2
    assert "call the hospital" in err
    assert not desk.trust.exists()
    assert read_ledger(desk.ledger) == []


def test_first_digits_alone_are_too_few(desk: Desk, key: Path) -> None:
    assert desk.add(key, typed=fingerprint(load_public_key(key))[:15]) == 2


@pytest.mark.parametrize("site", ["St-Mary", "../st-mary", "st.mary", "", "a" * 33])
def test_name_that_no_site_can_have_is_refused(desk: Desk, key: Path, site: str) -> None:
    assert desk.add(key, site) == 2
    assert not desk.trust.exists()


def test_site_may_have_several_keys(desk: Desk, key: Path, tmp_path: Path) -> None:
    desk.add(key)
    desk.add(another(tmp_path))
    keys = load_trust(desk.trust).keys
    assert [trusted.site for trusted in keys] == ["st-mary", "st-mary"]
    assert len({trusted.fingerprint for trusted in keys}) == 2


def test_one_key_under_two_names_is_refused(desk: Desk, key: Path) -> None:
    desk.add(key)
    assert desk.add(key, "st-john") == 3
    assert desk.add(key) == 3
    (desk.trust / "st-john.pub").write_bytes(key.read_bytes())
    with pytest.raises(FederationError, match="are the same key"):
        load_trust(desk.trust)


def test_file_that_is_not_named_after_a_site_is_refused(desk: Desk, key: Path) -> None:
    desk.add(key)
    (desk.trust / "St Mary.pub").write_bytes(key.read_bytes())
    with pytest.raises(FederationError, match=r"not SITE\.pub"):
        load_trust(desk.trust)


def test_revoked_key_is_listed_with_the_reason_and_stays_in_the_folder(
    desk: Desk, key: Path, tmp_path: Path
) -> None:
    desk.add(key)
    desk.add(another(tmp_path), "st-john")
    digest = fingerprint(load_public_key(key))
    assert desk.gdshare("revoke", digest[:16], "--why", "the laptop was stolen")[0] == 0
    rows = {str(row["site"]): row for row in desk.listed()}
    assert rows["st-mary"]["why"] == "the laptop was stolen"
    assert rows["st-john"]["revoked"] is None
    assert set(revoked_keys(read_ledger(desk.ledger))) == {digest}


def test_revoking_what_is_not_there_or_twice_is_refused(desk: Desk, key: Path) -> None:
    desk.add(key)
    digest = fingerprint(load_public_key(key))
    assert desk.gdshare("revoke", "0" * 16, "--why", "x")[0] == 2
    assert desk.gdshare("revoke", digest[:4], "--why", "x")[0] == 2
    assert desk.gdshare("revoke", digest, "--why", "x")[0] == 0
    assert "is revoked already" in desk.gdshare("revoke", digest, "--why", "x")[2]


def test_key_that_was_put_there_by_hand_says_so(desk: Desk, key: Path) -> None:
    desk.trust.mkdir()
    (desk.trust / "st-mary.pub").write_bytes(key.read_bytes())
    assert desk.listed()[0]["since"] is None
    assert "put there by hand" in desk.gdshare("list")[1]


def test_nothing_is_trusted_while_the_ledger_is_damaged(
    desk: Desk, key: Path, tmp_path: Path
) -> None:
    desk.add(key)
    desk.ledger.write_bytes(b"")
    assert desk.add(another(tmp_path), "st-john") == 3
    assert [path.name for path in desk.trust.iterdir()] == ["st-mary.pub"]


def test_acts_of_a_round_do_not_pass_for_trust(desk: Desk, key: Path) -> None:
    desk.add(key)
    with open_ledger(desk.ledger) as ledger:
        ledger.write(NOW, ADMIT, "a", "st-mary-1", "ab" * 32, "")
    assert desk.listed()[0]["revoked"] is None


@pytest.fixture
def enrolment(tmp_path: Path) -> tuple[Path, str]:
    """An enrolment request of st-mary as it arrived, and what its fingerprint is over the phone."""
    secret, path = new_key(), tmp_path / "arrived.request"
    path.write_bytes(write_request("st-mary", secret, NOW))
    return path, fingerprint(secret.public_key())


def test_request_names_its_site(desk: Desk, enrolment: tuple[Path, str]) -> None:
    assert desk.gdshare("add", enrolment[0], "--fingerprint", enrolment[1][:16])[0] == 0
    [trusted] = load_trust(desk.trust).keys
    assert (trusted.site, trusted.fingerprint) == ("st-mary", enrolment[1])


def test_request_is_not_believed_before_its_fingerprint_was_heard(
    desk: Desk, enrolment: tuple[Path, str]
) -> None:
    status, _, err = desk.gdshare("add", enrolment[0], "--fingerprint", "0" * 16)
    assert status == 2
    assert "call the hospital" in err
    assert not desk.trust.exists()


def test_site_that_is_typed_must_be_the_requests(desk: Desk, enrolment: tuple[Path, str]) -> None:
    words = ("add", enrolment[0], "--fingerprint", enrolment[1], "--site")
    assert "is of st-mary" in desk.gdshare(*words, "st-john")[2]
    assert not desk.trust.exists()
    assert desk.gdshare(*words, "st-mary")[0] == 0


def test_altered_request_is_not_trusted(desk: Desk, enrolment: tuple[Path, str]) -> None:
    data = enrolment[0].read_bytes()
    enrolment[0].write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    assert desk.gdshare("add", enrolment[0], "--fingerprint", enrolment[1])[0] == 2
    assert not desk.trust.exists()


def test_bare_key_needs_a_site(desk: Desk, key: Path) -> None:
    digest = fingerprint(load_public_key(key))
    status, _, err = desk.gdshare("add", key, "--fingerprint", digest)
    assert status == 2
    assert "give --site" in err


def test_site_sends_a_request_and_the_aggregator_trusts_its_key(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "a passphrase for the test")
    at_site("new", "--name", "st-mary", "--out", tmp_path / "keys")
    output = at_site("request", tmp_path / "keys" / "st-mary.key", "--site", "st-mary")
    spoken = output.split("to say")[1].strip()
    enrolment = tmp_path / "keys" / "st-mary.request"
    assert desk.gdshare("add", enrolment, "--fingerprint", spoken[:19])[0] == 0
    assert load_trust(desk.trust).keys[0].site == "st-mary"


def at_site(*words: object) -> str:
    """Run gdshare keys at the hospital; returns its output."""
    return gdshare("keys", *words, check=True).out


def test_key_ends_after_two_years_or_when_the_operator_says(desk: Desk, key: Path) -> None:
    desk.add(key)
    [trusted], [entry] = load_trust(desk.trust).keys, read_ledger(desk.ledger)
    assert key_ends([entry]) == {trusted.fingerprint: entry.at + timedelta(days=730)}
    assert desk.listed()[0]["until"] == f"{entry.at + timedelta(days=730):%Y-%m-%d}"
    assert "trusted until" in desk.gdshare("list")[1]


def test_operator_may_let_a_key_end_sooner(desk: Desk, key: Path) -> None:
    digest = fingerprint(load_public_key(key))
    words = ("add", key, "--site", "st-mary", "--fingerprint", digest, "--days")
    for days in (0, 3661):
        assert desk.gdshare(*words, days)[0] == 2
    assert desk.gdshare(*words, 7)[0] == 0
    [entry] = read_ledger(desk.ledger)
    assert key_ends([entry])[digest] - entry.at == timedelta(days=7)


def test_key_that_has_ended_is_listed_so(desk: Desk, key: Path) -> None:
    desk.trust.mkdir()
    (desk.trust / "st-mary.pub").write_bytes(key.read_bytes())
    with open_ledger(desk.ledger) as ledger:
        digest = fingerprint(load_public_key(key))
        ledger.write(NOW, "trust", "a", "st-mary", digest, "until 2026-01-01T00:00:00Z")
    assert "ended 2026-01-01" in desk.gdshare("list")[1]


def test_key_that_was_put_there_by_hand_does_not_end(desk: Desk, key: Path) -> None:
    desk.trust.mkdir()
    (desk.trust / "st-mary.pub").write_bytes(key.read_bytes())
    assert desk.listed()[0]["until"] is None


def key_with_bundles(desk: Desk, key: Path) -> str:
    """A key whose bundles st-mary-1 to st-mary-3 were admitted in lines 2 to 4."""
    desk.add(key)
    signer = fingerprint(load_public_key(key))
    with open_ledger(desk.ledger) as ledger:
        for number in (1, 2, 3):
            what, digest = f"st-mary-{number}", f"{number}" * 64
            ledger.write(NOW, ADMIT, "a", what, digest, signed_with(signer))
    return signer


@pytest.mark.parametrize("since", ["3", "st-mary-2"])
def test_operator_says_from_when_on_a_key_was_not_the_hospitals(
    desk: Desk, key: Path, since: str
) -> None:
    digest = key_with_bundles(desk, key)
    _, out, _ = desk.gdshare("revoke", digest, "--why", "stolen", "--since", since)
    entries = read_ledger(desk.ledger)
    assert disowned_lines(entries) == (DisownedLines(digest, 3, 5),)
    assert set(revoked_keys(entries)) == {digest}
    assert admitted_digests(entries) == {"1" * 64}
    assert "still good  st-mary-1, line 2" in out
    assert "taken back  st-mary-2, line 3" in out
    assert "stolen" in desk.gdshare("list")[1]


def test_models_of_bundles_that_lost_their_admission_are_listed(desk: Desk, key: Path) -> None:
    digest = key_with_bundles(desk, key)
    with open_ledger(desk.ledger) as ledger:
        for number in (1, 2):
            why = trained_from(f"st-mary-{number}", f"{number}" * 64)
            ledger.write(NOW, "train", "a", f"round-{number}/model", "f" * 64, why)
    out = desk.gdshare("revoke", digest, "--why", "stolen", "--since", "st-mary-2")[1]
    assert "retrain or drop  round-2/model" in out
    assert "round-1/model" not in out


@pytest.mark.parametrize("why", ["", "  "])
def test_revocation_without_a_reason_is_refused(desk: Desk, key: Path, why: str) -> None:
    digest = key_with_bundles(desk, key)
    assert desk.gdshare("revoke", digest, "--why", why)[0] == 2
    assert revoked_keys(read_ledger(desk.ledger)) == {}


def test_revoked_key_is_not_called_trusted_when_it_is_brought_again(desk: Desk, key: Path) -> None:
    digest = key_with_bundles(desk, key)
    desk.gdshare("revoke", digest, "--why", "stolen")
    _, _, err = desk.gdshare("add", key, "--site", "st-mary", "--fingerprint", digest)
    assert "was revoked on" in err


def test_list_shows_the_last_reason_for_a_revocation(desk: Desk, key: Path) -> None:
    digest = key_with_bundles(desk, key)
    desk.gdshare("revoke", digest, "--why", "old laptop")
    desk.gdshare("revoke", digest, "--why", "it was stolen", "--since", "3")
    assert "from line 3 on: it was stolen" in desk.gdshare("list")[1]


def test_bundles_that_stay_admitted_are_listed(desk: Desk, key: Path) -> None:
    digest = key_with_bundles(desk, key)
    out = desk.gdshare("revoke", digest, "--why", "stolen")[1]
    assert [line.split(",")[0][12:] for line in out.splitlines()[1:]] == [
        "st-mary-1",
        "st-mary-2",
        "st-mary-3",
    ]


def test_since_may_be_given_later(desk: Desk, key: Path) -> None:
    digest = key_with_bundles(desk, key)
    desk.gdshare("revoke", digest, "--why", "stolen")
    assert desk.gdshare("revoke", digest, "--why", "in spring", "--since", "4")[0] == 0
    assert desk.gdshare("revoke", digest, "--why", "before", "--since", "st-mary-2")[0] == 0
    assert desk.gdshare("revoke", digest, "--why", "no", "--since", "4")[0] == 0
    assert admitted_digests(read_ledger(desk.ledger)) == {"1" * 64}, "the earliest counts"


@pytest.mark.parametrize("since", ["0", "5", "st-mary-4", "st-john-1", "-1", "st-mary", "٣"])
def test_since_a_line_or_bundle_that_does_not_exist_is_refused(
    desk: Desk, key: Path, since: str
) -> None:
    digest = key_with_bundles(desk, key)
    status, _, err = desk.gdshare("revoke", digest, "--why", "stolen", f"--since={since}")
    assert status == 2
    assert "admitted or withdrawn there or later" in err
    assert not revoked_keys(read_ledger(desk.ledger))


class Rotation:
    """A hospital's old key, its new one, and the request that the old one countersigned."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.old, self.new, self.desk = new_key(), new_key(), desk
        self.folder = folder

    def digest(self, key: ec.EllipticCurvePrivateKey) -> str:
        return fingerprint(key.public_key())

    def trust_old(self, site: str = "st-mary") -> None:
        path = self.folder / "old.pub"
        path.write_bytes(public_pem(self.old.public_key()))
        assert self.desk.add(path, site) == 0

    def add(self, typed: str) -> Ended:
        path = self.folder / "new.request"
        path.write_bytes(write_request("st-mary", self.new, NOW, self.old))
        return self.desk.gdshare("add", path, "--fingerprint", typed)


@pytest.fixture
def rotation(desk: Desk, tmp_path: Path) -> Rotation:
    return Rotation(desk, tmp_path)


def test_thief_of_an_old_key_cannot_bring_in_one_of_his_own(rotation: Rotation) -> None:
    """The hospital reads out the fingerprint of its own new key, or none."""
    rotation.trust_old()
    for typed in ("", rotation.digest(rotation.old), rotation.digest(new_key())):
        status, _, err = rotation.add(typed)
        assert status == 2
        assert "call the hospital" in err
    assert len(load_trust(rotation.desk.trust).keys) == 1


def test_voucher_of_a_trusted_key_is_reported(rotation: Rotation) -> None:
    rotation.trust_old()
    status, out, _ = rotation.add(rotation.digest(rotation.new))
    assert status == 0
    assert f"vouched for  by {rotation.digest(rotation.old)[:16]}, of st-mary, trusted until" in out


def test_voucher_of_an_unknown_key_is_reported(rotation: Rotation) -> None:
    assert "not on the trust list" in rotation.add(rotation.digest(rotation.new))[1]


def test_voucher_of_another_hospitals_key_is_reported(rotation: Rotation) -> None:
    rotation.trust_old("st-john")
    assert "which is st-john's" in rotation.add(rotation.digest(rotation.new))[1]


def test_voucher_of_a_revoked_key_is_reported(rotation: Rotation) -> None:
    rotation.trust_old()
    rotation.desk.gdshare("revoke", rotation.digest(rotation.old), "--why", "stolen")
    assert ": stolen" in rotation.add(rotation.digest(rotation.new))[1]


def test_rotation_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "a passphrase for the test")
    at_site("new", "--name", "st-mary", "--out", tmp_path)
    (tmp_path / "next.request").write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    rotate = ("keys", "rotate", tmp_path / "st-mary.key", "next", "--site", "st-mary")
    assert gdshare(*rotate).status == 2
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "next.request").read_bytes() == b"precious"


class Revocation:
    """A trusted key, and the file with which its holder revokes it."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.key, self.desk = new_key(), desk
        self.path = folder / "st-mary.revocation"
        (folder / "mary.pub").write_bytes(public_pem(self.key.public_key()))
        assert desk.add(folder / "mary.pub") == 0
        self.write(self.key)

    def write(self, key: ec.EllipticCurvePrivateKey, why: str = "the laptop is gone") -> None:
        self.path.write_bytes(write_revocation(key, why, NOW))

    def revoke(self, *words: str) -> Ended:
        return self.desk.gdshare("revoke", self.path, *words)

    def revoked(self) -> set[str]:
        return set(revoked_keys(read_ledger(self.desk.ledger)))


@pytest.fixture
def revocation(desk: Desk, tmp_path: Path) -> Revocation:
    return Revocation(desk, tmp_path)


def test_hospital_takes_its_key_back_by_a_file_of_its_own(revocation: Revocation) -> None:
    assert revocation.revoke()[0] == 0
    assert revocation.revoked() == {fingerprint(revocation.key.public_key())}
    assert revocation.desk.listed()[0]["why"] == "its holder says: the laptop is gone"


def test_operator_may_add_a_reason_of_his_own(revocation: Revocation) -> None:
    revocation.revoke("--why", "they called")
    why = "they called (its holder says: the laptop is gone)"
    assert revocation.desk.listed()[0]["why"] == why


def test_strangers_revocation_ends_no_key_of_the_hospital(revocation: Revocation) -> None:
    """A thief can at most revoke what he stole."""
    revocation.write(new_key())
    status, _, err = revocation.revoke()
    assert status == 2
    assert "0 keys" in err
    assert revocation.revoked() == set()


def test_forged_revocation_is_refused(revocation: Revocation) -> None:
    data = revocation.path.read_bytes()
    for at in range(0, len(data), 7):
        revocation.path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert revocation.revoke()[0] == 2, at
    revocation.path.write_bytes(write_request("st-mary", revocation.key, NOW))
    assert "is not a revocation" in revocation.revoke()[2]
    assert revocation.revoked() == set()


def test_revocation_whose_words_name_a_line_takes_no_admission_away(
    revocation: Revocation,
) -> None:
    revocation.write(revocation.key, "from line 1 on: stolen")
    assert revocation.revoke()[0] == 0
    assert disowned_lines(read_ledger(revocation.desk.ledger)) == ()


def test_fingerprint_alone_needs_a_reason(desk: Desk, key: Path) -> None:
    desk.add(key)
    assert "--why" in desk.gdshare("revoke", fingerprint(load_public_key(key)))[2]
    assert revoked_keys(read_ledger(desk.ledger)) == {}
