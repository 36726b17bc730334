"""A run's guarantee on its way out: taken from its record, demanded by a policy, never raised."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from audit_kit import write_attacks
from bundle_factory import CREATED, distilled, key, manifest, png, rich_manifest
from bundle_run_kit import PASSPHRASE, keep_score, make_run
from command_kit import gdshare
from desk_kit import Desk
from private_run_kit import ACCOUNTANT, give_guarantee

from gdshare.bundle import Manifest, build_files, verify_files
from gdshare.bundle.attacks import Attack
from gdshare.bundle.manifest import FORMAT_1_1, FORMAT_1_2
from gdshare.distill.run_folder import read_record, read_result, record_digest
from gdshare.distill.score_record import read_score, write_score
from gdshare.errors import PolicyError
from gdshare.ledger import MAX_TEXT, open_ledger, read_ledger
from gdshare.release import Policy, policy_digest, prepared_from
from gdshare.release.guarantee import guarantee_of, spent_by
from gdshare.release.policy import PrivacyRules, parse_policy, write_policy
from gdshare.release.prepared import prepare
from gdshare.release.publish import release
from gdshare.release.rules import broken_bounds, findings, require_allowed
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages
from gdshare.storage import write_json

DEMANDED = "[privacy]\nmax-epsilon = 8\nmax-delta = 1e-5\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Whose run was made under a guarantee, and whose policy demands one."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    give_guarantee(desk.folder / "run")
    desk.rule(1, ("officer", "head"), DEMANDED)
    return desk


def record(desk: Desk) -> Path:
    return desk.folder / "run" / "privacy.json"


def prepared_manifest(desk: Desk) -> Manifest:
    return Manifest.from_bytes((desk.prepared / "content" / "gdshare.json").read_bytes())


def test_guarantee_of_a_run_leaves_with_its_bundle_rounded_up(desk: Desk) -> None:
    assert desk.prepare().status == 0
    assert desk.approve().status == 0
    assert desk.release().status == 0
    path = desk.outbox / "st-mary-1"
    shown = gdshare("verify", path, "--key", desk.key("st-mary", "pub"), check=True)
    assert "st-mary states (ε 7.998, δ 1e-05)-differential privacy" in shown.out
    left = Manifest.from_bytes((path / "gdshare.json").read_bytes())
    assert left.format == FORMAT_1_2
    assert left.privacy is not None
    assert (left.privacy.epsilon, left.privacy.delta) == (7.998, 1e-5)
    assert left.privacy.accountant == "dp-accounting-pld/0.6.0"
    assert (left.counts.noisy, left.counts.patients_negative) == (True, 20)


def test_publish_in_a_single_step_states_it_too(desk: Desk) -> None:
    desk.rule(0, (), DEMANDED)
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    gdshare("publish", desk.folder / "run", *words, check=True)
    left = Manifest.from_bytes((desk.outbox / "st-mary-1" / "gdshare.json").read_bytes())
    assert left.privacy is not None


def test_run_without_a_guarantee_leaves_as_1_1(desk: Desk) -> None:
    shutil.rmtree(desk.folder / "run")
    make_run(desk.folder / "run")
    desk.rule(1, ("officer", "head"))
    desk.prepare()
    assert (prepared_manifest(desk).format, prepared_manifest(desk).privacy) == (FORMAT_1_1, None)


def test_approver_reads_the_guarantee_and_what_is_outside_of_it(desk: Desk) -> None:
    desk.prepare()
    for name in ("review.html", "review.txt"):
        page = (desk.prepared / name).read_text(encoding="utf-8")
        assert "(ε 7.998, δ 1e-05)-differential privacy of each training patient" in page
        assert "Outside the guarantee are: which patients were chosen" in page
        assert "ε 8 at most, δ 1e-05 at most" in page
        assert "about 20 (noisy)" in page
        assert "Receivers cannot check them" in page
        assert "surrogates drawn from the noisy statistic" in page
        assert "validation patients" not in page, "no patient was scored on"
        assert "as far as attacks have tested it" not in page


def test_figures_of_attacks_stay_inside_with_a_guarantee(desk: Desk) -> None:
    found = Attack(name="membership-loss/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (found,))
    desk.prepare()
    assert prepared_manifest(desk).attacks == ()
    page = (desk.prepared / "review.txt").read_text(encoding="utf-8")
    assert "not published: figures of attacks are read off patients" in page


def test_images_of_another_run_do_not_leave_under_a_guarantee(desk: Desk) -> None:
    """With the score that belongs to them: nothing else says that they are not this run's."""
    other = make_run(desk.folder / "other")
    own = read_result(other)
    moved = replace(own, images=own.images + np.float32(1))
    (other / "distilled.safetensors").write_bytes(moved.to_bytes())
    of_a_run(other)
    of_a_run(desk.folder / "run")
    assert desk.prepare("--dry-run").status == 0
    for name in ("distilled.safetensors", "score.json"):
        shutil.copyfile(other / name, desk.folder / "run" / name)
    ended = desk.prepare()
    assert ended.status == 2
    assert "run.json: the result is of another run than this" in ended.err
    assert not desk.prepared.exists()


