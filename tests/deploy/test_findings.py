"""Findings: clocks, certificates, keys and disks, each with what to do."""

from datetime import UTC, datetime, timedelta

import pytest

from gdshare.deploy import finding as findings
from gdshare.deploy.certificates import Authority, certificate_pem, new_tls_key
from gdshare.deploy.finding import (
    State,
    certificate_finding,
    clock_finding,
    disk_finding,
    secret_finding,
    version_findings,
)

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "state"),
    [
        (0.4, State.OK),
        (-3, State.WARNING),
        (4, State.WARNING),
        (6, State.FAULT),
        (-301, State.FAULT),
    ],
)
def test_clock_is_judged_by_the_limits_of_the_superlink(ahead, state):
    assert clock_finding(ahead).state is state


def test_clock_six_seconds_ahead_is_named_in_one_sentence():
    what = clock_finding(6.1).what
    assert "this machine's clock is 6 s ahead of the SuperLink's" in what
    assert "\n" not in what


@pytest.mark.parametrize(
    ("days", "state"), [(31, State.OK), (29, State.WARNING), (-1, State.FAULT), (800, State.FAULT)]
)
def test_certificate_is_warned_of_thirty_days_ahead(tmp_path, days, state):
    """800: it begins after NOW."""
    made = NOW - timedelta(days=730 - days)
    authority = Authority.new("a", made)
    certificate = authority.server("hub.example", new_tls_key().public_key(), made)
    path = tmp_path / "server.pem"
    path.write_bytes(certificate_pem(certificate))
    found = certificate_finding("server", path, NOW, "renew it")
    assert found.state is state
    assert state is State.OK or found.remedy


def test_missing_and_broken_certificates_are_faults(tmp_path):
    path = tmp_path / "x.pem"
    assert certificate_finding("x", path, NOW, "renew it").state is State.FAULT
    path.write_bytes(b"no certificate")
    assert certificate_finding("x", path, NOW, "renew it").state is State.FAULT


def test_key_that_others_can_read_is_a_fault(tmp_path):
    path = tmp_path / "tls.key"
    assert secret_finding(path, None).state is State.FAULT
    path.touch(0o600)
    assert secret_finding(path, None).state is State.OK
    assert secret_finding(path, path.stat().st_uid + 1).state is State.FAULT
    path.chmod(0o640)
    assert secret_finding(path, None).state is State.FAULT


def test_full_disk_is_a_fault(tmp_path, monkeypatch):
    assert disk_finding(tmp_path).state is State.OK
    monkeypatch.setattr(findings, "LEAST_FREE_BYTES", 1 << 60)
    assert disk_finding(tmp_path).state is State.FAULT


@pytest.mark.parametrize(
    ("flower", "state"), [("1.42.0", State.OK), ("1.43.0", State.FAULT), ("1.40.9", State.FAULT)]
)
def test_unknown_flower_is_a_fault(flower, state, monkeypatch):
    monkeypatch.setattr(findings, "version", lambda name: flower if name == "flwr" else "0.1.0")
    assert version_findings()[0].state is state
