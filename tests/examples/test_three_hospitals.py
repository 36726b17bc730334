"""The walk from nothing to two rounds, with its users, networks, TLS and nginx."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from process_kit import environment

from examples.three_hospitals.machine import missing

ROOT = Path(__file__).parents[2]
GUIDES = ("guide-aggregator.md", "guide-node.md")
SET_UP = ("federation", "node", "nodes")


def hold(out: Path, *prefix: str) -> "subprocess.CompletedProcess[str]":
    words = [*prefix, sys.executable, "-m", "examples.three_hospitals", "--out", str(out)]
    return subprocess.run(
        words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )


def of_machines() -> set[str]:
    """Processes of namespaces other than this process's."""
    own = str(Path("/proc/self/ns/net").readlink())
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "ns" / "net").readlink()) != own:
                found.add(process.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_it_says_so_and_does_nothing(tmp_path: Path) -> None:
    words = ["setpriv", "--reuid=61001", "--regid=61001", "--clear-groups", "true"]
    assert subprocess.run(words, check=False).returncode == 0
    script = "import os; os.setuid(61001); from examples.three_hospitals.machine import missing"
    probe = f"import examples.three_hospitals.machine; {script}; print(missing())"
    said = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "it needs root" in said.stdout, said.stderr


@pytest.mark.parametrize("guide", GUIDES)
def test_guides_set_up_is_what_the_walk_does(guide: str) -> None:
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    shown = [line.split() for line in text.splitlines() if line.startswith("    gdshare ")]
    walk = (ROOT / "examples" / "three_hospitals" / "__main__.py").read_text(encoding="utf-8")
    for words in shown:
        if words[1] in SET_UP:
            assert f"gdshare {words[1]} {words[2]}" in walk, words


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_walk_leads_from_nothing_to_two_rounds_and_leaves_nothing_running(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    before, users = of_machines(), Path("/etc/passwd").read_bytes()
    ended = hold(tmp_path / "walk")
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    rounds = tmp_path / "walk" / "aggregator" / "srv" / "gdshare" / "rounds"
    first, second = (json.loads((rounds / name / "round.json").read_bytes()) for name in "12")
    assert sorted(first["bundles"]) == ["east", "north", "south"]
    assert sorted(second["bundles"]) == ["east", "south"]
    assert of_machines() <= before
    assert Path("/etc/passwd").read_bytes() == users
    assert not list((tmp_path / "walk").glob("*/etc")), "no copy of this machine's /etc stays"
