"""One fault or attack a test, each refused for its own reason."""

import base64
import hashlib
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from bundle_factory import (
    CREATED,
    NOW,
    distilled,
    key,
    manifest,
    other_key,
    png,
    rich_manifest,
    signed,
    sound,
    with_file,
)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from safetensors.numpy import save

from gdshare.bundle import build_files, verify_files
from gdshare.bundle.errors import (
    Altered,
    Expired,
    ExtraFile,
    LabelsOffSimplex,
    MalformedManifest,
    MalformedTensors,
    MissingFile,
    NotFinite,
    NotYetValid,
    OutOfRange,
    UnknownFormat,
    WrongShape,
    WrongSite,
)
from gdshare.bundle.layout import BOUNDS
from gdshare.bundle.manifest import FORMAT_1_0, FORMAT_1_1
from gdshare.distilled import TENSORS
from gdshare.errors import BundleError, UsageError
from gdshare.method import Method
from gdshare.protocol import Protocol
from gdshare.signing.envelope import P256_ORDER, sign
from gdshare.signing.errors import (
    BadSignature,
    MalformedSignature,
    NotCanonical,
    Oversized,
    WrongKey,
)


def refused(files, reason, match=None, *, now=NOW, site=None):
    """Verify, demand exactly this reason, and give the message."""
    with pytest.raises(BundleError, match=match) as caught:
        verify_files(files, key().public_key(), now, site)
    assert type(caught.value) is reason
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert "; " in message, "no remedy"
    return message


def tensors(**changes):
    arrays = {name: getattr(distilled(), name) for name in TENSORS} | changes
    return with_file("distilled.safetensors", save(arrays))


def edited_manifest(**changes):
    value = json.loads(sound()["gdshare.json"]) | changes
    return manifest_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def manifest_text(text):
    return with_file("gdshare.json", text if isinstance(text, bytes) else text.encode())


def edited_signature(change):
    """Change the outer JSON of bundle.sig, written as compactly as the format demands."""
    value = json.loads(sound()["bundle.sig"])
    change(value)
    return {**sound(), "bundle.sig": json.dumps(value, separators=(",", ":")).encode()}


def signed_payload(payload):
    return {**sound(), "bundle.sig": sign(payload, key()).to_bytes()}


def edited_statement(change):
    """Change the statement and sign the change properly."""
    value = json.loads(statement())
    change(value)
    return signed_payload(json.dumps(value, separators=(",", ":")).encode())


def statement():
    return base64.b64decode(json.loads(sound()["bundle.sig"])["dsseEnvelope"]["payload"])


# Size and names


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_an_oversized_file_is_refused_before_anything_is_parsed(name):
    files = {**sound(), "bundle.sig": b"not even JSON"}
    files[name] = bytes(BOUNDS[name] + 1)
    refused(files, Oversized, name)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_missing_file_is_refused(name):
    files = sound()
    del files[name]
    refused(files, MissingFile, name)


@pytest.mark.parametrize("name", ["extra.txt", "../x", "gdshare.json ", "README.MD", "", "a/b"])
def test_an_extra_file_is_refused(name):
    refused({**sound(), name: b""}, ExtraFile)


def test_a_file_name_cannot_steer_the_terminal():
    message = refused({**sound(), "\x1b[2J\u202e" + "x" * 5000: b""}, ExtraFile)
    assert len(message) < 200


# The signature's form


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff", b'{"a":NaN}', b"[" * 15000, b"1" * 15000, b'"\\ud800"'],
)
def test_a_signature_file_that_is_no_sigstore_bundle_is_refused(content):
    refused({**sound(), "bundle.sig": content}, MalformedSignature)


def test_an_unknown_key_in_the_signature_file_is_refused():
    refused(edited_signature(lambda v: v.update(note="x")), NotCanonical)


def test_a_repeated_key_in_the_signature_file_is_refused():
    content = sound()["bundle.sig"].replace(b'{"mediaType"', b'{"mediaType":"x","mediaType"', 1)
    refused({**sound(), "bundle.sig": content}, NotCanonical, "twice")


