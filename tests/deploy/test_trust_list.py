"""What a doctor says of a list of hospitals' keys."""

from datetime import UTC, datetime, timedelta

import pytest

from gdshare.deploy.finding import State
from gdshare.deploy.trust_list import trust_findings
from gdshare.ledger import open_ledger
from gdshare.signing import fingerprint, new_key, public_pem
from gdshare.trust.key_history import TRUST, until
from gdshare.trust.keys import ledger_beside

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.fixture
def trust(tmp_path):
    folder, key = tmp_path / "trust", new_key().public_key()
    folder.mkdir()
    (folder / "st-mary.pub").write_bytes(public_pem(key))
    with open_ledger(ledger_beside(folder)) as ledger:
        digest, end = fingerprint(key), NOW + timedelta(days=100)
        ledger.write(NOW, TRUST, "an operator", "st-mary", digest, until(end))
    return folder


@pytest.mark.parametrize(("days", "warned"), [(69, False), (71, True), (101, True)])
def test_key_is_warned_of_thirty_days_ahead(trust, days, warned):
    first, *rest = trust_findings("peers", trust, NOW + timedelta(days=days), "ask for a new one")
    assert first.state is State.OK
    assert first.what == "1 keys of hospitals, 1 lines in the ledger"
    assert [(item.state, item.remedy) for item in rest] == [
        (State.WARNING, "ask for a new one")
    ] * warned


def test_list_without_a_key_or_with_a_broken_ledger_is_a_fault(trust, tmp_path):
    [missing] = trust_findings("peers", tmp_path / "none", NOW, "")
    assert (missing.state, bool(missing.remedy)) == (State.FAULT, True)
    ledger_beside(trust).write_bytes(b"{}\n")
    [broken] = trust_findings("peers", trust, NOW, "")
    assert (broken.state, bool(broken.remedy)) == (State.FAULT, True)
