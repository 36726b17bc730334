"""A sealed bundle: opened by one key, and refused in one sentence whatever was done to it."""

import struct
from functools import cache
from pathlib import Path

import pytest
from bundle_factory import NOW, key, manifest, sound, with_file
from command_kit import gdshare
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gdshare.bundle import read_folder, read_sealed, seal, unseal, verify_files, write_bundle
from gdshare.bundle.errors import (
    BrokenSeal,
    CutShort,
    NotAPlainFile,
    NotSealed,
    PassedOff,
    SealedForAnother,
    TrailingBytes,
)
from gdshare.bundle.layout import BOUNDS
from gdshare.bundle.sealed import MAX_BYTES
from gdshare.errors import BundleError, KeyFileError
from gdshare.signing import (
    fingerprint,
    load_private_key,
    load_public_key,
    load_sealing_key,
    load_sealing_public_key,
    new_sealing_key,
    write_key_pair,
    write_sealing_pair,
)
from gdshare.signing.errors import Oversized

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
PHRASE = b"a passphrase for the test"
SMALL = "README.md"


@cache
def reader():
    return new_sealing_key()


@cache
def sealed():
    return seal(sound(), reader().public_key())


def body_at():
    return sealed().index(b"\n\n") + 2


def sealed_by_a_stranger(content, site="st-mary", digest=None, to=None):
    """What anybody can make who knows the public key; spelled out from docs/bundle-format.md."""
    told = digest or verify_files(sound(), key().public_key(), NOW).digest
    head = (
        f"gdshare-sealed/0.1\nto {fingerprint(reader().public_key())}\nsite {site}\n"
        f"digest {told}\nlength {len(content) + 48}\n\n"
    ).encode()
    return head + SUITE.encrypt(content, to or reader().public_key(), info=head)


def packed(files):
    return b"".join(struct.pack(">I", len(files[name])) + files[name] for name in sorted(files))


def refused(data, error, match=None):
    with pytest.raises(error, match=match) as caught:
        unseal(data, reader())
    assert type(caught.value) is error
    assert len(str(caught.value)) < 400


def test_what_was_sealed_is_opened_by_its_reader():
    assert unseal(sealed(), reader()) == sound()


def test_sealed_bundle_is_what_the_format_page_says():
    assert unseal(sealed_by_a_stranger(packed(sound())), reader()) == sound()
    head, body = sealed()[: body_at()], sealed()[body_at() :]
    assert head.split(b"\n")[4] == b"length %d" % len(body)
    assert SUITE.decrypt(body, reader(), info=head) == packed(sound())


def test_courier_reads_nothing_of_the_bundle():
    for content in sound().values():
        for at in range(0, len(content) - 16, 16):
            assert content[at : at + 16] not in sealed()[body_at() :]


def test_same_bundle_sealed_twice_is_not_the_same_file():
    assert seal(sound(), reader().public_key())[body_at() :] != sealed()[body_at() :]


def test_another_key_does_not_open_it():
    other = new_sealing_key()
    with pytest.raises(SealedForAnother, match=fingerprint(other.public_key())[:16]):
        unseal(sealed(), other)
    renamed = sealed().replace(
        fingerprint(reader().public_key()).encode(), fingerprint(other.public_key()).encode()
    )
    with pytest.raises(BrokenSeal):
        unseal(renamed, other)


def test_truncated_seal_is_refused():
    refused(sealed()[:-1], CutShort, "of [0-9]+ bytes")
    refused(sealed()[: body_at()], CutShort)
    refused(sealed()[: body_at() - 1], NotSealed)
    refused(b"", NotSealed)


def test_trailing_bytes_are_refused():
    refused(sealed() + b"\0", TrailingBytes, "1 bytes follow")
    refused(sealed_by_a_stranger(packed(sound()) + b"\0"), TrailingBytes, "after the last file")