def test_white_space_in_the_signature_file_is_refused():
    refused({**sound(), "bundle.sig": sound()["bundle.sig"] + b"\n"}, NotCanonical)


def test_a_second_signature_is_refused():
    def add(value):
        value["dsseEnvelope"]["signatures"] *= 2

    refused(edited_signature(add), NotCanonical)


def test_no_signature_is_refused():
    def remove(value):
        value["dsseEnvelope"]["signatures"] = []

    refused(edited_signature(remove), MalformedSignature)


@pytest.mark.parametrize("field", ["payload", "sig"])
@pytest.mark.parametrize("spelling", ["url-safe", "line break", "no padding", "stray bits"])
def test_other_base64_of_the_same_bytes_is_refused(field, spelling):
    def respell(text):
        if spelling == "line break":
            return text[:8] + "\n" + text[8:]
        if spelling == "no padding":
            return text.rstrip("=") if text.endswith("=") else text + "="
        if spelling == "url-safe":
            return text.replace("+", "-").replace("/", "_") + "-"
        return text[:-2] + chr(ord(text[-2]) + 1) + "=" if text[-1] == "=" else text + "===="

    def change(value):
        place = (
            value["dsseEnvelope"] if field == "payload" else value["dsseEnvelope"]["signatures"][0]
        )
        place[field] = respell(place[field])

    with pytest.raises((NotCanonical, MalformedSignature)):
        verify_files(edited_signature(change), key().public_key(), NOW)


def test_a_key_id_or_log_entry_is_refused():
    def add_id(value):
        value["dsseEnvelope"]["signatures"][0]["keyid"] = "x"

    def add_entry(value):
        value["verificationMaterial"]["tlogEntries"].append({})

    refused(edited_signature(add_id), NotCanonical)
    refused(edited_signature(add_entry), NotCanonical)


@pytest.mark.parametrize("place", ["mediaType", "payloadType"])
def test_another_media_or_payload_type_is_refused(place):
    def change(value):
        (value if place == "mediaType" else value["dsseEnvelope"])[place] += "x"

    refused(edited_signature(change), NotCanonical)


def replaced_signature(der):
    def change(value):
        value["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(der).decode()

    return edited_signature(change)


def der():
    return base64.b64decode(
        json.loads(sound()["bundle.sig"])["dsseEnvelope"]["signatures"][0]["sig"]
    )


def test_the_mirrored_signature_is_refused_though_openssl_accepts_it():
    r, s = decode_dss_signature(der())
    assert s <= P256_ORDER // 2
    refused(replaced_signature(encode_dss_signature(r, P256_ORDER - s)), NotCanonical, "lower s")


def test_a_signature_in_other_than_the_shortest_der_is_refused():
    body = der()
    padded = b"\x30\x81" + body[1:]
    negative = bytes.fromhex("30060201ff020101")
    for content in (body + b"\0", padded, negative, b"", b"\x30\x00"):
        refused(replaced_signature(content), MalformedSignature)


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER)])
def test_signature_numbers_beyond_the_curve_are_refused(r, s):
    refused(replaced_signature(encode_dss_signature(r, s)), MalformedSignature)


def test_every_signature_made_has_the_lower_s():
    for number in range(16):
        _, s = decode_dss_signature(sign(bytes([number]), key()).signature)
        assert s <= P256_ORDER // 2


# Whose signature


def test_a_bundle_signed_with_another_key_is_refused():
    with pytest.raises(WrongKey, match="hospital's public key"):
        verify_files(sound(), other_key().public_key(), NOW)


def test_claiming_another_key_by_its_hint_is_refused():
    payload = statement()
    forged = sign(payload, other_key())
    files = {
        **sound(),
        "bundle.sig": type(forged)(sign(payload, key()).hint, payload, forged.signature).to_bytes(),
    }
    refused(files, BadSignature)


