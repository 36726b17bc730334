"""Programs that know nothing of gdshare read a bundle: OpenSSF's, and Croissant's validator."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_factory import distilled, key, manifest, other_key, png, rich_manifest

from gdshare.bundle import build_files
from gdshare.signing import public_pem

TOOLS = Path(sys.executable).parent


def run(tool, *arguments):
    return subprocess.run(
        [TOOLS / tool, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=[manifest, rich_manifest], ids=["plain", "rich"])
def folder(request, tmp_path):
    about = request.param()
    place = tmp_path / "bundle"
    place.mkdir()
    for name, content in build_files(about, distilled(about), png(), key()).items():
        (place / name).write_bytes(content)
    (tmp_path / "right.pub").write_bytes(public_pem(key().public_key()))
    (tmp_path / "wrong.pub").write_bytes(public_pem(other_key().public_key()))
    return place


def model_signing(folder, public="right.pub"):
    return run(
        *("model_signing", "verify", "key", folder, "--signature", folder / "bundle.sig"),
        *("--public_key", folder.parent / public),
    )


def test_model_signing_verifies_a_bundle(folder):
    result = model_signing(folder)
    assert result.returncode == 0, result.stderr


def test_model_signing_refuses_another_key(folder):
    assert model_signing(folder, "wrong.pub").returncode != 0


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "distilled.safetensors"])
def test_model_signing_refuses_an_altered_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert model_signing(folder).returncode != 0


def test_model_signing_refuses_a_file_more(folder):
    (folder / "more").write_bytes(b"")
    assert model_signing(folder).returncode != 0


def test_croissant_validates_without_a_warning(folder):
    result = run("mlcroissant", "validate", "--jsonld", folder / "croissant.json")
    assert result.returncode == 0, result.stderr
    assert "Done." in result.stderr
    assert "arning" not in result.stderr


def test_croissants_validator_would_have_refused_a_missing_digest(folder):
    page = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    del page["distribution"][0]["sha256"]
    (folder / "croissant.json").write_text(json.dumps(page), encoding="utf-8")
    result = run("mlcroissant", "validate", "--jsonld", folder / "croissant.json")
    assert result.returncode != 0


def test_croissant_loads_the_soft_labels(folder):
    command = ("mlcroissant", "load", "--jsonld", folder / "croissant.json")
    result = run(*command, "--record_set", "soft-labels", "--num_records", "100")
    assert result.returncode == 0, result.stderr
    images = json.loads((folder / "gdshare.json").read_text(encoding="utf-8"))["method"]["images"]
    assert result.stdout.count("soft-labels/image") == images
