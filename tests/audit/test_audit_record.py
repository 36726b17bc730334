"""``audit.json``: about this result, with known attacks, and signed by whoever made it."""

import json

import numpy as np
import pytest
from audit_kit import FIRED, SILENT, record_of, write_attacks

from gdshare.audit import ATTACKS, AUDIT, read_attacks, read_audit, write_audit
from gdshare.audit.record import SIGNATURE, signer_of_audit
from gdshare.bundle.attacks import Attack
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.signing.keys import fingerprint, new_key
from gdshare.signing.statement import sign_statement, verify_statement

LOSS = Attack(name="membership-loss/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5)


def distilled(seed=0):
    images = np.random.default_rng(seed).normal(size=(3, 1, 8, 8)).astype(np.float32)
    return Distilled(images, np.eye(3, dtype=np.float32), np.full(1, 0.05, np.float32))


def test_record_of_another_result_is_refused(tmp_path):
    assert read_attacks(tmp_path, distilled()) == ()
    write_attacks(tmp_path, distilled(), (LOSS,))
    assert read_attacks(tmp_path, distilled()) == (LOSS,)
    with pytest.raises(RunError, match="another result"):
        read_attacks(tmp_path, distilled(1))


def test_attack_whose_control_did_not_fire_is_kept_and_does_not_count(tmp_path):
    write_attacks(tmp_path, distilled(), (LOSS,), SILENT)
    assert read_attacks(tmp_path, distilled()) == ()
    [result] = read_audit(tmp_path, distilled()).results
    assert result.attack == LOSS
    assert not result.counts


def test_what_an_attack_finds_counts_although_it_missed_its_control(tmp_path):
    """Else a name that was found would leave, because another way of hiding it was overlooked."""
    found = Attack(name="membership-loss/1", figure=0.8, low=0.7, high=0.9, unrelated=0.5)
    name = Attack(name="identifiers/1", figure=0.5, low=0.5, high=0.5, unrelated=0.0)
    write_attacks(tmp_path, distilled(), (name, found), SILENT)
    counted = read_attacks(tmp_path, distilled())
    assert [own.name for own in counted] == [name.name, found.name]
    assert [(own.figure, own.low) for own in counted] == [(0.5, 0.5), (0.8, 0.7)]
    assert {own.high for own in counted} == {1.0}, "so no bound of a policy is kept by it"
    assert read_audit(tmp_path, distilled()).blind == ()


@pytest.mark.parametrize(("low", "fired"), [(0.51, True), (0.5, False), (0.3, False)])
def test_control_fires_if_its_whole_interval_lies_above_chance(low, fired):
    assert FIRED.model_copy(update={"low": low}).fired is fired


def test_audit_without_controls_counts_for_what_it_found_alone(tmp_path):
    """Of before there were controls: nobody knows whether its attacks would have seen a leak."""
    found = Attack(name="nearest-patch/1", figure=0.9, low=0.8, high=1.0, unrelated=0.2)
    old = {
        "format": "gdshare-audit/1",
        "tensors_sha256": tensors_digest(distilled()),
        "attacks": [LOSS.model_dump(), found.model_dump()],
    }
    (tmp_path / AUDIT).write_text(json.dumps(old), encoding="utf-8")
    assert read_attacks(tmp_path, distilled()) == (found.model_copy(update={"high": 1.0}),)
    assert read_audit(tmp_path, distilled()).blind == (LOSS.name,)


@pytest.mark.parametrize("control", [FIRED, SILENT])
def test_record_of_an_unknown_attack_is_refused(tmp_path, control):
    attack = Attack(name="doe-john/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5)
    write_attacks(tmp_path, distilled(), (attack,), control)
    with pytest.raises(RunError, match="names an unknown attack"):
        read_attacks(tmp_path, distilled())


def test_attacks_are_no_more_than_a_bundle_holds():
    assert list(ATTACKS) == sorted(set(ATTACKS))
    assert len(ATTACKS) <= 20


def test_link_in_place_of_the_record_is_not_followed(tmp_path):
    (tmp_path / AUDIT).symlink_to("/dev/zero")
    with pytest.raises(RunError, match="gdshare audit"):
        read_attacks(tmp_path, distilled())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b" " * 300_000])
def test_damaged_record_is_refused(tmp_path, content):
    (tmp_path / AUDIT).write_bytes(content)
    with pytest.raises(RunError, match="gdshare audit"):
        read_attacks(tmp_path, distilled())


def test_signature_names_who_made_the_audit_of_which_run_and_cohort(tmp_path):
    key, record = new_key(), record_of(distilled(), (LOSS,))
    write_audit(tmp_path, record, key)
    assert signer_of_audit(tmp_path, distilled()) == fingerprint(key.public_key())
    data = (tmp_path / SIGNATURE).read_bytes()
    statement = verify_statement(data, key.public_key(), SIGNATURE, 1 << 20)
    assert statement.predicate["run"] == tensors_digest(distilled())
    assert statement.predicate["cohort"] == record.cohort_sha256
    assert statement.predicate["patients"] == record.patients_sha256


def test_figures_that_were_changed_after_signing_are_refused(tmp_path):
    write_audit(tmp_path, record_of(distilled(), (LOSS,)), new_key())
    text = (tmp_path / AUDIT).read_text(encoding="utf-8")
    (tmp_path / AUDIT).write_text(text.replace('"high": 0.6', '"high": 0.55'), encoding="utf-8")
    with pytest.raises(RunError, match=r"signs another audit; make it again with gdshare audit"):
        read_attacks(tmp_path, distilled())


def test_signature_of_another_kind_of_statement_is_refused(tmp_path):
    key = new_key()
    write_audit(tmp_path, record_of(distilled(), (LOSS,)), key)
    data = (tmp_path / SIGNATURE).read_bytes()
    statement = verify_statement(data, key.public_key(), SIGNATURE, 1 << 20)
    other = type(statement)("gdshare-key", statement.digest, "https://a/b", statement.predicate)
    (tmp_path / SIGNATURE).write_bytes(sign_statement(other, key))
    with pytest.raises(RunError, match="signs another audit"):
        read_attacks(tmp_path, distilled())
    (tmp_path / SIGNATURE).write_bytes(b"{}")
    with pytest.raises(RunError, match="no good signature"):
        read_attacks(tmp_path, distilled())


def test_next_audit_takes_the_old_signature_away(tmp_path):
    write_audit(tmp_path, record_of(distilled(), (LOSS,)), new_key())
    write_audit(tmp_path, record_of(distilled(), ()))
    assert read_attacks(tmp_path, distilled()) == ()
    assert signer_of_audit(tmp_path, distilled()) is None