@pytest.mark.parametrize("bit", [0x01, 0x80])  # X25519 passes over the highest bit of its key
@pytest.mark.parametrize("at", [0, 31, 32, 100, -17, -16, -1])
def test_altered_seal_is_refused(at, bit):
    where = body_at() + at if at >= 0 else len(sealed()) + at
    flipped = bytes([sealed()[where] ^ bit])
    refused(sealed()[:where] + flipped + sealed()[where + 1 :], BrokenSeal)


def test_seal_under_other_first_lines_is_refused():
    refused(sealed().replace(b"site st-mary\n", b"site st-john\n"), BrokenSeal)
    at = sealed().index(b"\ndigest ") + len(b"\ndigest ")
    digit = b"1" if sealed()[at : at + 1] != b"1" else b"2"
    refused(sealed()[:at] + digit + sealed()[at + 1 :], BrokenSeal)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        (b"sealed/0.1", b"sealed/0.2"),
        (b"site st-mary", b"site ../../x"),
        (b"site st-mary", b"site " + b"x" * 33),
        (b"\nlength ", b"\nlength 0"),
        (b"\nlength ", b"\nlength 9999999999"),
        (b"\nsite", b"\r\nsite"),
    ],
)
def test_first_lines_of_another_form_are_refused(line, other):
    refused(sealed().replace(line, other, 1), NotSealed)


def test_sealed_bundle_is_not_passed_off_as_anothers():
    refused(sealed_by_a_stranger(packed(sound()), site="st-john"), PassedOff, "bundle of st-mary")
    refused(sealed_by_a_stranger(packed(sound()), digest="0" * 64), PassedOff)


def test_length_beyond_a_files_bound_is_refused_before_it_is_read():
    at = 0
    for name in sorted(BOUNDS):
        content = packed(sound())[:at] + struct.pack(">I", BOUNDS[name] + 1)
        refused(sealed_by_a_stranger(content), Oversized, name)
        at += 4 + len(sound()[name])


def test_content_that_ends_within_a_file_is_refused():
    content = packed(sound())
    for cut in (0, 3, 4, 10, len(content) - 1):
        refused(sealed_by_a_stranger(content[:cut]), CutShort)


def test_file_beyond_every_bound_is_refused_unread(tmp_path):
    refused(bytes(MAX_BYTES + 1), Oversized)
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(Oversized):
        read_sealed(big)


def test_largest_bundle_fits():
    assert sum(BOUNDS.values()) < MAX_BYTES


def test_what_is_no_plain_file_is_refused(tmp_path):
    with pytest.raises(BundleError):
        read_sealed(tmp_path)
    with pytest.raises(BundleError):
        read_sealed(tmp_path / "none")
    with pytest.raises(NotAPlainFile):
        read_sealed(Path("/dev/null"))


def test_damaged_bundle_is_not_sealed():
    with pytest.raises(BundleError):
        seal({**sound(), SMALL: b"something else"}, reader().public_key())
    with pytest.raises(BundleError):
        seal({**sound(), "more": b""}, reader().public_key())
    with pytest.raises(BundleError):
        seal({name: sound()[name] for name in sorted(sound())[1:]}, reader().public_key())


QUICK = settings(max_examples=300, deadline=None, database=None, derandomize=True)


@QUICK
@given(at=st.integers(0, 600), piece=st.binary(max_size=9), length=st.integers(0, 40))
@example(at=10**6, piece=b"x", length=0)
def test_damaged_seal_is_refused_and_nothing_else(at, piece, length):
    damaged = sealed()[:at] + piece + sealed()[at + length :]
    if damaged != sealed():
        with pytest.raises(BundleError):
            unseal(damaged, reader())


@QUICK
@given(at=st.integers(0, 40_000), piece=st.binary(max_size=9), length=st.integers(0, 9))
def test_whatever_a_stranger_seals_is_refused_and_nothing_else(at, piece, length):
    content = packed(sound())
    damaged = content[:at] + piece + content[at + length :]
    if damaged != content:
        with pytest.raises(BundleError):
            unseal(sealed_by_a_stranger(damaged), reader())