def test_a_statement_exchanged_under_a_good_signature_is_refused():
    other = signed({**sound(), "preview.png": png(5, 5)})
    theirs = json.loads(other["bundle.sig"])["dsseEnvelope"]["payload"]

    def change(value):
        value["dsseEnvelope"]["payload"] = theirs

    mixed = edited_signature(change) | {"preview.png": png(5, 5)}
    refused(mixed, BadSignature)


# The statement


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"\xff", b'{"predicate":{"resources":[1]}}']
)
def test_a_signed_statement_that_lists_nothing_is_refused(payload):
    refused(signed_payload(payload), MalformedSignature)


def test_an_uppercase_digest_is_refused():
    def change(value):
        entry = value["predicate"]["resources"][0]
        entry["digest"] = entry["digest"].upper()

    refused(edited_statement(change), MalformedSignature)


def test_a_second_subject_is_refused():
    def change(value):
        value["subject"] *= 2

    refused(edited_statement(change), NotCanonical)


def test_a_wrong_subject_digest_is_refused():
    def change(value):
        value["subject"][0]["digest"]["sha256"] = hashlib.sha256(b"").hexdigest()

    refused(edited_statement(change), NotCanonical)


def test_another_subject_name_is_refused():
    def change(value):
        value["subject"][0]["name"] = "patient-4711"

    refused(edited_statement(change), NotCanonical)


def test_a_note_in_the_statement_is_refused():
    refused(edited_statement(lambda v: v["predicate"].update(note="x")), NotCanonical)


def test_links_allowed_by_the_statement_are_refused():
    def change(value):
        value["predicate"]["serialization"]["allow_symlinks"] = True

    refused(edited_statement(change), NotCanonical)


def test_resources_in_another_order_are_refused():
    refused(edited_statement(lambda v: v["predicate"]["resources"].reverse()), NotCanonical)


def test_another_predicate_type_is_refused():
    def change(value):
        value["predicateType"] = "https://model_signing/Digests/v0.1"

    refused(edited_statement(change), NotCanonical)


def test_a_statement_that_leaves_a_file_out_is_refused():
    from gdshare.bundle.digests import digests_of, statement_of

    digests = digests_of(sound())
    del digests["README.md"]
    refused(signed_payload(statement_of(digests).to_bytes()), MissingFile, "README.md")


def test_a_statement_that_lists_another_file_is_refused():
    from gdshare.bundle.digests import digests_of, statement_of

    digests = digests_of(sound()) | {"x.bin": hashlib.sha256(b"").hexdigest()}
    refused(signed_payload(statement_of(digests).to_bytes()), ExtraFile, "x.bin")


@pytest.mark.parametrize("name", sorted(set(BOUNDS) - {"bundle.sig"}))
def test_an_altered_file_is_refused(name):
    files = sound()
    files[name] += b" "
    refused(files, Altered, name)


# The manifest, signed by a hostile or faulty hospital


def test_an_unknown_format_version_is_refused():
    refused(edited_manifest(format="gdshare-bundle/9.9"), UnknownFormat, "9.9")


def test_an_unknown_key_in_the_manifest_is_refused():
    refused(edited_manifest(seed=7), MalformedManifest, "seed")


@pytest.mark.parametrize("part", ["protocol", "method", "counts"])
def test_an_unknown_key_deeper_in_the_manifest_is_refused(part):
    inner = json.loads(sound()["gdshare.json"])[part] | {"note": 1}
    refused(edited_manifest(**{part: inner}), MalformedManifest, "note")


@pytest.mark.parametrize("name", sorted(json.loads(sound()["gdshare.json"])))
def test_a_missing_field_in_the_manifest_is_refused(name):
    value = json.loads(sound()["gdshare.json"])
    del value[name]
    files = manifest_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    # Fields with a default read well without it, but are then not in the one form.
    refused(files, NotCanonical if name in {"format", "classes", "start"} else MalformedManifest)


