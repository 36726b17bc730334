"""An enrolment request: signed with the key it brings, read from a stranger."""

import base64
import json
from datetime import UTC, datetime

import pytest
from bundle_factory import key, other_key, sound
from hypothesis import given, settings
from hypothesis import strategies as st

from gdshare.bundle.digests import WHERE, listed_digests
from gdshare.errors import BundleError, KeyFileError
from gdshare.signing import fingerprint, new_key, public_pem, read_request, write_request
from gdshare.signing.enrolment import REQUEST, SUCCESSION
from gdshare.signing.envelope import Envelope, read_envelope, sign
from gdshare.signing.keys import parse_public_key
from gdshare.signing.self_signed import MAX_BYTES, sign_fields
from gdshare.signing.statement import read_statement

NOW = datetime(2026, 11, 22, 9, 41, 7, tzinfo=UTC)


def request(site="st-mary"):
    return write_request(site, key(), NOW)


def told(data):
    return json.loads(read_envelope(data, "the request").payload)


def resigned(change, secret=None):
    """What somebody signs who writes statements by hand."""
    value = told(request())
    change(value)
    payload = json.dumps(value, separators=(",", ":")).encode()
    return sign(payload, secret or key()).to_bytes()


def refused(data, match):
    with pytest.raises(KeyFileError, match=match) as caught:
        read_request(data, "st-mary.request")
    assert str(caught.value).count("st-mary.request") == 1
    assert len(str(caught.value)) < 300


def test_request_tells_site_key_and_the_hour():
    found = read_request(request(), "here")
    assert (found.site, found.made, found.vouched_by) == ("st-mary", "2026-11-22T09:00:00Z", None)
    assert fingerprint(found.key) == fingerprint(key().public_key())


def test_request_is_written_in_one_way():
    assert request() == request()


@pytest.mark.parametrize("site", ["", "St-Mary", "../x", "a" * 33, "st-mary\n"])
def test_request_is_not_made_for_a_name_that_is_no_sites(site):
    with pytest.raises(KeyFileError, match="site"):
        write_request(site, key(), NOW)


def test_request_with_another_site_under_the_old_signature_is_refused():
    envelope = read_envelope(request(), "the request")
    payload = envelope.payload.replace(b"st-mary", b"st-john")
    forged = Envelope(envelope.hint, payload, envelope.signature).to_bytes()
    refused(forged, "not signed with the key it names")


def test_request_for_a_key_that_its_sender_does_not_hold_is_refused():
    def anothers(value):
        value["predicate"]["key"] = public_pem(other_key().public_key()).decode()

    refused(resigned(anothers), "not signed with the key it names")


def test_request_that_hints_at_another_key_is_refused():
    envelope = read_envelope(request(), "the request")
    hint = fingerprint(other_key().public_key())
    refused(Envelope(hint, envelope.payload, envelope.signature).to_bytes(), "not signed with")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["predicate"].pop("made"),
        lambda value: value["predicate"].update(more="x"),
        lambda value: value["predicate"].update(site=value["predicate"].pop("site")),
        lambda value: value["subject"][0].update(digest={"sha256": "0" * 64}),
        lambda value: value.update(more=1),
        lambda value: value["predicate"].update(key=value["predicate"]["key"] + "\n"),
    ],
)
def test_request_in_another_form_is_refused(change):
    refused(resigned(change), "one form")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("site", "St-Mary"),
        ("site", "st-mary\n"),
        ("site", "\ud800"),
        ("made", "2026-11-22T09:41:00Z"),
        ("made", "٢٠٢٦-11-22T09:00:00Z"),
        ("made", "x" * 9000),
        ("vouched", "%"),
    ],
)
def test_request_with_an_odd_text_is_refused(field, text):
    refused(resigned(lambda value: value["predicate"].update({field: text})), f"as its {field}")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(predicateType="https://gdshare/approval/v1"),
        lambda value: value.update(predicateType=SUCCESSION.predicate_type),
        lambda value: value.update(predicate=None),
        lambda value: value.update(predicate=[]),
        lambda value: value["predicate"].update(site=7),
        lambda value: value["predicate"].pop("key"),
        lambda value: value["predicate"].update(key="-----BEGIN PUBLIC KEY-----"),
        lambda value: value["predicate"].update(key="\ud800"),
    ],
)
def test_what_is_no_request_is_refused(change):
    refused(resigned(change), "is not an enrolment request")


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 9000, b"\xff", public_pem(key().public_key())])
def test_other_files_are_refused(data):
    refused(data, "is not an enrolment request")


def test_oversized_request_is_refused_before_anything_is_parsed(monkeypatch):
    monkeypatch.setattr("gdshare.signing.statement.read_envelope", None)
    refused(b"{" + b" " * MAX_BYTES, "too large")


def test_neither_bundle_nor_request_passes_for_the_other():
    refused(sound()["bundle.sig"], "is not an enrolment request")
    with pytest.raises(BundleError):
        listed_digests(read_statement(read_envelope(request(), "the request").payload, WHERE))


def test_older_keys_word_is_for_this_key_and_site_only():
    assert fingerprint(
        read_request(write_request("st-mary", key(), NOW, other_key()), "here").vouched_by
    ) == fingerprint(other_key().public_key())
    for site, following in (("st-john", key()), ("st-mary", new_key())):
        word = sign_fields(
            SUCCESSION, {"site": site, "next": fingerprint(following.public_key())}, other_key()
        )
        fields = {
            "site": "st-mary",
            "made": "2026-11-22T09:00:00Z",
            "vouched": base64.b64encode(word).decode(),
        }
        refused(sign_fields(REQUEST, fields, key()), "about another key or another site")


@pytest.mark.parametrize("word", [b"x", b"{}", request(), sound()["bundle.sig"]])
def test_older_keys_word_that_is_none_is_refused(word):
    fields = {
        "site": "st-mary",
        "made": "2026-11-22T09:00:00Z",
        "vouched": base64.b64encode(word).decode(),
    }
    refused(sign_fields(REQUEST, fields, key()), "is not a key's statement on its successor")


def test_older_keys_word_that_it_did_not_sign_is_refused():
    """Somebody writes it who does not hold the older key."""
    made = sign_fields(
        SUCCESSION, {"site": "st-mary", "next": fingerprint(key().public_key())}, key()
    )
    pem = public_pem(other_key().public_key()).decode()
    value = json.loads(read_envelope(made, "the request").payload)
    value["predicate"]["key"] = pem
    value["subject"][0]["digest"]["sha256"] = fingerprint(parse_public_key(pem.encode(), "x"))
    forged = sign(json.dumps(value, separators=(",", ":")).encode(), key()).to_bytes()
    fields = {
        "site": "st-mary",
        "made": "2026-11-22T09:00:00Z",
        "vouched": base64.b64encode(forged).decode(),
    }
    refused(sign_fields(REQUEST, fields, key()), "not signed with the key it names")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(at=st.integers(0, 3000), piece=st.binary(max_size=9), length=st.integers(0, 40), odd=JSON)
def test_damaged_request_is_refused_and_nothing_else(at, piece, length, odd):
    data = request()
    damaged = data[:at] + piece + data[at + length :]
    if damaged != data:
        with pytest.raises(KeyFileError):
            read_request(damaged, "here")
    statement = sign(json.dumps({**told(data), "predicate": odd}).encode(), key()).to_bytes()
    with pytest.raises(KeyFileError):
        read_request(statement, "here")
