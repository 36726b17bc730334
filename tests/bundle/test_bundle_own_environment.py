"""Verification in an environment that has gdshare without its dependencies, and four packages."""

import subprocess
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bundle_factory import distilled, key, manifest, png

from gdshare.bundle import build_files, write_bundle
from gdshare.signing import public_pem

SOURCE = Path(__file__).parents[2]
ENOUGH = ("numpy", "safetensors", "cryptography", "pydantic")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_packages_are_enough_to_verify(tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *ENOUGH], check=True)
    subprocess.run([*pip, "--no-deps", SOURCE], check=True)
    there = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    assert "torch" not in there.stdout

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fresh = manifest(created=hour, expires=hour + timedelta(days=1))
    folder = write_bundle(tmp_path, build_files(fresh, distilled(), png(), key()))
    (tmp_path / "site.pub").write_bytes(public_pem(key().public_key()))
    command = [python, "-m", "gdshare.bundle", "verify", folder, "--key", tmp_path / "site.pub"]
    verified = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")

    (folder / "README.md").write_bytes(b"")
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "README.md was altered" in refused.stderr