def test_a_repeated_key_in_the_manifest_is_refused():
    text = sound()["gdshare.json"].decode().replace('  "site"', '  "site": "a",\n  "site"')
    refused(manifest_text(text), NotCanonical, "twice")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n",
        lambda text: text.replace("st-mary", "\\u0073t-mary"),
        lambda text: text.replace("0.25", "0.250"),
        lambda text: text.replace("0.25", "2.5e-1"),
        lambda text: text.replace('"mean": 0.5', '"mean": 0.50000000000000001'),
        lambda text: text.replace('"label_scale": 5.0', '"label_scale": 5'),
        lambda text: json.dumps(json.loads(text), sort_keys=True) + "\n",
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=2) + "\n",
    ],
)
def test_another_spelling_of_the_same_manifest_is_refused(change):
    text = sound()["gdshare.json"].decode()
    assert change(text) != text
    refused(manifest_text(change(text)), NotCanonical)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"7", b"\xff\xfe{}", b"[" * 16000, b"1e999", b"NaN", b"\xef\xbb\xbf{}"]
)
def test_a_manifest_that_is_no_json_object_is_refused(text):
    refused(manifest_text(text), MalformedManifest)


@pytest.mark.parametrize(
    "change",
    [
        {"site": "../etc"},
        {"site": "a\n"},
        {"site": "A"},
        {"site": "\ud800"},
        {"sequence": 0},
        {"sequence": 10**9},
        {"sequence": True},
        {"sequence": "1"},
        {"sequence": 1.0},
        {"classes": "P,N,I"},
        {"initialiser": "x"},
        {"initialiser": "/home/patient/1"},
        {"created": "2026-03-01"},
        {"created": 1772366400},
        {"created": "2026-03-01T12:00:00+"},
        {"created": "2026-13-01T12:00:00Z"},
        {"created": "0001-01-01T00:00:00Z"},
        {"expires": "2026-03-01T12:00:00Z"},
        {"expires": "2099-03-01T12:00:00Z"},
        {"format": 1},
        {"protocol": None},
        {"counts": []},
    ],
)
def test_a_manifest_value_out_of_bounds_is_refused(change):
    refused(edited_manifest(**change), MalformedManifest)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("protocol", {"side": 4096}),
        ("protocol", {"std": 0.0}),
        ("protocol", {"outside": 0.9}),
        ("protocol", {"mean": "0.5"}),
        ("method", {"images": 0}),
        ("method", {"images": 10**30}),
        ("method", {"network": "vgg"}),
        ("counts", {"patches_i": -1}),
    ],
)
def test_a_nested_value_out_of_bounds_is_refused(part, change):
    inner = json.loads(sound()["gdshare.json"])[part] | change
    refused(edited_manifest(**{part: inner}), MalformedManifest, part)


def parts_of_1_0():
    """Protocol and method of a sound bundle, without what 1.1 added."""
    values = json.loads(sound()["gdshare.json"])
    parts = {"protocol": Protocol, "method": Method}
    for part, kind in parts.items():
        for field in kind.SINCE_1_1:
            del values[part][field]
    return {part: values[part] for part in parts}


@pytest.mark.parametrize(
    ("part", "field", "fault"),
    [
        ("protocol", {"tone": "none"}, NotCanonical),
        ("protocol", {"tone": "levels"}, MalformedManifest),
        ("method", {"train": "all"}, NotCanonical),
        ("method", {"train": "head", "theta0": "fixed"}, MalformedManifest),
        ("method", {"outer": "adam"}, NotCanonical),
        ("method", {"network": "scattering"}, MalformedManifest),
    ],
)
def test_a_manifest_of_1_0_with_a_field_of_1_1_is_refused(part, field, fault):
    parts = parts_of_1_0()
    parts[part] |= field
    refused(edited_manifest(format=FORMAT_1_0, **parts), fault)


@pytest.mark.parametrize("part", ["protocol", "method"])
def test_a_manifest_of_1_1_that_lacks_a_field_of_1_1_is_refused(part):
    refused(edited_manifest(**{part: parts_of_1_0()[part]}), NotCanonical)


