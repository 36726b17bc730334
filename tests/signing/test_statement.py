"""One reader of signed statements: size, form, key, signature, statement, in that order."""

import json

import pytest
from bundle_factory import NOW, key, other_key, sound

from gdshare.bundle import verify_files
from gdshare.errors import BundleError, KeyFileError
from gdshare.signing import public_pem
from gdshare.signing.envelope import read_envelope, sign
from gdshare.signing.errors import (
    BadSignature,
    MalformedSignature,
    NotCanonical,
    Oversized,
    WrongKey,
)
from gdshare.signing.statement import (
    Statement,
    read_statement,
    sign_statement,
    signer_of,
    verify_self_signed,
    verify_statement,
)

DIGEST = "ab" * 32
STATEMENT = Statement("gdshare-bundle", DIGEST, "https://gdshare/receipt/v1", {"site": "tokyo"})
WHERE, MOST = "tokyo-1.receipt", 4096


def test_signed_statement_is_read_back_as_in_the_modules_example():
    data = sign_statement(STATEMENT, key())
    assert verify_statement(data, key().public_key(), WHERE, MOST) == STATEMENT
    assert data == sign_statement(STATEMENT, key()), "equal statements give equal bytes"


def test_too_large_a_file_is_refused_before_anything_is_parsed(monkeypatch):
    monkeypatch.setattr("gdshare.signing.statement.read_envelope", None)
    with pytest.raises(Oversized, match="5 bytes where 4 are allowed"):
        verify_statement(b"x" * 5, key().public_key(), WHERE, 4)


def test_other_key_is_named_before_the_statement_is_looked_at(monkeypatch):
    monkeypatch.setattr("gdshare.signing.statement.read_statement", None)
    data = sign_statement(STATEMENT, other_key())
    with pytest.raises(WrongKey):
        verify_statement(data, key().public_key(), WHERE, MOST)


def test_signature_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("gdshare.signing.statement.read_statement", None)
    envelope = read_envelope(sign_statement(STATEMENT, key()), WHERE)
    changed = STATEMENT.to_bytes().replace(b"tokyo", b"kyoto")
    forged = type(envelope)(envelope.hint, changed, envelope.signature)
    with pytest.raises(BadSignature):
        verify_statement(forged.to_bytes(), key().public_key(), WHERE, MOST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.pop("subject"), MalformedSignature),
        (lambda value: value.update(subject=[]), MalformedSignature),
        (lambda value: value.update(predicate=["site"]), MalformedSignature),
        (
            lambda value: value["subject"][0].update(digest={"sha256": "AB" * 32}),
            MalformedSignature,
        ),
        (lambda value: value["subject"].append(value["subject"][0]), NotCanonical),
        (lambda value: value.update(more=1), NotCanonical),
        (lambda value: value.update(_type="another"), NotCanonical),
    ],
)
def test_signed_nonsense_is_refused_by_its_form(change, reason):
    value = json.loads(STATEMENT.to_bytes())
    change(value)
    payload = json.dumps(value, separators=(",", ":")).encode()
    data = sign(payload, key()).to_bytes()
    with pytest.raises(reason):
        verify_statement(data, key().public_key(), WHERE, MOST)


def test_other_spacing_is_not_the_one_form():
    with pytest.raises(NotCanonical):
        read_statement(STATEMENT.to_bytes().replace(b":", b": "), WHERE)


def test_self_signed_statement_brings_its_key():
    pem = public_pem(key().public_key()).decode()
    statement = Statement("gdshare-key", DIGEST, "https://gdshare/enrolment/v1", {"key": pem})
    data = sign_statement(statement, key())
    verified, public = verify_self_signed(data, WHERE, MOST)
    assert (verified, public_pem(public)) == (statement, pem.encode())


def test_key_that_somebody_else_put_into_a_statement_signs_nothing():
    pem = public_pem(key().public_key()).decode()
    statement = Statement("gdshare-key", DIGEST, "https://gdshare/enrolment/v1", {"key": pem})
    with pytest.raises(WrongKey):
        verify_self_signed(sign_statement(statement, other_key()), WHERE, MOST)


@pytest.mark.parametrize("pem", [None, 7, "no key"])
def test_self_signed_statement_without_a_key_is_refused(pem):
    statement = Statement("gdshare-key", DIGEST, "https://gdshare/enrolment/v1", {"key": pem})
    with pytest.raises((BundleError, KeyFileError)):
        verify_self_signed(sign_statement(statement, key()), WHERE, MOST)


def test_claimed_signer_is_not_verified():
    envelope = read_envelope(sign_statement(STATEMENT, key()), WHERE)
    claimed = type(envelope)("cd" * 32, envelope.payload, envelope.signature)
    assert signer_of(claimed.to_bytes(), WHERE, MOST) == "cd" * 32


DEEP = '{"a":' * 900 + "1" + "}" * 900


@pytest.mark.parametrize("value", ["1e999", "-1e999", DEEP, "[" * 990 + "]" * 990])
def test_number_or_nesting_that_cannot_be_written_again_is_a_refusal_and_no_crash(value):
    """A hospital could otherwise end every round with one bundle."""
    payload = STATEMENT.to_bytes().replace(b'"tokyo"', value.encode())
    data = sign(payload, key()).to_bytes()
    with pytest.raises((MalformedSignature, NotCanonical)):
        deep_in_the_stack(200, lambda: verify_statement(data, key().public_key(), WHERE, 65536))


def deep_in_the_stack(depth, function):
    return function() if depth == 0 else deep_in_the_stack(depth - 1, function)


def test_statement_of_an_infinite_number_refuses_its_bundle_alone():
    files = dict(sound())
    payload = read_envelope(files["bundle.sig"], "bundle.sig").payload
    payload = payload.replace(b'"allow_symlinks":false', b'"allow_symlinks":1e999')
    files["bundle.sig"] = sign(payload, key()).to_bytes()
    with pytest.raises(BundleError):
        verify_files(files, key().public_key(), NOW)
