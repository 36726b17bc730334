"""What a manifest may state of a guarantee, and what is refused, however well it is signed."""

import json
from functools import cache

import pytest
from bundle_factory import GUARANTEE, NOW, distilled, key, manifest, png, signed
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gdshare.bundle import Manifest, build_files, verify_files
from gdshare.bundle.errors import MalformedManifest
from gdshare.bundle.guarantee import (
    LARGEST_EPSILON,
    SMALLEST_DELTA,
    Guarantee,
    delta_stated,
    epsilon_stated,
)
from gdshare.bundle.manifest import FORMAT_1_0, FORMAT_1_1, FORMAT_1_2
from gdshare.bundle.verify import acceptance, sentence
from gdshare.errors import BundleError
from gdshare.signing.errors import NotCanonical

QUICK = settings(max_examples=200, deadline=None, database=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


@cache
def stating():
    about = manifest(FORMAT_1_2)
    return build_files(about, distilled(about), png(), key())


def with_text(text):
    return signed({**stating(), "gdshare.json": text.encode()})


def edited(**changes):
    value = json.loads(stating()["gdshare.json"])
    for name, change in changes.items():
        if change is Ellipsis:
            del value[name]
        else:
            value[name] = change
    return with_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def part(name, **changes):
    value = json.loads(stating()["gdshare.json"])[name] | changes
    return {name: {field: own for field, own in value.items() if own is not Ellipsis}}


def refused(files, reason, match=None):
    with pytest.raises(BundleError, match=match) as caught:
        verify_files(files, key().public_key(), NOW)
    assert type(caught.value) is reason
    assert str(caught.value).isprintable()


def test_a_receiver_reads_what_the_site_states_and_that_it_is_the_sites_word():
    bundle = verify_files(stating(), key().public_key(), NOW)
    assert bundle.manifest.privacy == GUARANTEE
    assert "st-mary states (ε 7.998, δ 1e-05)-differential privacy" in sentence(bundle)
    assert "which no bundle can show" in sentence(bundle)
    assert acceptance(bundle)["manifest"]["privacy"]["epsilon"] == 7.998
    page, described = (stating()[name].decode() for name in ("README.md", "croissant.json"))
    for text in (page, described):
        assert "(ε 7.998, δ 1e-05)-differential privacy of each training patient" in text
        assert "nothing in the bundle lets a reader check it" in text
        assert "Outside the guarantee are: which patients were chosen" in text
        assert "counts of validation and test films" in text
        assert "this hospital's own look at its figures" in text
        assert "No differential privacy is claimed" not in text
        assert "no guarantee" not in text
    assert "real patches each" not in page, "a run under a guarantee reads none at a step"


def test_a_bundle_without_a_guarantee_claims_none():
    files = build_files(manifest(), distilled(), png(), key())
    assert "states" not in sentence(verify_files(files, key().public_key(), NOW))
    assert "No differential privacy is claimed" in files["croissant.json"].decode()


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "class-means/2"},
        {"mechanism": ""},
        {"unit": "patch"},
        {"adjacency": "replace"},
        {"epsilon": 0.0},
        {"epsilon": -0.0},
        {"epsilon": -1.0},
        {"epsilon": LARGEST_EPSILON + 0.001},
        {"epsilon": 1e308},
        {"epsilon": 7.9981},
        {"epsilon": "8"},
        {"epsilon": None},
        {"epsilon": True},
        {"delta": 0.0},
        {"delta": 1.0},
        {"delta": 1e-13},
        {"delta": 1e-300},
        {"delta": 1.23e-05},
        {"delta": "1e-05"},
        {"accountant": "dp-accounting-pld/0.6.0 of patient Sato"},
        {"accountant": "dp-accounting-pld/0.6.0\n"},
        {"accountant": "dp-accounting-pld/00.6"},
        {"accountant": "dp-accounting-pld/1234.5"},
        {"accountant": "dp-accounting-pld/1"},
        {"accountant": "mine/1.0"},
        {"note": "Sato"},
        {"unit": ...},
    ],
)
def test_a_word_or_figure_that_could_carry_more_is_refused(change):
    refused(edited(**part("privacy", **change)), MalformedManifest, "privacy")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"privacy": ...}, "privacy must be there"),
        ({"privacy": None}, "privacy must be there"),
        ({"privacy": []}, "privacy"),
        (part("counts", noisy=False), "noisy must be true"),
        (part("counts", noisy=...), "noisy must be true"),
        (part("counts", noisy=1), "noisy"),
        (part("protocol", normalisation="site"), "normalisation"),
        (
            {
                "attacks": [
                    {
                        "name": "membership-loss/1",
                        "figure": 0.5,
                        "low": 0.4,
                        "high": 0.6,
                        "unrelated": 0.5,
                    }
                ]
            },
            "attacks must be empty",
        ),
        ({"format": FORMAT_1_1}, "cannot say|privacy must be there"),
        ({"format": FORMAT_1_0}, "cannot say|privacy must be there"),
        ({"format": FORMAT_1_1, **part("counts", noisy=...)}, "privacy must be there"),
    ],
)
def test_half_a_guarantee_or_one_that_contradicts_itself_is_refused(changes, match):
    refused(edited(**changes), MalformedManifest, match)


