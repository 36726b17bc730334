"""Verification where only numpy, safetensors, cryptography and pydantic can be imported."""

import json
import subprocess
import sys

import pytest
from bundle_factory import distilled, key, manifest, png, sound

from gdshare.bundle import build_files, write_bundle
from gdshare.signing import public_pem

ALLOWED = {
    "gdshare",
    "numpy",
    "safetensors",
    "cryptography",
    "pydantic",
    # what those four bring along
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
    "cffi",
    "_cffi_backend",
}

FENCED = """
import runpy, sys
allowed = set({allowed!r}) | set(sys.stdlib_module_names)

class Fence:
    def find_spec(self, name, path=None, target=None):
        # The standard library names this one module after the platform.
        top = name.partition(".")[0]
        if top not in allowed and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)

sys.meta_path.insert(0, Fence())
sys.argv = ["gdshare.bundle", *{arguments!r}]
runpy.run_module("gdshare.bundle", run_name="__main__")
"""


def fenced(*arguments):
    program = FENCED.format(allowed=sorted(ALLOWED), arguments=[str(a) for a in arguments])
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def place(tmp_path):
    from datetime import UTC, datetime, timedelta

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fresh = manifest(created=hour, expires=hour + timedelta(days=1))
    write_bundle(tmp_path, build_files(fresh, distilled(), png(), key()))
    (tmp_path / "site.pub").write_bytes(public_pem(key().public_key()))
    return tmp_path


def test_a_sound_bundle_is_verified(place):
    result = fenced("verify", place / "st-mary-1", "--key", place / "site.pub")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("yes: st-mary-1")


def test_a_sound_bundle_is_verified_as_json(place):
    result = fenced("verify", place / "st-mary-1", "--key", place / "site.pub", "--json")
    verdict = json.loads(result.stdout)
    assert verdict["verified"] is True
    assert verdict["manifest"]["site"] == "st-mary"
    assert len(verdict["digest"]) == 64


def test_an_altered_bundle_is_refused_in_one_sentence(place):
    (place / "st-mary-1" / "README.md").write_bytes(sound()["README.md"] + b" ")
    result = fenced("verify", place / "st-mary-1", "--key", place / "site.pub", "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["reason"] == "Altered"
    assert result.stderr.count("\n") == 1
    assert "README.md was altered" in result.stderr


def test_the_fence_holds():
    program = FENCED.format(allowed=sorted(ALLOWED), arguments=[]).replace("gdshare.bundle", "rich")
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "rich is not installed" in result.stderr
