"""Options that are not typed: from the environment, from ``gdshare.toml``, and told so."""

import json
import os
from pathlib import Path

import click
import pytest
import typer
from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import gdshare
from desk_kit import Desk

from gdshare.cli.defaults import key_of
from gdshare.cli.main import build_app
from gdshare.config import KEYS
from gdshare.config.file import NAME
from gdshare.signing import fingerprint, load_public_key


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory without a file, and the passphrase of all keys."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands():
    """Every command, those of groups too."""
    pending = [typer.main.get_command(build_app())]
    while pending:
        command = pending.pop()
        if isinstance(command, click.Group):
            pending += command.commands.values()
        else:
            yield command


def write(text: str, path: Path = Path(NAME)) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def desk_in(folder: Path) -> Desk:
    """A desk with a prepared bundle."""
    folder.mkdir()
    desk = Desk(folder)
    desk.prepare()
    return desk


def test_every_key_is_taken_by_a_command():
    taken = {key_of(parameter) for command in commands() for parameter in command.params}
    assert taken - {None} == set(KEYS)


def test_key_of_a_path_is_taken_by_paths_alone():
    for command in commands():
        for parameter in command.params:
            if (key := key_of(parameter)) is not None and KEYS[key].is_path:
                assert isinstance(parameter.type, click.Path), (command.name, parameter.name)


def test_hospital_walks_to_a_release_without_typing_a_path(here):
    audit_within_bounds(make_run(here / "run"))
    gdshare("config", "new", "--site", "st-mary", check=True)
    gdshare("keys", "new", "--name", "st-mary", check=True)
    gdshare("keys", "new", "--name", "officer", "--out", "officer-keys", check=True)
    gdshare("keys", "request", check=True)
    gdshare("policy", "new", "--approver", "officer-keys/officer.pub", check=True)
    gdshare("prepare", check=True)
    assert "Missing option '--key'" in gdshare("approve", "--digest", "0" * 16).err
    page = Path("prepared/review.html").read_text(encoding="utf-8")
    shown = page.split("Digest of all: <code>")[1][:16]
    ended = gdshare("approve", "--key", "officer-keys/officer.key", "--digest", shown, check=True)
    assert "from gdshare.toml: prepared prepared, outbox outbox\n" in ended.err
    assert gdshare("release", check=True).out.startswith("bundle       outbox/st-mary-1\n")
    assert "release" in gdshare("ledger", "show", check=True).out
    gdshare("withdraw", "st-mary-1", "--digest", shown, check=True)
    assert [path.name for path in Path("outbox").iterdir()] == ["st-mary-1.withdrawal"]


def test_command_line_comes_before_the_environment_and_that_before_the_file(monkeypatch):
    write('outbox = "filed"')
    assert "filed: nothing was prepared" in gdshare("release", "x", "--key", "k").err
    monkeypatch.setenv("GDSHARE_OUTBOX", "set")
    ended = gdshare("release", "x", "--key", "k")
    assert "from the environment: outbox set\n" in ended.err
    assert "set: nothing was prepared" in ended.err
    ended = gdshare("release", "x", "--key", "k", "--outbox", "typed")
    assert ended.err == "gdshare: typed: nothing was prepared for this outbox; check --outbox\n"


def test_of_several_processes_of_one_run_the_first_alone_says_what_it_took(monkeypatch):
    write('outbox = "filed"')
    for rank, times in {"0": 1, "1": 0}.items():
        monkeypatch.setenv("RANK", rank)
        assert gdshare("policy", "show", check=True).err.count("from gdshare.toml") == times


def test_named_file_is_taken_wherever_its_option_stands(here):
    write('outbox = "named"', here / "other.toml")
    for words in (
        ("--config-file", "other.toml", "policy", "show"),
        ("policy", "show", "--config-file=other.toml"),
    ):
        assert "from other.toml: outbox named\n" in gdshare(*words, check=True).err


def test_missing_option_says_which_line_would_give_it():
    ended = gdshare("policy", "show")
    assert ended.status == 2
    assert 'give it, or write  outbox = "outbox"  into gdshare.toml' in ended.err
    assert "see gdshare trust add --help" in gdshare("trust", "add", "x", "--trust", "t").err