@pytest.mark.parametrize("version", [FORMAT_1_0, FORMAT_1_1])
def test_an_earlier_version_has_no_word_of_a_guarantee_not_even_that_there_is_none(version):
    text = manifest(version).to_bytes().decode()
    refused(
        with_text(text.replace('  "protocol"', '  "privacy": null,\n  "protocol"')), NotCanonical
    )
    noise = text.replace('    "patches_i"', '    "noisy": false,\n    "patches_i"')
    assert noise != text
    refused(with_text(noise), NotCanonical)
    refused(with_text(noise.replace("false", "true")), MalformedManifest, "counts.noisy")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"epsilon": 7.998', '"epsilon": 7.9980'),
        ('"epsilon": 7.998', '"epsilon": 7998e-3'),
        ('"delta": 1e-05', '"delta": 1e-5'),
        ('"delta": 1e-05', '"delta": 0.00001'),
        ('"noisy": true', '"noisy":true'),
    ],
)
def test_another_spelling_of_a_guarantee_is_refused(old, new):
    text = stating()["gdshare.json"].decode()
    assert text.count(old) == 1
    refused(with_text(text.replace(old, new)), NotCanonical)


def test_a_guarantee_can_never_be_put_into_a_bundle_of_1_1():
    with pytest.raises(ValidationError, match="privacy must be there"):
        manifest(FORMAT_1_1, privacy=GUARANTEE)


@QUICK
@given(st.floats(1e-9, LARGEST_EPSILON), st.floats(1e-30, 0.9))
def test_what_is_stated_is_never_less_than_what_was_spent(spent, delta):
    stated = Guarantee(
        **GUARANTEE.model_dump() | {"epsilon": epsilon_stated(spent), "delta": delta_stated(delta)}
    )
    assert spent <= stated.epsilon < spent + 0.0010001
    assert delta <= stated.delta <= max(1.1 * delta, SMALLEST_DELTA)


@pytest.mark.parametrize(
    ("spent", "stated"), [(8.0, 8.0), (7.0001, 7.001), (7.9999999, 8.0), (0.1 + 0.2, 0.301)]
)
def test_figures_with_few_digits_stay_as_they_are_and_others_are_rounded_up(spent, stated):
    assert epsilon_stated(spent) == stated


def test_a_delta_of_few_digits_stays_as_it_is():
    assert [delta_stated(delta) for delta in (1e-5, 9.9e-6, 9.91e-6, 1e-300)] == [
        1e-5,
        9.9e-6,
        1e-5,
        SMALLEST_DELTA,
    ]


@QUICK
@given(JSON, st.sampled_from(sorted(json.loads(stating()["gdshare.json"])["privacy"])))
def test_any_json_in_any_field_of_a_guarantee_is_sound_or_refused(value, field):
    files = edited(**part("privacy", **{field: value}))
    try:
        bundle = verify_files(files, key().public_key(), NOW)
    except BundleError as fault:
        assert str(fault).isprintable()  # noqa: PT017 - refusal is allowed, not demanded
        return
    assert bundle.manifest.to_bytes() == files["gdshare.json"]


@QUICK
@given(st.dictionaries(st.sampled_from(["privacy", "counts", "attacks", "format"]), JSON))
def test_any_json_in_the_parts_that_make_1_2_is_sound_or_refused(changes):
    text = json.dumps(
        json.loads(stating()["gdshare.json"]) | changes, indent=2, sort_keys=True, default=str
    )
    try:
        read = Manifest.from_bytes((text + "\n").encode("utf-8", "surrogatepass"))
    except BundleError as fault:
        assert str(fault).isprintable()  # noqa: PT017 - refusal is allowed, not demanded
        return
    assert (read.privacy is not None) == (read.format == FORMAT_1_2) == read.counts.noisy
