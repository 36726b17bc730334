"""``gdshare audit``: the attacks are printed and written to the run."""

import json
import shutil

import numpy as np
import pytest
from audit_kit import FIRED, attack_at, record_of
from bundle_factory import distilled
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.audit import AUDIT, audit_run, read_attacks
from gdshare.audit.figures import OneRun, Readback, Recognition, Result
from gdshare.audit.identifiers import Searched
from gdshare.audit.record import SIGNATURE, signer_of_audit
from gdshare.cli.audit import _remarks, print_audit, print_identifiers
from gdshare.cli.exit_status import INTERRUPTED
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import read_result
from gdshare.distilled import Distilled


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    distill(small_cohort(folder, 30, protocol=TINY), folder / "run", SETTINGS)
    return folder


@pytest.fixture(scope="module")
def printed(site):
    return gdshare("audit", site / "run", "--cohort", site / "cohort", check=True)


def test_attacks_are_printed_and_written_to_the_run(site, printed):
    assert "nearest-patch/1" in printed.out
    assert str(site / "run" / "audit.json") in printed.out
    assert "\r" not in printed.err  # no progress bar in a pipe


def test_attack_whose_control_did_not_fire_is_printed_as_such(site, printed):
    """Twelve steps from films that are alike teach nothing that could be recognised."""
    written = json.loads((site / "run" / AUDIT).read_text(encoding="utf-8"))
    [loss] = [own for own in written["results"] if own["attack"]["name"] == "membership-loss/1"]
    assert loss["control"]["low"] <= 0.5
    assert "membership-loss/1: its control did not fire" in printed.out
    counted = {attack.name for attack in read_attacks(site / "run", read_result(site / "run"))}
    assert "membership-loss/1" not in counted
    assert "nearest-patch/1" in counted


def test_attacks_that_quick_leaves_out_are_printed_with_why(printed):
    assert "membership-lira/1: not tried; shadow distillations" in printed.out
    assert "use --full" in printed.out


def test_everything_is_available_as_json(site):
    run = gdshare("audit", site / "run", "--cohort", site / "cohort", "--json")
    assert run.status == 0
    record = json.loads(run.out)
    written = json.loads((site / "run" / AUDIT).read_text(encoding="utf-8"))
    counted = record.pop("attacks")
    assert record == written
    assert {"name", "figure", "low", "high", "unrelated"} == set(counted[0])
    names = {result["attack"]["name"] for result in record["results"]}
    assert {attack["name"] for attack in counted} <= names


def test_audit_is_signed_by_whoever_made_it(site, tmp_path, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    gdshare("keys", "new", "--name", "auditor", "--out", tmp_path, check=True)
    shutil.copytree(site / "run", tmp_path / "run")
    key = ("--key", tmp_path / "auditor.key")
    run = gdshare("audit", tmp_path / "run", "--cohort", site / "cohort", *key, check=True)
    shown = gdshare("keys", "show", tmp_path / "auditor.pub", check=True).out
    assert (tmp_path / "run" / SIGNATURE).exists()
    signer = signer_of_audit(tmp_path / "run", read_result(tmp_path / "run"))
    assert signer in shown.replace(" ", "").replace("\n", "")
    assert f"signed with the key {signer}" in run.out


def test_interrupted_audit_says_that_the_same_command_goes_on(site, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_run, "audit_run", interrupted)
    run = gdshare("audit", site / "run", "--cohort", site / "cohort", "--full")
    assert run.status == INTERRUPTED
    assert "the same command goes on where it was" in run.err


def test_wrong_table_of_names_is_refused_before_anything_is_attacked(site, tmp_path, monkeypatch):
    """Not after the minutes that the attacks take."""

    def attacked(*_words, **_options):
        raise AssertionError("the attacks began")

    monkeypatch.setattr("gdshare.audit.audit_run.attack_run", attacked)
    words = ("audit", site / "run", "--cohort", site / "cohort", "--known")
    ended = gdshare(*words, tmp_path / "nowhere.csv")
    assert ended.status == 2
    assert "nowhere.csv: cannot be read as a table" in ended.err


def test_unfinished_run_is_refused(site, tmp_path):
    run = gdshare("audit", tmp_path, "--cohort", site / "cohort")
    assert run.status == 2
    assert run.err.count("\n") == 1


def test_what_each_control_was_made_on_is_printed(capsys):
    first = Recognition(
        kinds=("glyph",), patients=1, planted=6, absent=8, auc=0.6, low=0.4, high=0.8
    )
    readback = Readback(canaries="list", sets=3, nulls=8, single=(first,), few=first)
    attack = attack_at("reconstruction-networks/1", 0.5)
    result = Result(attack=attack, control=FIRED, readback=readback)
    own = record_of(distilled(), (attack_at("nearest-patch/1", 0.2),))
    print_audit(own.model_copy(update={"results": (*own.results, result)}))
    shown = capsys.readouterr().out
    assert "control of nearest-patch/1, reconstruction-networks/1: a leak\n" in shown
    second = "reconstruction-networks/1: its control is a second one; on sets of five patients all"
    assert f"{second} of whom carry a canary it found 0.600 (0.400 to 0.800), too little" in shown


def test_name_that_was_found_is_shown_and_not_logged(capsys, caplog):
    found = {"Quokka^Anna": "README.md, hex"}
    with caplog.at_level("DEBUG"):
        print_identifiers(Searched(known=1, short=2, found=found, blind=(), planted=21))
    assert "WARNING: Quokka^Anna stands in what would leave: README.md, hex" in (
        capsys.readouterr().out
    )
    assert "Quokka" not in caplog.text


def test_lower_bound_on_epsilon_is_not_rounded_up():
    images = np.zeros((3, 1, 8, 8), np.float32)
    result = Distilled(images, np.eye(3, dtype=np.float32), np.full(1, 0.05, np.float32))
    bound = OneRun(runs=8, guesses=64, right=54, epsilon=1.089)
    [said] = [line for line in _remarks(record_of(result, (), one_run=bound)) if "ε" in line]
    assert "for any ε below 1.08 (" in said
