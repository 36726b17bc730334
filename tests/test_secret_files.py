"""A key, passphrase, password or list of patients that others may read is refused."""

import os
from pathlib import Path

import pytest

from gdshare.cli.passphrase import read_passphrase
from gdshare.errors import GdshareError
from gdshare.secret_files import read_secret_line
from gdshare.signing import load_private_key, write_key_pair
from gdshare.store.identities import open_identities
from gdshare.store.pacs import read_password


def passphrase(path):
    read_passphrase(path, confirm=False)


def key(path):
    write_key_pair(path.parent, "k", b"a passphrase")[0].replace(path)
    path.chmod(0o644)
    load_private_key(path, b"a passphrase")


def identities(path):
    with open_identities(path, lambda: "x"):
        pass


READERS = [passphrase, key, identities, read_password]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_secret_that_others_may_read_or_change_is_refused(tmp_path, reader, mode):
    path = tmp_path / "secret"
    path.write_bytes(b"a secret\n")
    path.chmod(mode)
    with pytest.raises(GdshareError, match="chmod 600") as refused:
        reader(path)
    assert "a secret" not in str(refused.value)


@pytest.mark.parametrize("reader", [passphrase, identities, read_password])
@pytest.mark.parametrize(
    "make", [lambda path: os.mkfifo(path, 0o600), lambda path: path.symlink_to("/dev/zero")]
)
def test_pipe_or_device_in_a_secrets_place_is_refused_without_waiting(tmp_path, reader, make):
    make(tmp_path / "secret")
    with pytest.raises(GdshareError, match="not a plain file"):
        reader(tmp_path / "secret")


def test_huge_file_in_a_passphrases_place_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.touch(0o600)
    os.truncate(path, 2**40)
    with pytest.raises(GdshareError, match="larger than"):
        passphrase(path)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_line_end_of_a_secret_is_dropped_and_spaces_are_kept(tmp_path: Path, end):
    path = tmp_path / "secret"
    path.write_bytes(b" two words " + end)
    path.chmod(0o600)
    assert read_secret_line(path, 100) == b" two words "