def of_a_run(run: Path) -> None:
    """Its score, as distillation keeps it."""
    result = read_result(run)
    keep_score(run, result)
    score = read_score(run, result).model_copy(update={"run_sha256": record_digest(run)})
    write_score(run, score)


def damaged(path: Path) -> None:
    path.write_text("{}", encoding="utf-8")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def linked_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone"))


def lowered(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, values | {"epsilon_spent": 0.5, "epsilon": 0.5})


def of_another_run(path: Path) -> None:
    """With the same counts, so that its digest alone shows it."""
    other = make_run(path.parents[1] / "other")
    give_guarantee(other, spent=1.0)
    shutil.copyfile(other / "privacy.json", path)


@pytest.mark.parametrize(
    "change", [damaged, cut, Path.unlink, linked_nowhere, lowered, of_another_run]
)
def test_record_that_is_gone_damaged_changed_or_anothers_stops_the_release(
    desk: Desk, change
) -> None:
    change(record(desk))
    ended = desk.prepare()
    assert ended.status == 2
    assert "privacy.json" in ended.err
    assert not desk.prepared.exists()
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    desk.rule(0, ())
    assert gdshare("publish", desk.folder / "run", *words).status == 2
    assert not desk.outbox.exists()


def test_record_of_before_runs_named_it_is_known_by_its_counts(desk: Desk) -> None:
    run = desk.folder / "run"
    values = json.loads((run / "run.json").read_text(encoding="utf-8"))
    del values["privacy_sha256"]
    write_json(run / "run.json", values)
    stated = guarantee_of(run, read_record(run))
    assert stated is not None
    assert stated.epsilon == 7.998
    values["counts"]["patches_p"] += 1
    write_json(run / "run.json", values)
    assert desk.prepare().status == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"spent": 8.5},
        {"spent": 0.0},
        {"accountant": "my own"},
        {"accountant": f"{ACCOUNTANT} of patient Sato"},
    ],
)
def test_guarantee_that_a_bundle_cannot_state_is_refused_and_not_left_out(
    desk: Desk, changes
) -> None:
    give_guarantee(desk.folder / "run", **changes)
    assert desk.prepare().status == 2
    assert not desk.prepared.exists()


def test_other_neighbours_than_patients_are_refused(desk: Desk) -> None:
    run = desk.folder / "run"
    values = json.loads(record(desk).read_text(encoding="utf-8"))
    write_json(record(desk), values | {"adjacency": "one patch more or less"})
    named = json.loads((run / "run.json").read_text(encoding="utf-8"))
    del named["privacy_sha256"]
    write_json(run / "run.json", named)
    ended = desk.prepare()
    assert (ended.status, "no guarantee that this gdshare knows" in ended.err) == (2, True)


def test_prepared_bundle_whose_guarantee_was_raised_is_not_released(desk: Desk) -> None:
    """Though every file and page of it was made anew to fit."""
    desk.rule(0, (), DEMANDED)
    desk.prepare()
    run, told = desk.folder / "run", prepared_manifest(desk)
    assert told.privacy is not None
    stronger = told.model_copy(update={"privacy": told.privacy.model_copy(update={"epsilon": 0.5})})
    rules = desk.policy.read_bytes()
    shutil.rmtree(desk.prepared)
    result = read_result(run)
    score = read_score(run, result)
    forged = prepared_from(desk.prepared, stronger, result, score, None, render_preview)
    policy = parse_policy(rules, desk.policy)
    prepare(forged, lambda bundle: release_pages(bundle, policy))
    desk.refused("the ledger does not show that it was prepared")


def test_policy_that_demands_a_guarantee_lets_nothing_else_out(desk: Desk) -> None:
    shutil.rmtree(desk.folder / "run")
    make_run(desk.folder / "run")
    ended = desk.prepare()
    assert ended.status == 3
    assert "differential privacy: no guarantee; see gdshare distill --epsilon" in ended.out
    words = ("--key", desk.key("officer"), "--outbox", desk.outbox, "--by", "officer")
    despite = ("--digest", desk.shown()[:16], "--despite", "the board agreed")
    ended = gdshare("approve", desk.prepared, *words, *despite)
    assert ended.status == 3
    assert "gdshare approve --despite" not in ended.err, "nobody may override it"
    assert not (desk.prepared / "overrides").exists()
    assert desk.entries() == ["prepare"]
    assert "An approver may override it" not in (desk.prepared / "review.html").read_text()


