"""Every command that changes something says what it did as JSON, and what comes next to people."""

import json
import os

import click
import pytest
import typer
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import gdshare

from gdshare.cli.main import build_app
from gdshare.cli.terminal import print_facts
from gdshare.next_steps import Command, Word

VERIFY = Command("verify", (Word("a"),))
ONLY_SHOW = {"node"}
"""Runs until it is stopped, and says nothing on stdout."""


def commands():
    """Every command with its words, groups resolved."""
    root = typer.main.get_command(build_app())
    for name, command in root.commands.items():
        if isinstance(command, click.Group):
            yield from (((name, inner), part) for inner, part in command.commands.items())
        else:
            yield (name,), command


@pytest.mark.parametrize(("words", "command"), [*commands()], ids=lambda part: str(part)[:40])
def test_command_takes_json(words, command):
    if words[0] in ONLY_SHOW:
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    make_run(tmp_path / "run")
    return tmp_path


def told(*words):
    ended = gdshare(*words, "--json", check=True)
    return json.loads(ended.out)


def test_a_hospitals_walk_in_json(place):
    key, outbox = place / "keys" / "st-mary.key", place / "outbox"
    made = told("keys", "new", "--name", "st-mary", "--out", place / "keys")
    assert made == {
        "private_key": str(key),
        "public_key": str(key.with_suffix(".pub")),
        "fingerprint": made["fingerprint"],
    }
    asked = told("keys", "request", key, "--site", "st-mary")
    assert asked["request"] == str(key.with_suffix(".request"))
    assert asked["to_say"].replace(" ", "") == asked["fingerprint"] == made["fingerprint"]
    words = ("--out", place / "prepared", "--outbox", outbox)
    prepared = told("prepare", place / "run", *words, "--site", "st-mary")
    assert (prepared["at_chance"], prepared["not_kept"]) == (False, [])
    sign = ("--key", key, "--outbox", outbox)
    tried = told("release", place / "prepared", *sign, "--dry-run")
    assert tried == {"would_release": "st-mary-1", "digest": prepared["digest"]}
    released = told("release", place / "prepared", *sign)
    assert released["bundle"] == str(outbox / "st-mary-1")
    assert released["signed_with"] == made["fingerprint"]
    gone = told("withdraw", "st-mary-1", *sign, "--digest", released["digest"])
    assert gone["withdrawn"] == "st-mary-1"
    assert gone["first_on"] is None


def test_people_are_told_what_comes_next(place, monkeypatch):
    monkeypatch.chdir(place)
    key, outbox = os.path.join("keys", "st-mary.key"), "outbox"  # noqa: PTH118 - as typed
    shown = gdshare("keys", "new", "--name", "st-mary", "--out", "keys", check=True).out
    assert shown.endswith(f"gdshare keys request {key} --site SITE\n")
    words = ("--out", "prepared", "--outbox", outbox, "--site", "st-mary")
    shown = gdshare("prepare", "run", *words, check=True).out
    assert "go on with  gdshare release prepared --outbox outbox --key SITE.key\n" in shown
    shown = gdshare("release", "prepared", "--key", key, "--outbox", outbox, check=True).out
    assert "go on with   gdshare node node.toml --superlink HOST:PORT\n" in shown


def test_facts_are_aligned_and_a_missing_one_is_left_out(capsys):
    print_facts({"bundle": "a", "signed with (key)": "b", "why": None}, False, VERIFY)
    assert capsys.readouterr().out.splitlines() == [
        "bundle             a",
        "signed with (key)  b",
        "go on with         gdshare verify a",
    ]
    print_facts({"signed with (key)": "b", "why": None}, True, VERIFY)
    assert json.loads(capsys.readouterr().out) == {"signed_with": "b", "why": None}


def test_cohort_of_an_audit_is_positional_and_its_old_option_still_works(tmp_path):
    for words in (("run", "cohort"), ("run", "--cohort", "cohort")):
        assert "run: no run here" in gdshare("audit", *words).err
    assert "give the cohort" in gdshare("audit", "run").err
    assert "give the cohort" in gdshare("audit", "run", "cohort", "--cohort", "other").err
    assert "--cohort" not in gdshare("audit", "--help").out
