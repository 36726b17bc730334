"""``gdshare.toml``: which file counts, what may stand in it, and whose file is believed."""

import os
import stat
from pathlib import Path

import pytest

from gdshare.config import KEYS, Config, read_config, variable
from gdshare.config.file import CONFIG_VARIABLE, MAX_BYTES, NAME, read_values
from gdshare.config.owner import refuse_foreign
from gdshare.config.template import new_config
from gdshare.errors import UsageError

ME, STRANGER = 1000, 1001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


def write(folder: Path, text: str, name: str = NAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def fault_of(folder: Path) -> str:
    config = read_config({}, folder)
    assert config.values == {}
    return str(config.fault)


def test_nearest_file_upward_counts_and_its_paths_are_relative_to_it(tmp_path):
    write(tmp_path, 'outbox = "far"')
    near = write(tmp_path / "a", 'outbox = "out"\nledger = "/l"\nsites = 3\ninsecure = true')
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    config = read_config({}, below)
    assert config.path == near
    assert config.values == {
        "outbox": str(tmp_path / "a" / "out"),
        "ledger": "/l",
        "sites": 3,
        "insecure": True,
    }


def test_paths_stay_short_where_the_file_lies_in_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path, 'outbox = "out"')
    monkeypatch.chdir(tmp_path)
    assert read_config({}, Path()) == Config(Path(NAME), {"outbox": "out"})


def test_home_is_the_readers(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/officer")
    write(tmp_path, 'approver-key = "~/officer.key"')
    assert read_config({}, tmp_path).values == {"approver-key": "/home/officer/officer.key"}


def test_named_file_comes_before_the_nearest_and_an_empty_name_means_none(tmp_path):
    write(tmp_path, 'site = "near"')
    other = write(tmp_path, 'site = "named"', "other.toml")
    assert read_config({CONFIG_VARIABLE: str(other)}, tmp_path).values == {"site": "named"}
    assert read_config({CONFIG_VARIABLE: ""}, tmp_path) == Config(None, {})


def test_named_file_that_is_missing_is_a_fault(tmp_path):
    config = read_config({CONFIG_VARIABLE: str(tmp_path / "no.toml")}, tmp_path)
    assert "no.toml: cannot be read (No such file" in str(config.fault)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('outbxo = "x"', "outbxo: no such key; is outbox meant?; gdshare config show"),
        ('passphrase = "x"', "passphrase: no secret belongs into this file; take it out"),
        ('dicomweb-password = "x"', "dicomweb-password: no secret belongs"),
        ('sites = "3"', "sites: Input should be a valid integer; write it as in  sites = 3"),
        ("sites = 0", "sites: Input should be greater than or equal to 1"),
        ("insecure = 1", "insecure: Input should be a valid boolean"),
        ('site = "St Mary"', "site: String should match pattern"),
        ('outbox = ""', "outbox: String should have at least 1 character"),
        ('outbox = "a\\u001bb"', "outbox: it holds characters that cannot be seen"),
        (f'outbox = "{"a" * 4097}"', "outbox: String should have at most 4096"),
        ("[outbox]\na = 1", "outbox: Input should be a valid string"),
        ("outbox = [", "not readable TOML"),
        ("[[" * 20_000, "not readable TOML"),
        ("#" * (MAX_BYTES + 1), "too large for settings"),
    ],
)
def test_mistake_names_file_key_and_remedy(tmp_path, text, told):
    path = write(tmp_path, text)
    assert fault_of(tmp_path).startswith(f"{path}: {told}")


def test_text_that_is_not_utf_8_is_refused(tmp_path):
    write(tmp_path, "").write_bytes(b'outbox = "\xff"')
    assert "not readable TOML" in fault_of(tmp_path)


def test_link_is_not_followed_since_it_would_move_the_paths(tmp_path):
    own = write(tmp_path / "own", 'outbox = "outbox"')
    (tmp_path / NAME).symlink_to(own)
    assert "links are not followed" in fault_of(tmp_path)


def test_pipe_does_not_keep_its_reader_waiting(tmp_path):
    os.mkfifo(tmp_path / NAME)
    assert "not a plain file" in fault_of(tmp_path)


@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
def test_file_that_others_can_write_is_refused_unread(tmp_path, bit):
    path = write(tmp_path, "outbox = [")
    path.chmod(0o644 | bit)
    assert "other users can write it" in fault_of(tmp_path)
    assert "chmod go-w" in fault_of(tmp_path)


@as_root
def test_strangers_file_is_refused_unread(tmp_path):
    os.chown(write(tmp_path, "outbox = ["), STRANGER, -1)
    assert "belongs to another user" in fault_of(tmp_path)


@pytest.mark.parametrize(
    ("owner", "mode", "believed"),
    [
        (ME, 0o644, True),
        (ME, 0o600, True),
        (0, 0o644, True),
        (STRANGER, 0o600, False),
        (STRANGER, 0o644, False),
        (ME, 0o664, False),
        (ME, 0o646, False),
        (0, 0o664, False),
    ],
)
def test_file_is_believed_if_nobody_but_its_reader_or_root_can_write_it(owner, mode, believed):
    if believed:
        refuse_foreign(owner, mode, ME, NAME)
    else:
        with pytest.raises(UsageError, match=r"another user|other users"):
            refuse_foreign(owner, mode, ME, NAME)


@pytest.mark.parametrize("role", ["hospital", "aggregator"])
def test_new_file_can_be_read_and_names_every_key_of_its_role(tmp_path, role):
    path = tmp_path / NAME
    path.write_bytes(new_config(role, "st-mary"))
    path.chmod(0o644)
    values = read_values(path)
    assert values["site" if role == "hospital" else "name"] == "st-mary"
    text = path.read_text(encoding="utf-8")
    for key in KEYS.values():
        assert (f"{key.name} = " in text) == (key.role in (role, "both")), key.name
    uncommented = text.replace("\n# ", "\n").split("\n", 3)[3]
    path.write_text(uncommented, encoding="utf-8")
    assert set(read_values(path)) == {
        key.name for key in KEYS.values() if key.role in (role, "both")
    }


def test_every_key_has_a_variable_of_its_own():
    variables = [variable(name) for name in KEYS]
    assert len(set(variables)) == len(variables)
    assert variable("root-certificates") == "GDSHARE_ROOT_CERTIFICATES"
    assert CONFIG_VARIABLE not in variables
