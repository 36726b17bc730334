"""docs/bundle-format.md says what the code does."""

import json
import re
from pathlib import Path

import pytest
from bundle_factory import rich_manifest

from gdshare.bundle import Manifest, errors
from gdshare.bundle.attestation import MAX_BYTES, MAX_REASON, Receipt, Withdrawal
from gdshare.bundle.layout import BOUNDS, KIB, MIB
from gdshare.bundle.manifest import FORMAT_1_2
from gdshare.bundle.tensors import LARGEST_HEADER, LARGEST_PIXEL, LARGEST_RATE
from gdshare.errors import BundleError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "bundle-format.md").read_text(encoding="utf-8")


def fields(value, prefix=""):
    for name, inner in value.items():
        yield f"{prefix}{name}"
        one = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(one, dict):
            yield from fields(one, f"{prefix}{name}.")


def fields_of_the_format():
    """Of a bundle with attacks and of one with a guarantee, which has none."""
    about = (rich_manifest(), rich_manifest(FORMAT_1_2))
    return sorted({name for own in about for name in fields(own.model_dump(mode="json"))})


@pytest.mark.parametrize("name", fields_of_the_format())
def test_every_manifest_field_is_on_the_page(name):
    # The three patch counts share a row.
    assert f"`{name}`" in PAGE or f"`{name.removeprefix('counts.')}`" in PAGE


def test_every_field_on_the_page_is_in_the_manifest():
    table = PAGE[PAGE.index("| field |") : PAGE.index("## `distilled.safetensors`")]
    rows = [
        re.findall(r"`([^`]+)`", row.split("|")[1])
        for row in table.splitlines()
        if row.startswith("| `")
    ]
    known = set(fields_of_the_format())
    known |= {name.removeprefix("counts.") for name in known}
    named = {name for row in rows for name in row}
    assert named <= known


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_every_size_bound_is_on_the_page(name):
    bound = BOUNDS[name]
    size = f"{bound // MIB} MiB" if bound >= MIB else f"{bound // KIB} KiB"
    assert f"| `{name}` | {size} |" in PAGE


def test_every_reason_for_a_refusal_is_on_the_page():
    reasons = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, BundleError) and kind is not BundleError
    }
    not_refusals = {"AlreadyPublished", "UnreadableBundle"}
    assert [name for name in sorted(reasons - not_refusals) if f"`{name}`" not in PAGE] == []


def test_the_tensors_bounds_are_on_the_page():
    assert f"at most {LARGEST_HEADER}" in PAGE
    assert f"±{LARGEST_PIXEL:,.0f}" in PAGE
    assert f"above 0, to {LARGEST_RATE:.0f}" in PAGE


def test_published_schema_is_the_manifests():
    published = json.loads((DOCS / "gdshare.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(Manifest.model_json_schema(mode="serialization")))


@pytest.mark.parametrize("kind", [Withdrawal, Receipt])
def test_what_is_said_of_a_bundle_is_on_the_page_in_its_order(kind):
    shown = PAGE[PAGE.index(f'"{kind.PREDICATE_TYPE}"') :].split("}")[0]
    assert re.findall(r'"(\w+)":', shown) == ["predicate", *kind.model_fields]


def test_bounds_of_what_is_said_of_a_bundle_are_on_the_page():
    assert f"at most {MAX_BYTES // KIB} KiB each" in PAGE
    assert f"REASON up to {MAX_REASON} of" in PAGE
