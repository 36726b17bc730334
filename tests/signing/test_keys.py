"""Signing keys: made private, kept private, and nothing else taken for one."""

import stat

import pytest
from bundle_factory import NOW, distilled, manifest, png
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gdshare.bundle import build_files, verify_files
from gdshare.errors import KeyFileError
from gdshare.signing import fingerprint, load_private_key, load_public_key, new_key, write_key_pair

PASSPHRASE = b"a long sentence"


@pytest.fixture
def pair(tmp_path):
    return write_key_pair(tmp_path / "keys", "st-mary", PASSPHRASE)


def private_file(path, key, encryption=None):
    encryption = encryption or BestAvailableEncryption(PASSPHRASE)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    return path


def test_a_pair_belongs_together(pair):
    private, public = pair
    key = load_private_key(private, PASSPHRASE)
    assert fingerprint(key.public_key()) == fingerprint(load_public_key(public))


def test_the_private_key_is_encrypted_and_its_owner_s_alone(pair):
    assert b"ENCRYPTED PRIVATE KEY" in pair[0].read_bytes()
    assert stat.S_IMODE(pair[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(pair[0].parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("passphrase", [b"", bytes(1001)])
def test_an_empty_or_endless_passphrase_is_refused(tmp_path, passphrase):
    with pytest.raises(KeyFileError, match="passphrase"):
        write_key_pair(tmp_path, "a", passphrase)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "a\0", "x" * 40])
def test_a_name_that_cannot_be_a_file_is_refused(tmp_path, name):
    with pytest.raises(KeyFileError, match="name"):
        write_key_pair(tmp_path, name, PASSPHRASE)


@pytest.mark.parametrize("which", ["a.key", "a.pub"])
def test_a_key_is_never_overwritten(tmp_path, which):
    (tmp_path / which).write_bytes(b"precious")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_pair(tmp_path, "a", PASSPHRASE)
    assert [p.name for p in tmp_path.iterdir()] == [which]
    assert (tmp_path / which).read_bytes() == b"precious"


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_pair(tmp_path, "a", PASSPHRASE)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileError):
        write_key_pair(tmp_path / "file" / "keys", "a", PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_private_key_that_others_can_read_is_refused(pair, mode):
    pair[0].chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_private_key(pair[0], PASSPHRASE)


def test_a_wrong_passphrase_is_told(pair):
    with pytest.raises(KeyFileError, match="passphrase"):
        load_private_key(pair[0], b"wrong")


def test_an_unencrypted_key_is_refused(tmp_path):
    path = private_file(tmp_path / "a.key", new_key(), NoEncryption())
    with pytest.raises(KeyFileError, match="not encrypted"):
        load_private_key(path, PASSPHRASE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
)
def test_another_kind_of_key_is_refused(tmp_path, make):
    key = make()
    with pytest.raises(KeyFileError, match="kind of key"):
        load_private_key(private_file(tmp_path / "a.key", key), PASSPHRASE)
    public = tmp_path / "a.pub"
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(KeyFileError, match="P-256"):
        load_public_key(public)


def test_a_private_key_is_not_taken_for_a_public_one(pair):
    with pytest.raises(KeyFileError, match="public key"):
        load_public_key(pair[0])


def test_a_public_key_is_not_taken_for_a_private_one(pair):
    pair[1].chmod(0o600)
    with pytest.raises(KeyFileError):
        load_private_key(pair[1], PASSPHRASE)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PUBLIC KEY-----\n", bytes(20_000), b"\xff" * 99]
)
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "a.pub"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        load_public_key(path)
    with pytest.raises(KeyFileError):
        load_private_key(path, PASSPHRASE)


def test_a_missing_key_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_public_key(tmp_path / "none.pub")
    with pytest.raises(KeyFileError):
        load_public_key(tmp_path)


class Module:
    """A key that somebody else keeps, such as a PKCS #11 module: it signs and does not come out."""

    def __init__(self, kept):
        self._kept = kept

    def public_key(self):
        return self._kept.public_key()

    def sign(self, data, algorithm):
        return self._kept.sign(data, ec.ECDSA(algorithm.algorithm))  # draws its nonce


def test_key_that_signs_elsewhere_needs_two_methods():
    """What docs/bundle-format.md says of hardware keys."""
    kept = new_key()
    files = build_files(manifest(), distilled(), png(), Module(kept))
    assert verify_files(files, kept.public_key(), NOW).manifest == manifest()
