"""The committed archives: small, and with nothing private in them."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "studies" / "archive"
ARCHIVES = [
    *sorted(ARCHIVE.glob("*.json")),
    *sorted((ROOT / "benchmarks" / "archive").rglob("*.json")),
]


def test_there_are_archives_and_they_are_small():
    files = [path for path in ARCHIVE.iterdir() if not path.name.startswith(".")]
    assert [path.stem for path in ARCHIVES] == [
        "attacks",
        "claim",
        "gain",
        "guarantee",
        "harmonised",
        "options",
        "quality",
        "rivals",
        "source",
        "races",
    ]
    assert {path.suffix for path in files} <= {".json", ".npz"}
    assert sum(path.stat().st_size for path in files) < 2**21


@pytest.mark.parametrize("path", ARCHIVES)
def test_every_cell_says_what_it_was_computed_from(path):
    archive = json.loads(path.read_text())
    keys = {"version", "parameters", "seed", "needs", "facts", "cpu_seconds"}
    assert archive["study"] == path.stem
    for cell in archive["cells"].values():
        assert set(cell) == keys
        assert set(cell["needs"].values()) <= set(archive["cells"])


def test_films_are_numbered_and_their_votes_counted():
    cells = json.loads((ARCHIVE / "quality.json").read_text())["cells"]
    with np.load(ARCHIVE / "quality.npz", allow_pickle=False) as arrays:
        kept = dict(arrays)
    shown = [name for name in cells if "/films-" in name]
    assert {name.rpartition("/")[0] for name in kept} == set(shown)
    assert {name.rpartition("/")[2] for name in kept} == {
        "split",
        "site",
        "patient",
        "votes",
        "sums",
    }
    for name in shown:
        votes, sums = kept[f"{name}/votes"], kept[f"{name}/sums"]
        assert votes.shape[1:] == sums.shape[1:] == (cells[name]["facts"]["films"], 3)
        windows = votes.sum(2)
        assert (windows == windows[0]).all()  # every network saw every window of a film