def test_a_manifest_of_1_0_means_films_as_they_are_and_all_weights():
    passed = verify_files(
        edited_manifest(format=FORMAT_1_0, **parts_of_1_0()), key().public_key(), NOW
    )
    assert (passed.manifest.protocol.tone, passed.manifest.method.train) == ("none", "all")


@pytest.mark.parametrize(("version", "word"), [(FORMAT_1_1, "fixed"), (FORMAT_1_0, "announced")])
def test_a_word_of_the_other_version_is_refused(version, word):
    parts = parts_of_1_0() if version == FORMAT_1_0 else {}
    method = parts.get("method") or json.loads(sound()["gdshare.json"])["method"]
    parts["method"] = method | {"theta0": word}
    refused(edited_manifest(format=version, theta0_sha256="5a" * 32, **parts), NotCanonical)


def test_a_manifest_of_1_0_cannot_be_made_of_harmonised_films():
    with pytest.raises(ValueError, match=r"protocol.tone has a value that .*1\.0 cannot say"):
        manifest(FORMAT_1_0, protocol=Protocol(tone="levels"))


def test_a_bundle_that_speaks_for_another_hospital_is_refused():
    refused(sound(), WrongSite, "st-anne", site="st-anne")
    verify_files(sound(), key().public_key(), NOW, "st-mary")


# The tensors, signed by a hostile or faulty hospital


def test_safetensors_metadata_is_refused():
    arrays = {name: getattr(distilled(), name) for name in TENSORS}
    content = save(arrays, metadata={"patient": "4711"})
    refused(with_file("distilled.safetensors", content), MalformedTensors, "metadata")


def test_an_extra_tensor_is_refused():
    refused(tensors(extra=np.zeros(1, np.float32)), MalformedTensors, "extra")


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_refused(name):
    arrays = {n: getattr(distilled(), n) for n in TENSORS if n != name}
    refused(with_file("distilled.safetensors", save(arrays)), MalformedTensors)


@pytest.mark.parametrize("name", TENSORS)
def test_a_wrongly_shaped_tensor_is_refused(name):
    refused(tensors(**{name: getattr(distilled(), name)[:1]}), WrongShape, name)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32])
def test_a_tensor_of_another_type_is_refused(name, kind):
    refused(tensors(**{name: getattr(distilled(), name).astype(kind)}), WrongShape, name)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(name, value):
    array = getattr(distilled(), name).copy()
    array.flat[-1] = value
    refused(tensors(**{name: array}), NotFinite, name)


@pytest.mark.parametrize("value", [1e5, -1e5, 3e38])
def test_a_pixel_out_of_range_is_refused(value):
    images = distilled().images.copy()
    images[0, 0, 0, 0] = value
    refused(tensors(images=images), OutOfRange, "pixel")


@pytest.mark.parametrize("value", [0.0, -0.0, -0.05, 101.0])
def test_a_learning_rate_out_of_range_is_refused(value):
    refused(tensors(learning_rates=np.array([0.05, value], np.float32)), OutOfRange, "learning")


@pytest.mark.parametrize(
    "row", [(0.5, 0.5, 0.5), (0, 0, 0), (-0.1, 0.6, 0.5), (1, 1e-3, 0), (2, -1, 0)]
)
def test_labels_off_the_simplex_are_refused(row):
    labels = distilled().labels.copy()
    labels[1] = row
    refused(tensors(labels=labels), LabelsOffSimplex)


def header_and_body():
    content = sound()["distilled.safetensors"]
    size = int.from_bytes(content[:8], "little")
    return content[8 : 8 + size], content[8 + size :]


def with_header(header, body=None):
    header = (
        header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    )
    content = len(header).to_bytes(8, "little") + header
    return with_file(
        "distilled.safetensors", content + (header_and_body()[1] if body is None else body)
    )


