"""The bounds of a first policy: what they let pass and stop, and what they were chosen from."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from audit_kit import WITHIN_BOUNDS, attack_at, write_attacks
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk

from gdshare.audit import ATTACKS
from gdshare.audit.record import AuditRecord
from gdshare.distill.run_folder import read_result
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.release.policy import Policy, parse_policy, write_policy

ARCHIVE = Path(__file__).parents[2] / "studies" / "archive" / "attacks.json"
DEFAULT, CONVNET, REAL = ("soft",), ("fixed",), ("real",)
HEADS = ("soft", "hard", "real")
LEAKED = {"five patients": "sets distilled from 5 training patients alone", "copies": "windows of"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Its first policy is the one that gdshare policy new writes for an approver."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    desk.policy.unlink()
    for path in tmp_path.glob("outbox-ledger.jsonl*"):
        path.unlink()
    words = ("--outbox", desk.outbox, "--site", "st-mary")
    gdshare("policy", "new", *words, "--approver", desk.key("officer", "pub"), check=True)
    return desk


def audit(desk, *attacks):
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), attacks)


def with_figure(name, figure):
    over = attack_at(name, figure)
    return [over if own.name == name else own for own in WITHIN_BOUNDS]


def released(desk):
    desk.prepare()
    desk.approve()
    return desk.release()


def test_a_run_that_nobody_attacked_does_not_leave(desk):
    desk.prepare()
    assert "not tried, or its control did not fire; see gdshare audit" in desk.approve().err
    assert not desk.outbox.exists()


def test_what_the_bounds_just_let_pass_leaves(desk):
    audit(desk, *WITHIN_BOUNDS)
    assert not released(desk).status
    assert (desk.outbox / "st-mary-1" / "bundle.sig").exists()


@pytest.mark.parametrize("name", STANDARD_BOUNDS)
def test_a_figure_over_any_bound_stops_it(desk, name):
    audit(desk, *with_figure(name, STANDARD_BOUNDS[name].highest + 0.001))
    desk.prepare()
    ended = desk.approve()
    assert ended.status
    assert name in ended.err
    assert ("--despite" in ended.err) == (name != "identifiers/1")  # what is found stays


def test_the_file_has_the_figures_behind_each_bound(desk):
    text = desk.policy.read_text(encoding="utf-8")
    for name, own in STANDARD_BOUNDS.items():
        assert f'"{name}" = {own.highest}  # {own.behind}\n' in text
    assert set(tomllib.loads(text)["attacks"]) == set(STANDARD_BOUNDS) <= set(ATTACKS)


def test_the_guide_shows_the_bounds_as_the_command_writes_them(desk):
    guide = (ARCHIVE.parents[2] / "docs" / "guide-site.md").read_text(encoding="utf-8")
    lines = write_policy(parse_policy(desk.policy.read_bytes(), desk.policy)).decode().splitlines()
    bounds = [line for line in lines if line.startswith('"')]
    assert len(bounds) == len(STANDARD_BOUNDS)
    assert all(f"    {line}\n" in guide for line in bounds)


def test_a_bound_of_the_officers_own_has_no_figures_of_ours():
    policy = Policy(attacks={"membership-bundle/1": 0.6, "nearest-ratio/1": 0.1})
    text = write_policy(policy).decode()
    assert '"membership-bundle/1" = 0.6\n' in text
    assert '"nearest-ratio/1" = 0.1  # default runs' in text
    assert parse_policy(text.encode(), Path()) == policy


def test_without_approvers_nothing_is_bounded(desk):
    words = ("--outbox", desk.folder / "other", "--site", "st-mary", "--json")
    assert json.loads(gdshare("policy", "new", *words, check=True).out)["policy"]["attacks"] == {}


def test_a_guarantee_is_demanded_in_place_of_the_bounds(desk):
    words = ("--outbox", desk.folder / "other", "--site", "st-mary", "--max-epsilon", 8, "--json")
    approver = ("--approver", desk.key("officer", "pub"))
    policy = json.loads(gdshare("policy", "new", *words, *approver, check=True).out)["policy"]
    assert policy["attacks"] == {}
    assert policy["privacy"]["max-epsilon"] == 8.0
    assert "max-epsilon = 8.0" in (desk.folder / "other-policy.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("epsilon", ["0", "-1", "33", "nan", "inf"])
def test_no_such_guarantee_is_a_plain_error(desk, epsilon):
    words = ("--outbox", desk.folder / "other", "--site", "st-mary", f"--max-epsilon={epsilon}")
    ended = gdshare("policy", "new", *words)
    assert f"--max-epsilon {float(epsilon):g}: is no ε that a bundle may have" in ended.err
    assert not (desk.folder / "other-policy.toml").exists()


def test_a_guarantee_beside_a_policy_that_is_there_is_refused(desk):
    words = ("--outbox", desk.outbox, "--site", "st-mary", "--max-epsilon", 8)
    assert "the policy is read from a file" in gdshare("policy", "new", *words).err


def upper_ends(name, kinds):
    """Of an attack on the bundles of these kinds, and of their controls."""
    cells = json.loads(ARCHIVE.read_text(encoding="utf-8"))["cells"]
    audits = [
        AuditRecord.model_validate(cell["facts"]["audit"])
        for key, cell in cells.items()
        if key.startswith("audit-") and key.split("-")[-2] in kinds
    ]
    found = [own for audit in audits for own in audit.results if own.attack.name == name]
    assert found
    return [own.attack.high for own in found], [own.control.high for own in found]


def figures(name):
    return [float(own) for own in re.findall(r"\d+\.\d{3}", STANDARD_BOUNDS[name].behind)]


def test_default_runs_pass_every_bound():
    for name, own in STANDARD_BOUNDS.items():
        found, _ = upper_ends(name, (*DEFAULT, *CONVNET))
        assert max(found) <= own.highest


def test_default_runs_with_other_seeds_pass_too():
    cells = json.loads(ARCHIVE.read_text(encoding="utf-8"))["cells"]
    found = cells["repeats-shenzhen-a-soft-0"]["facts"]["found"]
    for name in set(found) & set(STANDARD_BOUNDS):
        assert len(found[name]) == 4
        assert max(high for _, _, high in found[name]) <= STANDARD_BOUNDS[name].highest
    assert "membership-bundle/1" in found


def test_what_leaks_on_purpose_is_stopped():
    for name, own in STANDARD_BOUNDS.items():
        _, controls = upper_ends(name, HEADS)
        assert min(controls) > own.highest
    found, _ = upper_ends("nearest-ratio/1", REAL)
    assert min(found) > STANDARD_BOUNDS["nearest-ratio/1"].highest


def test_the_figures_behind_the_bounds_stand_in_the_archive():
    membership, nearest = "membership-bundle/1", "nearest-ratio/1"
    found, _ = upper_ends(membership, DEFAULT)
    _, controls = upper_ends(membership, HEADS)
    assert figures(membership) == pytest.approx(
        [max(found), min(controls), max(controls)], abs=0.0006
    )
    by_kind = [max(upper_ends(nearest, kinds)[0]) for kinds in (DEFAULT, CONVNET)]
    real, _ = upper_ends(nearest, REAL)
    assert figures(nearest) == pytest.approx([*by_kind, min(real)], abs=0.0006)
