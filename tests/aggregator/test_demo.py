import json
import subprocess
import sys
from pathlib import Path

import pytest

from gdshare.metrics import THRESHOLDS


def processes_under(folder):
    """Command lines of live processes that name the folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            commands.append(words)
    return commands


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demo_pools_better_than_guessing_and_leaves_nothing_running(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "gdshare", "demo", "--out", str(out), "--seed", str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "SYNTHETIC" in run.stdout
    report = json.loads((out / "trial.json").read_text(encoding="utf-8"))
    lines = {line["trained_from"]: line for line in report["lines"]}
    pooled = lines["pooled"]
    assert pooled["patch_score"]["low"] > 1 / 3
    assert processes_under(out) == []
    assert not list(out.rglob("*.key"))

    result = json.loads((out / "round" / "round.json").read_text(encoding="utf-8"))
    assert result["epsilon"] == pooled["threshold"]
    assert result["epsilon"] in THRESHOLDS
    for site, counts in result["test"].items():
        assert counts == pooled["figures"][site]["counts"], "nodes and trial count alike"