@pytest.mark.parametrize("size", [0, 1025, 2**31, 2**63, 2**64 - 1])
def test_a_header_length_beyond_the_bound_is_refused(size):
    content = size.to_bytes(8, "little") + sound()["distilled.safetensors"][8:]
    refused(with_file("distilled.safetensors", content), MalformedTensors)


@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 8, b"\x02" + b"\0" * 7 + b"[]"])
def test_tensors_cut_short_are_refused(content):
    refused(with_file("distilled.safetensors", content), MalformedTensors)


def test_bytes_after_the_last_tensor_are_refused():
    refused(with_header(header_and_body()[0], header_and_body()[1] + bytes(4)), MalformedTensors)


def test_a_header_with_other_padding_is_refused():
    refused(with_header(header_and_body()[0] + b" " * 8), NotCanonical)


def test_a_header_with_a_repeated_tensor_is_refused():
    header = header_and_body()[0].rstrip()
    refused(with_header(b'{"images":0,' + header[1:]), NotCanonical, "twice")


def test_overlapping_tensors_are_refused():
    header = json.loads(header_and_body()[0])
    header["labels"]["data_offsets"] = [0, 36]
    refused(with_header(header), MalformedTensors)


def test_tensors_stored_in_another_order_are_refused():
    header = json.loads(header_and_body()[0])
    size = header["learning_rates"]["data_offsets"][1] - header["learning_rates"]["data_offsets"][0]
    moved = {"learning_rates": header["learning_rates"] | {"data_offsets": [0, size]}}
    for name in ("images", "labels"):
        offsets = [offset + size for offset in header[name]["data_offsets"]]
        moved[name] = header[name] | {"data_offsets": offsets}
    body = header_and_body()[1]
    text = json.dumps(moved, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    refused(with_header(text, body[-size:] + body[:-size]), NotCanonical)


@pytest.mark.parametrize(
    "entry", [None, [], {}, {"dtype": "F32"}, {"dtype": 1, "shape": 2, "data_offsets": 3}]
)
def test_a_nonsensical_tensor_description_is_refused(entry):
    header = json.loads(header_and_body()[0]) | {"images": entry}
    with pytest.raises((MalformedTensors, WrongShape)):
        verify_files(with_header(header), key().public_key(), NOW)


# Freshness


def test_an_expired_bundle_is_refused_from_the_very_second():
    expires = manifest().expires
    verify_files(sound(), key().public_key(), expires - timedelta(seconds=1))
    refused(sound(), Expired, "expired", now=expires)


def test_a_bundle_from_the_future_is_refused_beyond_the_clock_tolerance():
    verify_files(sound(), key().public_key(), CREATED - timedelta(minutes=10))
    refused(sound(), NotYetValid, "clock", now=CREATED - timedelta(minutes=11))


def test_a_clock_without_a_time_zone_is_refused():
    with pytest.raises(UsageError, match="time zone"):
        verify_files(sound(), key().public_key(), datetime(2026, 4, 1))


# The order


def test_the_signature_is_checked_before_the_manifest_is_parsed():
    files = sound() | {"gdshare.json": b"not JSON", "distilled.safetensors": b"not tensors"}
    refused(files, Altered)


def test_people_s_files_are_never_parsed():
    verify_files(with_file("preview.png", b"no picture"), key().public_key(), NOW)
    verify_files(with_file("README.md", b"\xff\xfe<script>"), key().public_key(), NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"figure": 0.51', b'"figure": 0.5100001'),  # room for a message
        (b'"low": 0.43', b'"low": -0.0'),  # a second way to write zero
        (b'"low": 0.43', b'"low": 0.52'),
        (b'"mean": 0.5', b'"mean": -0.0'),
    ],
)
def test_a_second_spelling_or_more_digits_than_a_figure_has_are_refused(old, new):
    about = rich_manifest()
    files = build_files(about, distilled(about), png(), key())
    assert files["gdshare.json"].count(old) == 1
    altered = signed({**files, "gdshare.json": files["gdshare.json"].replace(old, new)})
    refused(altered, MalformedManifest)