@QUICK
@given(content=st.binary(max_size=60))
def test_rubbish_that_a_stranger_seals_is_refused(content):
    with pytest.raises(BundleError):
        unseal(sealed_by_a_stranger(content), reader())


# Keys of two kinds.


@pytest.fixture
def pairs(tmp_path):
    return (
        write_key_pair(tmp_path / "keys", "tokyo", PHRASE),
        write_sealing_pair(tmp_path / "keys", "tokyo", PHRASE),
    )


def test_sealing_pair_belongs_together_and_lies_apart(pairs):
    private, public = pairs[1]
    assert (private.name, public.name) == ("tokyo.seal.key", "tokyo.seal.pub")
    assert private.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in private.read_bytes()
    data = seal(sound(), load_sealing_public_key(public))
    assert unseal(data, load_sealing_key(private, PHRASE)) == sound()


def test_sealing_key_is_refused_where_one_that_signs_is_wanted(pairs):
    private, public = pairs[1]
    with pytest.raises(KeyFileError, match="signs nothing"):
        load_private_key(private, PHRASE)
    with pytest.raises(KeyFileError, match="no signature can be checked"):
        load_public_key(public)


def test_signing_key_is_refused_where_one_that_opens_is_wanted(pairs):
    private, public = pairs[0]
    with pytest.raises(KeyFileError, match="opens nothing"):
        load_sealing_key(private, PHRASE)
    with pytest.raises(KeyFileError, match="nothing can be sealed to it"):
        load_sealing_public_key(public)


def test_sealing_key_that_others_can_read_is_refused(pairs):
    pairs[1][0].chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_sealing_key(pairs[1][0], PHRASE)


# The commands.


@pytest.fixture
def courier(tmp_path, monkeypatch):
    """A folder with a released bundle and the aggregator's sealing key."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PHRASE.decode())
    write_bundle(tmp_path / "outbox", sound())
    gdshare("keys", "new", "--name", "tokyo", "--sealing", "--out", tmp_path / "keys", check=True)
    return tmp_path


def sent(place):
    bundle, to = place / "outbox" / manifest().name, place / "keys" / "tokyo.seal.pub"
    return gdshare("seal", bundle, "--to", to, "--out", place / "sent")


def opened(place):
    secret = place / "keys" / "tokyo.seal.key"
    return gdshare("unseal", place / "sent", "--key", secret, "--out", place / "in")


def test_bundle_goes_by_courier(courier):
    assert sent(courier).status == 0
    assert opened(courier).status == 0
    assert [path.name for path in (courier / "in").iterdir()] == ["st-mary-1"]
    assert read_folder(courier / "in" / "st-mary-1") == sound()


def test_nothing_is_overwritten_by_the_commands(courier):
    assert sent(courier).status == opened(courier).status == 0
    assert sent(courier).status == 2
    status, _, err = opened(courier)
    assert status == 2
    assert "contains a bundle of that site and number" in err


def test_nothing_lies_in_the_folder_after_a_refusal(courier):
    sent(courier)
    (courier / "sent").write_bytes((courier / "sent").read_bytes()[:-1])
    status, _, err = opened(courier)
    assert status == 3
    assert "ends after" in err
    assert not (courier / "in").exists()


def test_fingerprint_of_a_sealing_key_can_be_read_out(courier):
    shown = gdshare("keys", "show", courier / "keys" / "tokyo.seal.pub", check=True).out
    known = fingerprint(load_sealing_public_key(courier / "keys" / "tokyo.seal.pub"))
    assert known in shown


def test_oversized_file_inside_is_refused_like_any_bundles():
    big = with_file(SMALL, bytes(BOUNDS[SMALL] + 1))
    refused(sealed_by_a_stranger(packed(big)), Oversized)
