import json
import shlex
import signal
import subprocess
import sys
from html import unescape
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


def figures(report, name):
    """On all test films."""
    lines = {line["trained_from"]: line for line in report["lines"]}
    return lines[name]["figures"]["all sites"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demo_convinces_and_leaves_nothing_running(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "gdshare", "demo", "--out", str(out), "--seed", str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert processes_under(out) == []
    assert not list(out.rglob("*.key"))

    lines = run.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("SYNTHETIC films: 120 of 3 hospitals.")
    assert lines[4] == f"Look at {out / 'report.html'}; the figures are in {out / 'table.md'}"
    html = (out / "report.html").read_text(encoding="utf-8")
    assert lines[2] in unescape(html)
    assert len(list((out / "maps").rglob("*.votes.png"))) == 3

    report = json.loads((out / "trial.json").read_text(encoding="utf-8"))
    pooled, real = figures(report, "pooled"), figures(report, "real patches, pooled")
    assert pooled["intervals"]["harmonic_mean"]["low"] > 0.5, "better than guessing"
    assert pooled["harmonic_mean"] >= real["harmonic_mean"] - 0.1

    result = json.loads((out / "round" / "round.json").read_text(encoding="utf-8"))
    [line] = [line for line in report["lines"] if line["trained_from"] == "pooled"]
    assert result["epsilon"] == line["threshold"]
    assert result["epsilon"] in THRESHOLDS
    for site, counts in result["test"].items():
        assert counts == line["figures"][site]["counts"], "nodes and trial count alike"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_demo_that_is_kept_answers_rounds_until_it_is_stopped(tmp_path):
    out, again = tmp_path / "demo", tmp_path / "again"
    words = [sys.executable, "-m", "gdshare"]
    demo = [*words, "demo", "--out", str(out), "--keep"]
    with subprocess.Popen(demo, stdout=subprocess.PIPE, text=True) as kept:
        assert kept.stdout is not None
        line = ""
        while not line.startswith("gdshare aggregate"):
            line = kept.stdout.readline()
            assert kept.poll() is None
        asked = [*words, *shlex.split(line)[1:-1], str(again)]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
        kept.send_signal(signal.SIGINT)
        assert kept.wait(120) == 0
    assert processes_under(out) == []
    first, second = (
        json.loads((folder / "round.json").read_text(encoding="utf-8"))["test"]
        for folder in (out / "round", again)
    )
    assert first == second
    assert (again / "report.html").exists()
