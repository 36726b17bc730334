"""An officer's installation: a new environment with the core only."""

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest
from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run

from gdshare.extras import MODULES

SOURCE = Path(__file__).parents[2]
WALK = SOURCE / "tests" / "kits" / "core_walk.py"
LARGEST = 200_000_000


def size(folder: Path) -> int:
    """What a folder's files occupy, bytes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_core_is_small_and_walks_from_keys_to_a_verified_bundle(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, SOURCE], check=True, env=environment)
    assert size(tmp_path / "venv") < LARGEST

    audit_within_bounds(make_run(tmp_path / "run"))
    run = subprocess.run(
        [python, "-P", WALK, tmp_path],
        cwd=tmp_path,
        env=environment | {"GDSHARE_PASSPHRASE": PASSPHRASE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    imported = set(json.loads(run.stdout))
    assert "gdshare" in imported
    assert not imported & {module for modules in MODULES.values() for module in modules}

    gdshare = tmp_path / "venv" / "bin" / "gdshare"
    refused = subprocess.run(
        [gdshare, "distill", "cohort", "--out", "run-2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "pip install 'gdshare[distill]'" in refused.stderr