def test_help_says_what_the_file_gives_and_where_it_lies():
    write('outbox = "outbox"')
    shown = gdshare("release", "--help", check=True).out
    assert "outbox, from gdshare.toml" in shown
    assert "GDSHARE_OUTBOX" in shown


@pytest.mark.parametrize("spoil", ["other users can write it", "no such key"])
def test_file_that_cannot_be_used_stops_who_would_take_from_it(here, spoil):
    desk = desk_in(here / "desk")
    path = write('outbox = "elsewhere"\n' + ("outbxo = 1" if spoil == "no such key" else ""))
    if spoil == "other users can write it":
        path.chmod(0o666)
    for words in (
        ("release", desk.prepared, "--key", desk.key("st-mary")),
        ("policy", "show"),
        ("distill", "cohort", "--out", "run"),  # it may name a device
    ):
        ended = gdshare(*words)
        assert ended.status == 2
        assert ended.err.startswith("gdshare: gdshare.toml: ")
        assert spoil in ended.err
    assert desk.approve().status == 0, "all of its options are typed"
    assert gdshare("approve", "--help").status == 0
    assert desk.entries() == ["prepare", "approve"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")
def test_another_users_file_cannot_have_a_bundle_released_elsewhere(here):
    desk = desk_in(here / "desk")
    desk.approve()
    os.chown(write(f'outbox = "{desk.outbox}"'), 12_345, -1)
    ended = gdshare("release", desk.prepared, "--key", desk.key("st-mary"))
    assert "belongs to another user" in ended.err
    assert not desk.outbox.exists()
    assert desk.release().status == 0


def test_config_new_overwrites_nothing_and_lets_no_group_write(here):
    here.chmod(0o2770)
    made = json.loads(gdshare("config", "new", "--name", "tokyo", "--json", check=True).out)
    assert made == {"written": NAME}
    assert Path(NAME).stat().st_mode & 0o777 == 0o644
    again = gdshare("config", "new", "--name", "tokyo")
    assert "gdshare.toml: already exists" in again.err
    assert "give --site" in gdshare("config", "new").err
    assert "is no short name" in gdshare("config", "new", "--site", "St Mary").err


def test_config_show_names_the_source_of_each_value(monkeypatch):
    assert "no gdshare.toml from here upward" in gdshare("config", "show", check=True).out
    write('outbox = "outbox"\nsite = "st-mary"')
    monkeypatch.setenv("GDSHARE_SITE", "st-luke")
    shown = json.loads(gdshare("config", "show", "--json", check=True).out)
    assert shown["file"] == NAME
    assert shown["keys"]["outbox"] == {"value": "outbox", "from": NAME}
    assert shown["keys"]["site"] == {"value": "st-luke", "from": "GDSHARE_SITE"}
    assert shown["keys"]["trust"] == {"value": None, "from": None}
    assert "st-luke" in gdshare("config", "show", check=True).out


def test_file_of_a_hospital_does_not_keep_the_page_from_being_served(here):
    write('store = "no-store"\ncohort = "cohort"')
    assert "--serve creates no cohort" not in gdshare("label", "--serve").err
    assert "--serve creates no cohort" in gdshare("label", "--serve", "--out", "x").err


def test_typed_cohort_of_an_audit_comes_before_the_files(here):
    write('run = "run"\ncohort = "cohort"')
    assert "no run here" in gdshare("audit").err
    assert "give the cohort" in gdshare("audit", "run", "other", "--cohort", "third").err
    assert "no run here" in gdshare("audit", "--cohort", "third").err


def test_listing_withdrawals_unlocks_no_key(here):
    write('trust = "trust"\nkey = "none.key"\nname = "tokyo"')
    assert gdshare("trust", "withdrawn", check=True).out.startswith("no model is known")


def test_fingerprint_of_an_approver_is_still_that_of_the_typed_file(here):
    gdshare("keys", "new", "--name", "officer", check=True)
    write('outbox = "outbox"\nsite = "st-mary"\nkey = "keys/st-mary.key"')
    made = gdshare("policy", "new", "--approver", "keys/officer.pub", "--json", check=True)
    named = json.loads(made.out)["policy"]["release"]["approvers"]
    assert named == [fingerprint(load_public_key(Path("keys/officer.pub")))]
