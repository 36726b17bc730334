"""Whatever bytes arrive: a bundle is refused with a BundleError, or it is sound. Nothing else."""

import json

from bundle_factory import NOW, key, manifest, signed, sound
from hypothesis import given, settings
from hypothesis import strategies as st

from gdshare.bundle import Manifest, verify_files
from gdshare.bundle.digests import WHERE, listed_digests
from gdshare.bundle.layout import BOUNDS
from gdshare.bundle.tensors import read_tensors
from gdshare.errors import BundleError
from gdshare.signing.envelope import read_envelope
from gdshare.signing.statement import read_statement

QUICK = settings(max_examples=150, deadline=None, database=None, derandomize=True)
NAMES = st.sampled_from(sorted(BOUNDS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mutations(draw, content):
    """Cut, repeat, overwrite or insert somewhere in the content."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + draw(st.sampled_from([0, 1, 8, 400])))))
    middle = draw(st.binary(max_size=24) | st.just(content[start:end] * 2))
    return content[:start] + middle + content[end:]


def sound_or_refused(files):
    try:
        bundle = verify_files(files, key().public_key(), NOW)
    except BundleError as fault:
        assert str(fault).isprintable()  # noqa: PT017 - refusal is allowed, not demanded
        return None
    return bundle


@QUICK
@given(st.data(), NAMES)
def test_a_mutated_file_never_passes(data, name):
    content = data.draw(mutations(sound()[name]))
    result = sound_or_refused(sound() | {name: content})
    assert (result is not None) == (content == sound()[name])


@QUICK
@given(st.data(), st.sampled_from(["gdshare.json", "distilled.safetensors"]))
def test_a_mutated_file_signed_by_a_hostile_hospital_is_sound_or_refused(data, name):
    result = sound_or_refused(signed(sound() | {name: data.draw(mutations(sound()[name]))}))
    if result is not None:
        assert result.distilled.problem() is None
        assert (
            result.manifest.to_bytes() == signed(sound())["gdshare.json"] or name == "gdshare.json"
        )


@QUICK
@given(JSON, st.sampled_from(sorted(json.loads(sound()["gdshare.json"]))))
def test_any_json_in_any_manifest_field_is_sound_or_refused(value, field):
    changed = json.loads(sound()["gdshare.json"]) | {field: value}
    text = json.dumps(changed, indent=2, sort_keys=True) + "\n"
    result = sound_or_refused(signed(sound() | {"gdshare.json": text.encode()}))
    assert result is None or result.manifest.to_bytes() == text.encode()


@QUICK
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_reader_raises_anything_but_a_bundle_error(content):
    readers = (
        lambda data: read_envelope(data, "bundle.sig"),
        lambda data: listed_digests(read_statement(data, WHERE)),
        Manifest.from_bytes,
        lambda data: read_tensors(data, manifest()),
        lambda data: read_tensors(len(data).to_bytes(8, "little") + data, manifest()),
    )
    for reader in readers:
        try:
            reader(content)
        except BundleError:
            continue
        raise AssertionError(f"{reader} took {content!r}")


@QUICK
@given(st.dictionaries(NAMES | st.text(max_size=9), st.binary(max_size=40), max_size=7))
def test_any_set_of_small_files_is_refused(files):
    assert sound_or_refused(files) is None
