"""A revocation: signed with the key it is about, its reason bounded."""

from datetime import UTC, datetime

import pytest
from bundle_factory import key

from gdshare.errors import KeyFileError
from gdshare.signing import fingerprint, read_request, read_revocation, write_revocation

NOW = datetime(2026, 11, 22, 9, 41, 7, tzinfo=UTC)


def test_revocation_tells_the_key_the_reason_and_the_hour():
    found = read_revocation(write_revocation(key(), "the laptop is gone", NOW), "here")
    assert found.fingerprint == fingerprint(key().public_key())
    assert (found.why, found.made) == ("the laptop is gone", "2026-11-22T09:00:00Z")


@pytest.mark.parametrize("why", ["", "x" * 301, "two\nlines", "\x1b[2J", "grün", "\ud800"])
def test_reason_that_could_steer_a_terminal_or_fill_a_log_is_refused(why, monkeypatch):
    with pytest.raises(KeyFileError, match="as its why"):
        write_revocation(key(), why, NOW)
    with monkeypatch.context() as without:
        without.setattr("gdshare.signing.self_signed._check_fields", lambda *_: None)
        hostile = write_revocation(key(), why, NOW)
    with pytest.raises(KeyFileError, match="as its why"):
        read_revocation(hostile, "here")


def test_revocation_does_not_pass_for_a_request():
    with pytest.raises(KeyFileError, match="is not an enrolment request"):
        read_request(write_revocation(key(), "gone", NOW), "here")