@pytest.mark.parametrize(
    ("epsilon", "delta", "kept"),
    [
        (8.0, None, True),
        (7.998, 1e-5, True),
        (7.997, None, False),
        (8.0, 9e-6, False),
        (32.0, 1e-5, True),
    ],
)
def test_bounds_are_on_what_the_bundle_states(epsilon, delta, kept) -> None:
    policy = Policy(privacy=PrivacyRules(max_epsilon=epsilon, max_delta=delta))
    about = manifest(FORMAT_1_2)
    if kept:
        require_allowed(policy, about)
    else:
        for overridden in (False, True):
            with pytest.raises(PolicyError, match=r"ε 7\.998, δ 1e-05"):
                require_allowed(policy, about, overridden)
        assert broken_bounds(policy, about) == ()


def test_override_of_an_attacks_bound_does_not_cover_a_missing_guarantee() -> None:
    policy = Policy(attacks={"membership-loss/1": 0.5}, privacy=PrivacyRules(max_epsilon=8.0))
    assert len(broken_bounds(policy, rich_manifest())) == 1
    with pytest.raises(PolicyError, match="no guarantee"):
        require_allowed(policy, rich_manifest(), overridden=True)


def test_guarantee_is_shown_where_none_is_demanded_and_its_absence_is_not() -> None:
    subjects = [finding.what for finding in findings(Policy(), manifest(FORMAT_1_2))]
    assert subjects.count("differential privacy") == 1
    assert all(finding.what != "differential privacy" for finding in findings(Policy(), manifest()))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[privacy]\n", "max-epsilon"),
        ("[privacy]\nmax-delta = 1e-5\n", "max-epsilon"),
        ("[privacy]\nmax-epsilon = 0\n", "max-epsilon"),
        ("[privacy]\nmax-epsilon = 33\n", "max-epsilon"),
        ("[privacy]\nmax-epsilon = nan\n", "max-epsilon"),
        ("[privacy]\nmax-epsilon = '8'\n", "max-epsilon"),
        ("[privacy]\nmax-epsilon = 8\nmax-delta = 1.0\n", "max-delta"),
        ("[privacy]\nmax-epsilon = 8\nmax-delta = 0\n", "max-delta"),
        ("[privacy]\nmax-epsilon = 8\nmax-deltas = 1\n", "is max-delta meant"),
    ],
)
def test_rule_that_demands_nothing_or_cannot_be_met_is_refused(text, match) -> None:
    with pytest.raises(PolicyError, match=match):
        parse_policy(text.encode(), Path("p.toml"))


def test_policy_with_a_demand_is_written_as_it_is_read() -> None:
    for rules in (PrivacyRules(max_epsilon=8.0, max_delta=1e-5), PrivacyRules(max_epsilon=0.5)):
        policy = Policy(privacy=rules)
        assert parse_policy(write_policy(policy), Path("p.toml")) == policy
    assert b"privacy" not in write_policy(Policy())


@pytest.mark.parametrize(
    ("policy", "digest"),
    [
        (Policy(), "9b3c354eb1715149c750991ff9c3e5e4c39742ad5c78068238226eb29595f4a4"),
        (
            Policy(attacks={"membership-loss/1": 0.7}),
            "678b2fc995ffee298d5709dccc47fa933ebbfd95413406ed76569620b0232439",
        ),
    ],
)
def test_digest_of_a_policy_of_before_is_what_it_was(policy: Policy, digest: str) -> None:
    """Ledgers, approvals and signatures name policies by it."""
    assert policy_digest(policy) == digest
    demanding = policy.model_copy(update={"privacy": PrivacyRules(max_epsilon=8.0)})
    assert policy_digest(demanding) != digest


def test_ledger_keeps_what_was_spent_with_as_many_approvers_as_there_may_be(tmp_path: Path) -> None:
    about = manifest(FORMAT_1_2)
    files = build_files(about, distilled(about), png(), key())
    bundle = verify_files(files, key().public_key(), CREATED)
    with open_ledger(tmp_path / "ledger.jsonl") as ledger:
        moment = CREATED + timedelta(hours=1)
        release(bundle, files, tmp_path / "outbox", ledger, "a", moment, "x" * MAX_TEXT)
    [line] = read_ledger(tmp_path / "ledger.jsonl")
    spent = spent_by(line)
    assert spent is not None
    assert (spent.epsilon, spent.delta) == (7.998, 1e-5)
    assert spent_by(line.model_copy(update={"why": "by policy"})) is None
